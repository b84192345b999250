/**
 * A thread that joins a Belfry store, says that it is ready, and writes whenever it is told for how many seconds; then posts how many of
 * its sets were acknowledged. It lives as long as the workload: a thread begins with nothing compiled. `null` ends it.
 */
import { parentPort, threadId, workerData } from "node:worker_threads";
import { attachKv } from "../../src/index.js";
import { closedLoop } from "./load.js";
import type { WriterData } from "./peers/belfry.js";
import { sampleKey, sampleValue } from "./sample-data.js";

const { handle, inFlight } = workerData as WriterData;
const kv = attachKv(handle);
/** Threads write the same keys, each in an order of its own. */
const first = threadId * 1009;
const step = (number: number): unknown => kv.set(sampleKey(first + number), sampleValue(number));

parentPort!.on("message", async (seconds: number | null) => {
  if (seconds === null) {
    await kv.close();
    parentPort!.close();
    return;
  }
  const { operations } = await closedLoop({ seconds, inFlight, step });
  parentPort!.postMessage(operations);
});
parentPort!.postMessage("ready");
