/** Owns what the tests of queues share: waiting for what must come, and taking what is there. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Kv } from "../../src/index.js";

const WAIT_MS_MAX = 20_000;

/** Resolves when `condition` holds; throws when that takes too long. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + WAIT_MS_MAX;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error(`it did not come to: ${what}`);
    await sleep(1);
  }
}

/** Errors that handlers throw on purpose are not printed. */
export const onError = () => {};

/** Whatever is handled until `count` messages were. */
export async function take(kv: Kv, count: number): Promise<unknown[]> {
  const handled: unknown[] = [];
  const stop = new AbortController();
  const listening = kv.listenQueue((value) => handled.push(value) === count && stop.abort(), {
    signal: stop.signal,
    concurrency: 1,
  });
  await listening;
  return handled;
}

/** Everything that an iteration yields. */
export async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of source) found.push(one);
  return found;
}

/** A matcher would take seconds for megabytes. */
export function sameBytes(found: unknown, expected: Uint8Array): boolean {
  return found instanceof Uint8Array && Buffer.compare(found, expected) === 0;
}

/** Whether nothing waits and nothing is handled. */
export const isEmpty = (kv: Kv) => {
  const { ready, delayed, leased } = kv.queueStats();
  return ready + delayed + leased === 0;
};
