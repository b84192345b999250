/**
 * What watching costs those who write: sets while nobody watches, while many watch other keys, and while one watches what is written.
 */
import { closedLoop } from "../load.js";
import { sampleKey, sampleValue } from "../sample-data.js";
import { RELAXED, type Workload } from "../workload.js";
import { fill } from "./write.js";

export const watchCosts: readonly Workload[] = [
  watchCost("watch-cost-idle", "nobody watches", 0, false),
  watchCost("watch-cost-1", "one watches another key", 1, false),
  watchCost("watch-cost-1000", "1,000 watch other keys", 1000, false),
  watchCost("watch-cost-100000", "100,000 watch other keys", 100_000, false),
  watchCost("watch-cost-interested", "one watches a key that is written", 1, true),
];

function watchCost(name: string, about: string, watchers: number, isInterested: boolean): Workload {
  return {
    name,
    group: "the cost of watching",
    about: `sets of small objects, 64 in flight, while ${about}`,
    unit: "sets",
    needs: ["watch", "set"],
    durabilities: RELAXED,
    shows: "throughput",
    peers: watchers > 1000 ? ["belfry"] : ["belfry", "deno", "redis"],
    start: (store) => ({
      prepare: async () => {
        await fill(store);
        for (let index = 0; index < watchers; index++)
          await store.watch!(isInterested ? sampleKey(index) : ["other", index], () => {});
        return undefined;
      },
      round: ({ seconds }) =>
        closedLoop({
          seconds,
          inFlight: 64,
          step: (number) => store.set(sampleKey(number), sampleValue(number)),
        }),
    }),
  };
}
