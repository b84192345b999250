/**
 * The same writes on 1, 2, 4 and 8 shards, with writers on the thread that opened the store, and on others.
 */
import { closedLoop } from "../load.js";
import { sampleKey, sampleValue } from "../sample-data.js";
import { BOTH, type Workload } from "../workload.js";
import { fill } from "./write.js";

const PEERS = ["belfry-1", "belfry-2", "belfry-4", "belfry-8"];
const IN_FLIGHT = 1000;

export const shardsFromMain: Workload = {
  name: "shards",
  group: "shards",
  about: `sets of small objects, ${IN_FLIGHT} in flight, from the thread that opened the store`,
  unit: "sets",
  needs: ["set"],
  durabilities: BOTH,
  shows: "throughput",
  peers: PEERS,
  start: (store) => ({
    prepare: () => fill(store),
    round: ({ seconds }) =>
      closedLoop({
        seconds,
        inFlight: IN_FLIGHT,
        step: (number) => store.set(sampleKey(number), sampleValue(number)),
      }),
  }),
};

export const shardsFromThreads: readonly Workload[] = [1, 2, 4].map((threads) => ({
  name: `shards-threads-${threads}`,
  group: "shards",
  about: `the same from ${threads} other thread${threads === 1 ? "" : "s"}, ${IN_FLIGHT} in flight in all`,
  unit: "sets",
  needs: ["setFromThreads", "set"],
  durabilities: BOTH,
  shows: "throughput",
  peers: PEERS,
  start: (store) => ({
    prepare: () => fill(store),
    round: async ({ seconds }) => {
      const operations = await store.setFromThreads!(threads, IN_FLIGHT / threads, seconds);
      // The threads' own time: starting and joining them is not what is measured.
      return { operations, elapsedMs: seconds * 1000 };
    },
  }),
}));
