/**
 * Owns how the bench prints its results for people. Pure.
 */
import { textTable } from "./text-table.js";
import type { Measurement } from "./workload.js";

const COLUMNS = [
  { title: "what", align: "left" },
  { title: "durability", align: "left" },
  { title: "a second", align: "right" },
  { title: "", align: "left" },
  { title: "p50", align: "right" },
  { title: "p99", align: "right" },
] as const;

export function resultsTable(measurements: readonly Measurement[]): string {
  return textTable(
    COLUMNS,
    measurements.map(({ name, durability, perSecond, unit, p50Us, p99Us }) => [
      name,
      durability ?? "–",
      Math.round(perSecond).toLocaleString("en-US"),
      unit,
      timeText(p50Us),
      timeText(p99Us),
    ]),
  );
}

function timeText(us: number | null): string {
  if (us === null) return "–";
  const size = Math.abs(us);
  if (size < 1) return `${Math.round(us * 1000)} ns`;
  if (size < 1000) return `${us.toFixed(1)} µs`;
  return `${(us / 1000).toFixed(2)} ms`;
}
