/**
 * Owns the list of the contest's workloads, in the order of the report.
 */
import type { Workload } from "../workload.js";
import { increment, sum } from "./contention.js";
import { fanOuts, oneKeyCrowd } from "./fan-out.js";
import { growth, opening } from "./growth.js";
import { queues } from "./queue.js";
import { getAwaited, getSync, getsInFlight, list } from "./read.js";
import { shardsFromMain, shardsFromThreads } from "./shards.js";
import { stuckWatcher, watchCosts } from "./watch-cost.js";
import { watchIdle, watchUnderLoad } from "./watch-latency.js";
import { commitsOf100, commitsOverShards, setSequential, setsInFlight, valueSizes } from "./write.js";

export const WORKLOADS: readonly Workload[] = [
  setSequential,
  setsInFlight,
  commitsOf100,
  commitsOverShards,
  getAwaited,
  getSync,
  getsInFlight,
  list,
  sum,
  increment,
  watchIdle,
  watchUnderLoad,
  ...fanOuts,
  oneKeyCrowd,
  ...watchCosts,
  stuckWatcher,
  ...queues,
  ...valueSizes,
  shardsFromMain,
  ...shardsFromThreads,
  ...growth,
  ...opening,
];

/** The workload of that name. */
export function workloadNamed(name: string): Workload {
  const found = WORKLOADS.find((workload) => workload.name === name);
  if (found !== undefined) return found;
  throw new Error(`no workload is called ${name}: known are ${WORKLOADS.map((one) => one.name).join(", ")}`);
}
