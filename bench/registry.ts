/**
 * Owns the list of all workloads, in the order in which they run: small things first.
 */
import type { Workload } from "./workload.js";
import { changeRecord } from "./workloads/change-record.js";
import { changeRing } from "./workloads/change-ring.js";
import { commit } from "./workloads/commit.js";
import { frameRing } from "./workloads/frame-ring.js";
import { keyCodec } from "./workloads/key-codec.js";
import { queue } from "./workloads/queue.js";
import { read } from "./workloads/read.js";
import { stuckWatcher } from "./workloads/stuck-watcher.js";
import { valueCodec } from "./workloads/value-codec.js";
import { watchLatency } from "./workloads/watch-latency.js";

export const WORKLOADS: readonly Workload[] = [
  keyCodec,
  valueCodec,
  changeRecord,
  changeRing,
  frameRing,
  commit,
  read,
  watchLatency,
  stuckWatcher,
  queue,
];
