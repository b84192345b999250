/**
 * The benchmark harness, for programs that measure stores of their own: the public face of `belfry/bench`.
 *
 * @example
 * import { runContest, resultsTable, workloadNamed } from "belfry/bench";
 * const report = await runContest({
 *   workloads: [workloadNamed("set-1000")], peers: ["belfry", "lmdb"], durabilities: ["relaxed"], rounds: 5, seconds: 1,
 * });
 * console.log(resultsTable(report));
 */
export { type ContestOptions, type ContestReport, type Result, runContest } from "./contest.js";
export { type LatencyHistogram, LatencyRecorder, mergeHistograms, percentileUs } from "./latency.js";
export { closedLoop, fixedRate, tightLoop } from "./load.js";
export type { BenchKey, DurabilityClass, Kept, Peer, PeerFinding, PeerMode, PeerStore } from "./peer.js";
export { DEFAULT_PEER_NAMES, PEER_NAMES } from "./peers/registry.js";
export { type Comparison, compareReports, comparisonTable } from "./report/compare.js";
export { chartFiles, reportPage } from "./report/page.js";
export { resultsTable } from "./report/table.js";
export type { Facts, Round, RoundContext, RunningWorkload, Workload } from "./workload.js";
export { WORKLOADS, workloadNamed } from "./workloads/registry.js";
