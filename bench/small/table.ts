/**
 * Owns the small measurements as a table of plain text. Pure.
 */
import { textTable } from "../contest/report/text-table.js";
import { numberText, timeText } from "../contest/report/units.js";
import type { SmallResult } from "./workload.js";

const COLUMNS = [
  { title: "what", align: "left" },
  { title: "a second", align: "right" },
  { title: "", align: "left" },
  { title: "p50", align: "right" },
  { title: "p99", align: "right" },
] as const;

export function smallTable(results: readonly SmallResult[]): string {
  return textTable(
    COLUMNS,
    results.map(({ name, perSecond, unit, p50Us, p99Us }) => [
      name,
      numberText(perSecond),
      unit,
      timeText(p50Us),
      timeText(p99Us),
    ]),
  );
}
