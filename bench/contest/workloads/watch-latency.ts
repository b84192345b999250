/**
 * Watch latency: from the call of a set to a watcher's callback, of one key. Idle: one set at a time. Under load: sets of the key at a
 * fixed rate, timed from when each was due, while others write as fast as they can.
 */
import { LatencyRecorder } from "../latency.js";
import { closedLoop, fixedRate } from "../load.js";
import type { BenchKey, PeerStore } from "../peer.js";
import { sampleKey, sampleValue, stampedValue } from "../sample-data.js";
import { BOTH, type Workload } from "../workload.js";

const KEY = ["watched", 0];
const SETS_A_SECOND = 500;
const WRITERS = 16;
/** A store that loses a change shall not hold up the bench for ever. */
const HEARD_MS_MAX = 5000;

export const watchIdle: Workload = {
  name: "watch",
  group: "watching",
  about: "one watcher of one key, one set at a time: set called → callback",
  unit: "changes",
  needs: ["watch", "set"],
  durabilities: BOTH,
  shows: "latency",
  start: (store) => {
    let wake = (): void => {};
    return {
      prepare: async () => void (await store.watch!(KEY, () => wake())),
      round: async ({ seconds }) => {
        const latency = new LatencyRecorder();
        const startMs = performance.now();
        do {
          const calledMs = performance.now();
          const heard = new Promise<void>((resolve) => {
            wake = () => {
              latency.add((performance.now() - calledMs) * 1000);
              resolve();
            };
          });
          await Promise.all([setWatched(store, KEY, stampedValue(calledMs)), soon(heard)]);
        } while (performance.now() - startMs < seconds * 1000);
        const elapsedMs = performance.now() - startMs;
        return { operations: latency.count, elapsedMs, latency: latency.toHistogram() };
      },
    };
  },
};

export const watchUnderLoad: Workload = {
  name: "watch-loaded",
  group: "watching",
  about: `one watcher of one key that is set ${SETS_A_SECOND} times a second, while ${WRITERS} callers write other keys: due → callback`,
  unit: "changes",
  needs: ["watch", "set"],
  durabilities: BOTH,
  shows: "latency",
  start: (store) => {
    let onHeard = (_: unknown): void => {};
    return {
      prepare: async () => void (await store.watch!(KEY, (value) => onHeard(value))),
      round: async ({ seconds }) => {
        const latency = new LatencyRecorder();
        const startMs = performance.now();
        onHeard = (value) => {
          const { atMs } = value as { atMs: number };
          if (atMs >= startMs) latency.add((performance.now() - atMs) * 1000);
        };
        const sets: unknown[] = [];
        const step = (_: number, intendedMs: number): void => {
          sets.push(setWatched(store, KEY, stampedValue(intendedMs)));
        };
        const load = closedLoop({
          seconds,
          inFlight: WRITERS,
          step: (number) => store.set(sampleKey(number), sampleValue(number)),
        });
        await Promise.all([fixedRate({ seconds, perSecond: SETS_A_SECOND, step }), load]);
        await Promise.all(sets);
        const elapsedMs = performance.now() - startMs;
        await quiet(() => latency.count);
        return { operations: latency.count, elapsedMs, latency: latency.toHistogram() };
      },
    };
  },
};

/** A set that watchers hear of. */
export function setWatched(store: PeerStore, key: BenchKey, value: unknown): unknown {
  return (store.setWatched ?? store.set)(key, value);
}

/** Resolves when a count has stood still for a while: what was heard late has been heard. */
export async function quiet(count: () => number): Promise<void> {
  for (let last = -1; last !== count(); ) {
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** Fails when a promise takes too long. */
async function soon(promise: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`a change was not heard within ${HEARD_MS_MAX} ms`)),
      HEARD_MS_MAX,
    );
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
