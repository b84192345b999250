/**
 * What watching costs those who write: sets while nobody watches, while many watch other keys, and while one watches what is written.
 */
import { closedLoop } from "../load.js";
import type { PeerStore } from "../peer.js";
import { sampleKey, sampleValue } from "../sample-data.js";
import { RELAXED, type Round, type Workload } from "../workload.js";
import { fill } from "./write.js";

export const watchCosts: readonly Workload[] = [
  watchCost("watch-cost-idle", "nobody watches", 0, false),
  watchCost("watch-cost-1", "one watches another key", 1, false),
  watchCost("watch-cost-1000", "1,000 watch other keys", 1000, false),
  watchCost("watch-cost-100000", "100,000 watch other keys", 100_000, false),
  watchCost("watch-cost-interested", "one watches a key that is written", 1, true),
];

/** A watcher never slows a writer, even one that has stopped reading. */
export const stuckWatcher: Workload = {
  name: "watch-cost-stuck",
  group: "the cost of watching",
  about: "sets of small objects, 64 in flight, beside a follower of everything that stands still",
  unit: "sets",
  needs: ["followUnread", "set"],
  durabilities: RELAXED,
  shows: "throughput",
  peers: ["belfry"],
  start: (store) => ({
    prepare: async () => {
      await fill(store);
      store.followUnread!();
      return undefined;
    },
    round: ({ seconds }) => setSome(store, seconds),
  }),
};

function setSome(store: PeerStore, seconds: number): Promise<Round> {
  const step = (number: number): unknown => store.set(sampleKey(number), sampleValue(number));
  return closedLoop({ seconds, inFlight: 64, step });
}

function watchCost(name: string, about: string, watchers: number, isInterested: boolean): Workload {
  return {
    name,
    group: "the cost of watching",
    about: `sets of small objects, 64 in flight, while ${about}`,
    unit: "sets",
    needs: ["watch", "set"],
    durabilities: RELAXED,
    shows: "throughput",
    peers: watchers > 1000 ? ["belfry"] : ["belfry", "deno", "redis", "etcd", "nats"],
    start: (store) => ({
      prepare: async () => {
        await fill(store);
        for (let index = 0; index < watchers; index++)
          await store.watch!(isInterested ? sampleKey(index) : ["other", index], () => {});
        return undefined;
      },
      round: ({ seconds }) => setSome(store, seconds),
    }),
  };
}
