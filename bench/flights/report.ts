/**
 * Owns what the main job says at its end: the figures, and their summary as text.
 */
import { cpus } from "node:os";
import { textTable } from "../contest/report/text-table.js";
import type { Spread } from "../percentiles.js";
import { type Check, holds } from "./check.js";
import { CHANGES_PER_FLIGHT } from "./history.js";
import type { FlightsOptions } from "./options.js";
import type { Progress } from "./progress.js";
import type { WatchLatency } from "./timings.js";

/** Every name says its unit. Rates and `loaded` are of the part with many commits under way; `single` of the part one by one. */
export interface FlightsReport {
  readonly ok: boolean;
  readonly checks: readonly (Check & { readonly ok: boolean })[];
  readonly flights: number;
  readonly shards: number;
  readonly durability: string;
  readonly inFlightMax: number;
  readonly node: string;
  readonly cpus: number;
  readonly totalMs: number;
  readonly commitsPerSecond: number;
  readonly writesPerSecond: number;
  /** Changes that all feeds together delivered. */
  readonly changesHeard: number;
  readonly slowReaderLagMax: number;
  readonly watchLatencyMs: { readonly loaded: WatchLatency; readonly single: WatchLatency };
}

interface ReportSource {
  readonly options: FlightsOptions;
  readonly progress: Progress;
  readonly totalMs: number;
  readonly checks: readonly Check[];
}

export function makeReport({ options, progress, totalMs, checks }: ReportSource): FlightsReport {
  const { replay, timings, observers, flightCount } = progress;
  const commitsPerSecond = (replay.singleFrom / Math.max(1, replay.bulkMs)) * 1000;
  return {
    ok: checks.every(holds),
    checks: checks.map((check) => ({ ...check, ok: holds(check) })),
    flights: flightCount,
    shards: options.shards,
    durability: options.durability,
    inFlightMax: options.inFlightMax,
    node: process.version,
    cpus: cpus().length,
    totalMs: Math.round(totalMs),
    commitsPerSecond: Math.round(commitsPerSecond),
    writesPerSecond: Math.round(commitsPerSecond * CHANGES_PER_FLIGHT),
    changesHeard: observers.heardCount,
    slowReaderLagMax: progress.slowLagMax,
    watchLatencyMs: {
      loaded: timings.between(0, replay.singleFrom),
      single: timings.between(replay.singleFrom, flightCount),
    },
  };
}

/** The summary for people. */
export function summaryText(report: FlightsReport): string {
  const checks = textTable(
    [
      { title: "", align: "left" },
      { title: "check", align: "left" },
      { title: "looked at", align: "left" },
    ],
    report.checks.map(({ ok, name, looked }) => [ok ? "✓" : "✗", name, looked]),
  );
  const verdict = report.ok ? "All checks hold." : "FAILED:";
  return [figuresText(report), "", checks, "", verdict, ...failureLines(report.checks)].join("\n");
}

function figuresText(report: FlightsReport): string {
  const { loaded, single } = report.watchLatencyMs;
  const rate = (value: number): string => Math.round(value).toLocaleString("en-US");
  const rows = [
    ["commits/s, up to", `${report.inFlightMax} under way`, rate(report.commitsPerSecond)],
    ["writes/s", `${CHANGES_PER_FLIGHT} a commit`, rate(report.writesPerSecond)],
    ["changes heard", "by all feeds", rate(report.changesHeard)],
    ["watch latency, loaded", "from the call", spreadText(loaded.fromCall)],
    ["", "from the acknowledgement", spreadText(loaded.fromAcknowledgement)],
    ["watch latency, one by one", "from the call", spreadText(single.fromCall)],
    ["", "from the acknowledgement", spreadText(single.fromAcknowledgement)],
    ["lag of the slow reader", "at most, in changes", rate(report.slowReaderLagMax)],
  ];
  const title = `${rate(report.flights)} flights, shards: ${report.shards}, durability ${report.durability}, ${seconds(report.totalMs)} in all`;
  const columns = ["figure", "of", "value"].map((name) => ({ title: name, align: "left" as const }));
  return [title, "", textTable(columns, rows)].join("\n");
}

function failureLines(checks: readonly Check[]): string[] {
  return checks
    .filter((check) => !holds(check))
    .flatMap(({ name, failures, failureCount }) => [
      `✗ ${name}: ${failureCount} failures, the first:`,
      ...failures.map((failure) => `    ${failure}`),
    ]);
}

/** Milliseconds as people read them; what is below 0 was heard before. */
export function spreadText({ p50, p99 }: Pick<Spread, "p50" | "p99">): string {
  return `p50 ${milliseconds(p50)}  p99 ${milliseconds(p99)}`;
}

function milliseconds(ms: number): string {
  if (Number.isNaN(ms)) return "–";
  return Math.abs(ms) < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toFixed(1)} ms`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
