/**
 * Owns the results as one HTML page that needs nothing else: bars of throughput, curves of latency, curves of cost as the work grows. Pure.
 */
import type { ContestReport, Result } from "../contest.js";
import { aloneInFile, barChart, lineChart } from "./chart.js";
import { advantage, heatsOf } from "./table.js";
import { numberText, ratioText, timeText } from "./units.js";

const STYLE = `
:root { color-scheme: light dark; --fg: #1c2024; --dim: #60646c; --line: #d9d9e0; --bg: #fcfcfd; --us: #b4590b; --them: #8b8d98; }
@media (prefers-color-scheme: dark) { :root { --fg: #edeef0; --dim: #b0b4ba; --line: #43484e; --bg: #18191b; --us: #ff9a4d; --them: #777b84; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); } h3 { margin: 1.6rem 0 0; font-size: 1rem; }
p { color: var(--dim); margin: .2rem 0 .6rem; } svg { width: 100%; height: auto; display: block; } svg text { fill: var(--fg); font: 12px system-ui, sans-serif; }
svg .dim { fill: var(--dim); } table { border-collapse: collapse; font-size: 13px; width: 100%; margin-top: .4rem; }
td, th { text-align: right; padding: .15rem .5rem; border-bottom: 1px solid var(--line); } td:first-child, th:first-child { text-align: left; }
details { margin-top: .3rem; color: var(--dim); }`;

/** The whole page. */
export function reportPage(report: ContestReport): string {
  const groups = new Map<string, Result[]>();
  for (const result of report.results)
    groups.set(result.group, [...(groups.get(result.group) ?? []), result]);
  const sections = [...groups].map(([group, results]) => `<h2>${safe(group)}</h2>${groupHtml(results)}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Belfry: benchmark</title>
<style>${STYLE}</style></head><body><h1>Belfry: benchmark</h1>${headHtml(report)}${sections.join("\n")}</body></html>
`;
}

function headHtml({
  machine,
  runtime,
  rounds,
  seconds,
  versions,
  absent,
  failures,
  startedAt,
}: ContestReport): string {
  const list = (entries: Readonly<Record<string, string>>): string =>
    Object.entries(entries)
      .map(([name, text]) => `${name} ${text}`)
      .join(", ");
  const lines = [
    `${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}, ${runtime}. ${startedAt.slice(0, 10)}.`,
    `${rounds} rounds of ${seconds} s, the stores in turn; bars are medians, their whiskers the slowest and the fastest round.`,
    `Only numbers of one durability class stand side by side; a store that keeps less than its class asks for says so.`,
    `Measured: ${list(versions)}.`,
    ...(Object.keys(absent).length > 0 ? [`Not on the machine: ${list(absent)}.`] : []),
    ...failures.map(({ workload, peer, error }) => `${peer} failed in ${workload}: ${error.split("\n")[0]}`),
  ];
  return lines.map((line) => `<p>${safe(line)}</p>`).join("");
}

/** Workloads of one series share a chart of lines; every other has its bars. */
function groupHtml(results: readonly Result[]): string {
  const series = new Map<string, Result[]>();
  const alone: Result[] = [];
  for (const result of results) {
    if (result.series === null) alone.push(result);
    else {
      const name = `${result.series.name}, ${result.durability}`;
      series.set(name, [...(series.get(name) ?? []), result]);
    }
  }
  const lines = [...series].map(([name, members]) => seriesHtml(name, members));
  const bars = heatsOf(alone).map(heatHtml);
  return [...bars, ...lines].join("\n");
}

function heatHtml(results: readonly Result[]): string {
  const { workload, durability, about, shows, unit } = results[0]!;
  const axis =
    shows === "latency"
      ? "microseconds, less is better; the whisker ends at p99"
      : `${unit} a second, more is better`;
  const sorted = best(results);
  return `<h3>${safe(workload)}, ${durability}</h3><p>${safe(about)} (${axis})</p>${heatChart(sorted)}${tableHtml(sorted)}`;
}

/** The bars of each workload and class as SVG texts of their own, by the name of their file. */
export function chartFiles(report: ContestReport): { readonly name: string; readonly svg: string }[] {
  return heatsOf(report.results).map((results) => {
    const { workload, durability } = results[0]!;
    return { name: `${workload}-${durability}.svg`, svg: aloneInFile(heatChart(best(results))) };
  });
}

function best(results: readonly Result[]): Result[] {
  return [...results].sort((a, b) => Math.log(advantage(b, a)));
}

function heatChart(results: readonly Result[]): string {
  const bars = results.map((result) => {
    const { latencyUs, perSecond } = result;
    const ours = { label: label(result), isOurs: result.peer.startsWith("belfry") };
    if (result.shows === "latency" && latencyUs !== null) {
      const { roundP50, roundP99 } = latencyUs;
      const text = `${timeText(roundP50)}, p99 ${timeText(roundP99)}`;
      return { ...ours, value: roundP50, low: roundP50, high: roundP99, text };
    }
    const { median, min, max } = perSecond;
    return { ...ours, value: median, low: min, high: max, text: `${numberText(median)}/s` };
  });
  const { workload, durability, about } = results[0]!;
  return barChart(`${workload}, ${durability}: ${about}`, bars);
}

function seriesHtml(name: string, results: readonly Result[]): string {
  const peers = [...new Set(results.map(({ peer }) => peer))];
  const lines = peers.map((peer) => ({
    name: peer,
    isOurs: peer.startsWith("belfry"),
    points: results
      .filter((result) => result.peer === peer)
      .map((result) => ({ x: result.series!.at, y: result.perSecond.median })),
  }));
  const { about, unit } = results.at(-1)!;
  return `<h3>${safe(name)}</h3><p>${safe(about)} (${unit} a second, more is better; both axes are logarithmic)</p>${lineChart(name, lines)}${tableHtml(results)}`;
}

function tableHtml(results: readonly Result[]): string {
  const ours = results.find(({ peer }) => peer.startsWith("belfry"));
  const rows = results.map((result) => {
    const { latencyUs, perSecond, cpuUs, facts, workload, series } = result;
    const cells = [
      series === null ? label(result) : `${workload}: ${label(result)}`,
      numberText(perSecond.median),
      `${numberText(perSecond.min)} – ${numberText(perSecond.max)}`,
      timeText(latencyUs?.p50 ?? null),
      timeText(latencyUs?.p90 ?? null),
      timeText(latencyUs?.p99 ?? null),
      timeText(latencyUs?.p999 ?? null),
      timeText(cpuUs),
      ours !== undefined && ours !== result && ours.workload === workload
        ? ratioText(advantage(ours, result))
        : "",
      Object.entries(facts)
        .map(([name, value]) => `${numberText(value)} ${name}`)
        .join(", "),
    ];
    return `<tr>${cells.map((cell) => `<td>${safe(cell)}</td>`).join("")}</tr>`;
  });
  const titles = ["store", "a second", "from – to", "p50", "p90", "p99", "p99.9", "CPU/op", "belfry is", ""];
  const head = titles.map((title) => `<th>${title}</th>`).join("");
  return `<details><summary>numbers</summary><table><tr>${head}</tr>${rows.join("")}</table></details>`;
}

function label({ peer, kept, durability, setting }: Result): string {
  return kept === durability ? `${peer} (${setting})` : `${peer} (${setting}; keeps less)`;
}

function safe(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
