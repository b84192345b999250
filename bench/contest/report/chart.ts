/**
 * Owns the drawing of charts as SVG text. Pure; colours come from the page's variables, with fallbacks for a file that stands alone.
 */
import { numberText } from "./units.js";

export interface Bar {
  readonly label: string;
  readonly isOurs: boolean;
  readonly value: number;
  /** The whisker. */
  readonly low: number;
  readonly high: number;
  /** What stands behind the bar. */
  readonly text: string;
}

export interface Line {
  readonly name: string;
  readonly isOurs: boolean;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

const WIDTH = 900;
const LABEL_WIDTH = 330;
const TEXT_WIDTH = 170;
const BAR_HEIGHT = 16;
const ROW_HEIGHT = 24;
const OURS = "var(--us, #b4590b)";
const THEIRS = "var(--them, #8b8d98)";

/** Horizontal bars from one zero. The title is what a screen reader says of it. */
export function barChart(title: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map(({ value, high }) => Math.max(value, high)), Number.MIN_VALUE);
  const room = WIDTH - LABEL_WIDTH - TEXT_WIDTH;
  const at = (value: number): number => LABEL_WIDTH + (value / most) * room;
  const rows = bars.map(({ label, isOurs, value, low, high, text }, index) => {
    const top = index * ROW_HEIGHT + 4;
    const middle = top + BAR_HEIGHT / 2;
    return `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${safe(label)}</text>
<rect x="${LABEL_WIDTH}" y="${top}" width="${(at(value) - LABEL_WIDTH).toFixed(1)}" height="${BAR_HEIGHT}" rx="2" fill="${isOurs ? OURS : THEIRS}"/>
<path d="M${at(low).toFixed(1)} ${middle}H${at(high).toFixed(1)}M${at(high).toFixed(1)} ${middle - 4}v8" stroke="var(--fg, #1c2024)" fill="none"/>
<text class="dim" x="${(Math.max(at(value), at(high)) + 8).toFixed(1)}" y="${middle + 4}">${safe(text)}</text>`;
  });
  return svg(title, bars.length * ROW_HEIGHT + 8, rows.join("\n"));
}

const PLOT = { left: 80, right: 740, top: 10, bottom: 250 };

/** Lines over two logarithmic axes. */
export function lineChart(title: string, lines: readonly Line[]): string {
  const points = lines.flatMap((line) => line.points).filter(({ x, y }) => x > 0 && y > 0);
  if (points.length === 0) return "";
  const x = axis(
    points.map((point) => point.x),
    PLOT.left,
    PLOT.right,
  );
  const y = axis(
    points.map((point) => point.y),
    PLOT.bottom,
    PLOT.top,
  );
  const ticks = [
    ...x.ticks.map(
      (tick) =>
        `<path d="M${x.at(tick)} ${PLOT.top}V${PLOT.bottom}" stroke="var(--line, #d9d9e0)"/><text class="dim" text-anchor="middle" x="${x.at(tick)}" y="${PLOT.bottom + 18}">${numberText(tick)}</text>`,
    ),
    ...y.ticks.map(
      (tick) =>
        `<path d="M${PLOT.left} ${y.at(tick)}H${PLOT.right}" stroke="var(--line, #d9d9e0)"/><text class="dim" text-anchor="end" x="${PLOT.left - 8}" y="${y.at(tick) + 4}">${numberText(tick)}</text>`,
    ),
  ];
  const drawn = lines.map(({ name, isOurs, points: own }, index) => {
    const shown = own.filter((point) => point.x > 0 && point.y > 0);
    if (shown.length === 0) return "";
    const colour = isOurs ? OURS : `hsl(${(index * 67) % 360} 30% 50%)`;
    const last = shown.at(-1)!;
    const path = shown
      .map((point, at) => `${at === 0 ? "M" : "L"}${x.at(point.x)} ${y.at(point.y)}`)
      .join("");
    const dots = shown.map(
      (point) => `<circle cx="${x.at(point.x)}" cy="${y.at(point.y)}" r="3.5" fill="${colour}"/>`,
    );
    return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="${isOurs ? 3 : 1.5}"/>${dots.join("")}<text x="${x.at(last.x) + 8}" y="${y.at(last.y) + 4}">${safe(name)}</text>`;
  });
  return svg(title, PLOT.bottom + 30, [...ticks, ...drawn].join("\n"));
}

/** A logarithmic axis over whole powers of ten. */
function axis(
  values: readonly number[],
  from: number,
  to: number,
): { readonly ticks: readonly number[]; at(value: number): number } {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
  const at = (value: number): number =>
    Math.round((from + ((Math.log10(value) - first) / (last - first)) * (to - from)) * 10) / 10;
  return { ticks, at };
}

const FILE_STYLE = `<style>text { font: 12px system-ui, sans-serif; fill: var(--fg, #1c2024); } .dim { fill: #60646c; }
@media (prefers-color-scheme: dark) { svg { --fg: #edeef0; --us: #ff9a4d; --them: #777b84; } .dim { fill: #b0b4ba; } }</style>`;

/** The chart with the look that its page would give it, for a file of its own. */
export function aloneInFile(chart: string): string {
  return `${chart.replace("</title>", `</title>\n${FILE_STYLE}\n`)}\n`;
}

function svg(title: string, height: number, body: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img"><title>${safe(title)}</title>${body}</svg>`;
}

function safe(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
