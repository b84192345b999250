/**
 * Owns how numbers are shown to people. Pure.
 */

/** A count, or a rate, with three digits that count. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 10_000) return `${(value / 1000).toPrecision(3)} k`;
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

/** A time, given in microseconds. */
export function timeText(us: number | null): string {
  if (us === null || !Number.isFinite(us)) return "–";
  const size = Math.abs(us);
  if (size < 1) return `${Math.round(us * 1000)} ns`;
  if (size < 1000) return `${us.toPrecision(3)} µs`;
  if (size < 1e6) return `${(us / 1000).toPrecision(3)} ms`;
  return `${(us / 1e6).toPrecision(3)} s`;
}

/** How much one is of the other. */
export function ratioText(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio >= 100 ? Math.round(ratio) : ratio.toFixed(2)} ×` : "–";
}
