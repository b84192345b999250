/**
 * A thread that publishes one change each time that one is wanted, a little later, when who wanted it sleeps.
 */
import { workerData } from "node:worker_threads";
import { Control } from "../../src/ring/control.js";
import type { PublisherOrder } from "./delivery.js";
import { RingShard } from "./ring-shard.js";

/** Milliseconds. Longer than an event loop takes to come to its rest. */
const PAUSE_MS = 1;

const order = workerData as PublisherOrder;
const publishedNs = new BigInt64Array(order.publishedNs);
const wanted = new Int32Array(order.wanted);
const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
const shard = new RingShard(new Control(order.control, 1), order.ring, [order.key], 1);

for (let published = 0; ; published++) {
  Atomics.wait(wanted, 0, published);
  if (Atomics.load(wanted, 0) < 0) break;
  Atomics.wait(pause, 0, 0, PAUSE_MS);
  publishedNs[0] = process.hrtime.bigint();
  shard.publish(1);
}
