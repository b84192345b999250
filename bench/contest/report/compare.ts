/**
 * Owns the comparison of two runs, for regressions. Pure.
 *
 * Machines drift from run to run. Where both runs have another store that has not changed, its drift is told beside ours, so that a slow
 * day is not taken for a slow program.
 */
import type { ContestReport, Result } from "../contest.js";
import { advantage } from "./table.js";
import { textTable } from "./text-table.js";
import { numberText, ratioText, timeText } from "./units.js";

/** One result that both runs have. */
export interface Comparison {
  readonly workload: string;
  readonly durability: string;
  readonly peer: string;
  /** How many times better the second run is; below 1 it is worse. */
  readonly ratio: number;
  /** The median of the same ratio over the other stores in this workload; 1 where there are none. */
  readonly drift: number;
  /** Worse, with rounds that do not overlap. */
  readonly isRegression: boolean;
  readonly before: Result;
  readonly after: Result;
}

/** Less than this much worse than the drift is noise. */
const REGRESSION_RATIO = 0.9;

/** What both runs have measured, in the order of the first. */
export function compareReports(before: ContestReport, after: ContestReport): Comparison[] {
  const pairs = before.results.flatMap((old) => {
    const now = after.results.find((result) => nameOf(result) === nameOf(old));
    return now === undefined ? [] : [{ old, now, ratio: advantage(now, old) }];
  });
  return pairs.map(({ old, now, ratio }) => {
    const others = pairs.filter(
      (pair) =>
        pair.old.workload === old.workload &&
        pair.old.durability === old.durability &&
        pair.old.peer !== old.peer,
    );
    const drift = others.length === 0 ? 1 : medianOf(others.map((pair) => pair.ratio));
    const isApart = old.shows === "latency" || now.perSecond.max < old.perSecond.min;
    return {
      workload: old.workload,
      durability: old.durability,
      peer: old.peer,
      ratio,
      drift,
      isRegression: isApart && ratio < REGRESSION_RATIO * Math.min(1, drift),
      before: old,
      after: now,
    };
  });
}

/** The comparison for people. */
export function comparisonTable(comparisons: readonly Comparison[]): string {
  const columns = [
    { title: "workload", align: "left" },
    { title: "class", align: "left" },
    { title: "store", align: "left" },
    { title: "before", align: "right" },
    { title: "after", align: "right" },
    { title: "ratio", align: "right" },
    { title: "others", align: "right" },
    { title: "", align: "left" },
  ] as const;
  const rows = comparisons.map(
    ({ workload, durability, peer, ratio, drift, isRegression, before, after }) => [
      workload,
      durability,
      peer,
      shown(before),
      shown(after),
      ratioText(ratio),
      ratioText(drift),
      isRegression ? "worse" : "",
    ],
  );
  return textTable(columns, rows);
}

function shown(result: Result): string {
  return result.shows === "latency" && result.latencyUs !== null
    ? timeText(result.latencyUs.roundP50)
    : `${numberText(result.perSecond.median)}/s`;
}

function nameOf({ workload, durability, peer }: Result): string {
  return `${workload} ${durability} ${peer}`;
}

function medianOf(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
