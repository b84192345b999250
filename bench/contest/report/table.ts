/**
 * Owns the results as a table of plain text. Pure.
 */
import type { ContestReport, Result } from "../contest.js";
import { textTable } from "./text-table.js";
import { numberText, ratioText, timeText } from "./units.js";

const COLUMNS = [
  { title: "store", align: "left" },
  { title: "keeps", align: "left" },
  { title: "a second", align: "right" },
  { title: "from – to", align: "left" },
  { title: "p50", align: "right" },
  { title: "p99", align: "right" },
  { title: "CPU/op", align: "right" },
  { title: "belfry is", align: "right" },
  { title: "", align: "left" },
] as const;

/** A table for each workload and class, with what was measured above it. */
export function resultsTable(report: ContestReport): string {
  const { machine, runtime, rounds, seconds, versions, absent, failures } = report;
  const head = [
    `${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}, ${runtime}; ${rounds} rounds of ${seconds} s, medians`,
    `measured: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
    ...Object.entries(absent).map(([name, missing]) => `not here: ${name} (${missing})`),
  ];
  const heats = heatsOf(report.results).map((results) => heatTable(results));
  const failed = failures.map(
    ({ workload, peer, error }) => `failed: ${peer} in ${workload}: ${error.split("\n")[0]}`,
  );
  return [...head, ...heats, ...failed].join("\n");
}

/** Results of one workload and class each. */
export function heatsOf(results: readonly Result[]): Result[][] {
  const heats = new Map<string, Result[]>();
  for (const result of results) {
    const name = `${result.workload} ${result.durability}`;
    heats.set(name, [...(heats.get(name) ?? []), result]);
  }
  return [...heats.values()];
}

/** How many times better than `other` a result is: by its rate, or, where that is what counts, by its median latency. */
export function advantage(of: Result, over: Result): number {
  if (of.shows === "latency" && of.latencyUs !== null && over.latencyUs !== null)
    return over.latencyUs.roundP50 / of.latencyUs.roundP50;
  return of.perSecond.median / over.perSecond.median;
}

function heatTable(results: readonly Result[]): string {
  const { workload, durability, about, unit } = results[0]!;
  const ours = results.find(({ peer }) => peer.startsWith("belfry"));
  const rows = [...results].sort((a, b) => advantage(b, a) - 1).map((result) => row(result, ours));
  return `\n${workload}, ${durability} (${unit}): ${about}\n${textTable(COLUMNS, rows)}`;
}

function row(result: Result, ours: Result | undefined): string[] {
  const { peer, kept, perSecond, latencyUs, cpuUs, facts } = result;
  const isOther = ours !== undefined && ours !== result;
  return [
    peer,
    kept,
    numberText(perSecond.median),
    `${numberText(perSecond.min)} – ${numberText(perSecond.max)}`,
    timeText(latencyUs?.roundP50 ?? null),
    timeText(latencyUs?.roundP99 ?? null),
    timeText(cpuUs),
    isOther ? ratioText(advantage(ours, result)) : "",
    Object.entries(facts)
      .map(([name, value]) => `${numberText(value)} ${name}`)
      .join(", "),
  ];
}
