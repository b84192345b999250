/**
 * Sets: one after the other, many at a time, many in one commit, over several shards, and of values of all sizes.
 */
import { closedLoop } from "../load.js";
import type { PeerStore } from "../peer.js";
import { KEY_COUNT, sampleBytes, sampleKey, sampleValue } from "../sample-data.js";
import { BOTH, type Workload } from "../workload.js";

const SETS_PER_COMMIT = 100;
const VALUE_BYTES = [10, 100, 1024, 16 * 1024, 64 * 1024, 1024 * 1024];

/** So that a set replaces something, as most do. */
export async function fill(store: PeerStore, count = KEY_COUNT): Promise<undefined> {
  for (let number = 0; number < count; number += SETS_PER_COMMIT) {
    const sets = Array.from({ length: SETS_PER_COMMIT }, (_, index) =>
      store.set(sampleKey(number + index), sampleValue(number + index)),
    );
    await Promise.all(sets);
  }
}

export const setSequential: Workload = {
  name: "set",
  group: "writes",
  about: "sets of small objects, each when the one before is acknowledged",
  unit: "sets",
  needs: ["set"],
  durabilities: BOTH,
  shows: "throughput",
  start: (store) => ({
    prepare: () => fill(store),
    round: ({ seconds }) => {
      const set = store.setSync ?? store.set;
      return closedLoop({
        seconds,
        inFlight: 1,
        step: (number) => set(sampleKey(number), sampleValue(number)),
      });
    },
  }),
};

export const setsInFlight: Workload = {
  name: "set-1000",
  group: "writes",
  about: "sets of small objects, 1,000 in flight",
  unit: "sets",
  needs: ["set"],
  durabilities: BOTH,
  shows: "throughput",
  start: (store) => ({
    prepare: () => fill(store),
    round: ({ seconds }) =>
      closedLoop({
        seconds,
        inFlight: 1000,
        step: (number) => store.set(sampleKey(number), sampleValue(number)),
      }),
  }),
};

export const commitsOf100: Workload = {
  name: "commit-100",
  group: "writes",
  about: "atomic commits of 100 sets each, 16 in flight; the keys of one commit live together",
  unit: "sets",
  needs: ["setAll"],
  durabilities: BOTH,
  shows: "throughput",
  start: (store) => ({
    round: ({ seconds }) =>
      closedLoop({
        seconds,
        inFlight: 16,
        operations: SETS_PER_COMMIT,
        step: (number) => store.setAll!(entriesOf(number)),
      }),
  }),
};

function entriesOf(number: number): [(string | number)[], object][] {
  return Array.from({ length: SETS_PER_COMMIT }, (_, index) => [
    ["users", number % 100, index],
    sampleValue(index),
  ]);
}

export const commitsOverShards: Workload = {
  name: "commit-shards",
  group: "writes",
  about: "atomic commits of two sets with unlike keys, which mostly live in different shards, 256 in flight",
  unit: "sets",
  needs: ["setAll"],
  durabilities: BOTH,
  shows: "throughput",
  start: (store) => ({
    round: ({ seconds }) =>
      closedLoop({
        seconds,
        inFlight: 256,
        operations: 2,
        step: (number) =>
          store.setAll!([
            [["from", number % 1000], sampleValue(number)],
            [["to", (number * 7) % 1000], sampleValue(number)],
          ]),
      }),
  }),
};

export const valueSizes: readonly Workload[] = VALUE_BYTES.map((bytes) => ({
  name: `set-${bytes < 1024 ? `${bytes}B` : bytes < 1024 * 1024 ? `${bytes / 1024}KiB` : "1MiB"}`,
  group: "values",
  about: `sets of ${bytes} bytes, 16 in flight, over 100 keys`,
  unit: "sets",
  needs: ["set"],
  durabilities: BOTH,
  shows: "throughput",
  series: { name: "bytes of a value", at: bytes },
  start: (store) => {
    // Never what is there already: SQLite writes nothing then, and flushes nothing.
    const values = [sampleBytes(bytes), sampleBytes(bytes).fill(1, 0, 1)];
    const step = (number: number): unknown =>
      store.set(["values", number % 100], values[Math.trunc(number / 100) % 2]);
    return { round: ({ seconds }) => closedLoop({ seconds, inFlight: 16, step }) };
  },
}));
