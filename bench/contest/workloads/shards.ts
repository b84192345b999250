/**
 * The same writes on 1, 2, 4 and 8 shards, with writers on the thread that opened the store, and on others.
 */
import { closedLoop } from "../load.js";
import type { Writers } from "../peer.js";
import { sampleKey, sampleValue } from "../sample-data.js";
import { BOTH, type Workload } from "../workload.js";
import { fill } from "./write.js";

const PEERS = ["belfry-1", "belfry-2", "belfry-4", "belfry-8"];
const IN_FLIGHT = 1000;
const WARM_UP_SECONDS = 1;

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
  needs: ["writers", "set"],
  durabilities: BOTH,
  shows: "throughput",
  peers: PEERS,
  start: (store) => {
    let writers: Writers;
    return {
      prepare: async () => {
        await fill(store);
        writers = await store.writers!(threads, IN_FLIGHT / threads);
        // The longest of all warm-ups: each thread compiles for itself.
        await writers.write(WARM_UP_SECONDS);
        return undefined;
      },
      round: async ({ seconds }) => ({
        operations: await writers.write(seconds),
        elapsedMs: seconds * 1000,
      }),
      finish: async () => {
        await writers.end();
        return undefined;
      },
    };
  },
}));
