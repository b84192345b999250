/**
 * Many callers, one key: counters, with and without reading them first.
 */
import { closedLoop } from "../load.js";
import { BOTH, type Workload } from "../workload.js";

const KEY = ["counter"];

export const sum: Workload = {
  name: "sum-1000",
  group: "contention",
  about:
    "additions to one counter, 1,000 in flight; where there is no sum, a read and a write in one transaction",
  unit: "sums",
  needs: ["sum"],
  durabilities: BOTH,
  shows: "throughput",
  start: (store) => ({
    round: ({ seconds }) => closedLoop({ seconds, inFlight: 1000, step: () => store.sum!(KEY, 1) }),
  }),
};

export const increment: Workload = {
  name: "check-and-set",
  group: "contention",
  about: "16 callers read one number and write it increased by one, each again until nobody was faster",
  unit: "commits",
  needs: ["increment"],
  durabilities: BOTH,
  shows: "throughput",
  start: (store) => ({
    round: ({ seconds }) => closedLoop({ seconds, inFlight: 16, step: () => store.increment!(KEY) }),
  }),
};
