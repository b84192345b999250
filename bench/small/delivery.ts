/**
 * One change on its way from the end of its transaction to the loop that waits for it, on an otherwise idle store: published by the thread that
 * watches, as it is where a caller commits by itself; and by another one, as a shard's, which has to wake an event loop that sleeps.
 */
import { Worker } from "node:worker_threads";
import { encodeKey } from "../../src/codec/key.js";
import { createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { Bell } from "../../src/router/bell.js";
import { openChangeFeed } from "../../src/watch/change-feed.js";
import type { Dispatcher } from "../../src/watch/dispatcher.js";
import { LatencyRecorder, percentileUs } from "../contest/latency.js";
import { followRing, RingShard } from "./ring-shard.js";
import type { SmallResult, SmallWorkload } from "./workload.js";

const RING_BYTES = 1024 * 1024;
const KEY = ["watched", 0] as const;
const CALLER = 0;
const WARMUP_SHARE = 0.25;

/** What the other thread is given. */
export interface PublisherOrder {
  readonly control: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly key: Uint8Array;
  /** When it published last, in nanoseconds of `process.hrtime`. */
  readonly publishedNs: SharedArrayBuffer;
  /** One word: how many changes are wanted; negative: none any more. */
  readonly wanted: SharedArrayBuffer;
}

export const delivery: SmallWorkload = {
  name: "delivery",
  about: "one change, from its publication to the loop that waits for it: in one thread, and out of another",
  run: async (seconds) => [await inOneThread(seconds), await fromAnotherThread(seconds)],
};

async function inOneThread(seconds: number): Promise<SmallResult> {
  const control = Control.create(1, 0, 0);
  const ring = createChangeRing(RING_BYTES);
  const dispatcher = followRing(control, ring, {
    setWatching: () => {},
    onActive: () => {},
    onIdle: () => {},
  });
  const shard = new RingShard(control, ring, [encodeKey(KEY)], 1);
  const publish = (): bigint => {
    const publishedNs = process.hrtime.bigint();
    shard.publish(1);
    dispatcher.poll();
    return publishedNs;
  };
  return measured("to a loop of the thread that publishes", seconds, dispatcher, publish, (ns) => ns);
}

async function fromAnotherThread(seconds: number): Promise<SmallResult> {
  const control = Control.create(1, 0, 0);
  const ring = createChangeRing(RING_BYTES);
  const bell = new Bell(control, CALLER, () => dispatcher.poll());
  const dispatcher: Dispatcher = followRing(control, ring, {
    setWatching: (watching) => control.setWatching(CALLER, watching),
    onActive: () => bell.hold(),
    onIdle: () => bell.release(),
  });
  const publishedNs = new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
  const wanted = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const order: PublisherOrder = {
    control: control.buffer,
    ring,
    key: encodeKey(KEY),
    publishedNs,
    wanted: wanted.buffer as SharedArrayBuffer,
  };
  const thread = new Worker(new URL("./publisher-thread.js", import.meta.url), { workerData: order });
  const ended = new Promise((resolve, reject) => thread.once("exit", resolve).once("error", reject));
  await new Promise((resolve) => thread.once("online", resolve));
  const ask = (by: number): void => {
    Atomics.add(wanted, 0, by);
    Atomics.notify(wanted, 0);
  };
  const clock = new BigInt64Array(publishedNs);
  const result = await measured(
    "to a loop of another thread, which sleeps",
    seconds,
    dispatcher,
    () => ask(1),
    () => clock[0]!,
  );
  ask(-wanted[0]! - 1);
  await ended;
  bell.close();
  return result;
}

/** Has one change published after the other, and times each from when it was published to the loop of a feed. */
async function measured<P>(
  name: string,
  seconds: number,
  dispatcher: Dispatcher,
  publish: () => P,
  publishedNsOf: (published: P) => bigint,
): Promise<SmallResult> {
  const latency = new LatencyRecorder();
  const feed = openChangeFeed(dispatcher, { key: KEY });
  const changes = feed[Symbol.asyncIterator]();
  let nowMs = performance.now();
  const warmMs = nowMs + seconds * 1000 * WARMUP_SHARE;
  const endMs = warmMs + seconds * 1000;
  do {
    const next = changes.next();
    const published = publish();
    await next;
    const us = Number(process.hrtime.bigint() - publishedNsOf(published)) / 1000;
    nowMs = performance.now();
    if (nowMs >= warmMs) latency.add(us);
  } while (nowMs < endMs);
  feed.close();
  const histogram = latency.toHistogram();
  const p50Us = percentileUs(histogram, 0.5);
  return { name, unit: "changes", perSecond: 1e6 / p50Us, p50Us, p99Us: percentileUs(histogram, 0.99) };
}
