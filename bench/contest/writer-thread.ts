/**
 * A thread that joins a Belfry store and writes for a while. Posts how many of its sets were acknowledged.
 */
import { parentPort, threadId, workerData } from "node:worker_threads";
import { attachKv } from "../../src/index.js";
import { closedLoop } from "./load.js";
import type { WriterOrder } from "./peers/belfry.js";
import { sampleKey, sampleValue } from "./sample-data.js";

const { handle, inFlight, seconds } = workerData as WriterOrder;
const kv = attachKv(handle);
/** Threads write the same keys, each in an order of its own. */
const first = threadId * 1009;
const step = (number: number): unknown => kv.set(sampleKey(first + number), sampleValue(number));
const { operations } = await closedLoop({ seconds, inFlight, step });
await kv.close();
parentPort!.postMessage(operations);
