/**
 * Owns the drawing of some curves over time as an SVG, one below the other. Pure.
 */

export interface Series {
  readonly name: string;
  readonly values: readonly number[];
}

const WIDTH = 800;
const ROW = 110;
const LEFT = 160;

/** The curves as an SVG document. Each has its own scale, from 0 to a little above its largest value. */
export function chartOf(series: readonly Series[], seconds: number): string {
  const rows = series.map((one, index) => rowOf(one, index * ROW));
  const height = series.length * ROW + 30;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    ...rows,
    `<text x="${WIDTH - 10}" y="${height - 8}" text-anchor="end">0 to ${seconds} s of wall time</text>`,
    "</svg>\n",
  ].join("\n");
}

function rowOf({ name, values }: Series, top: number): string {
  const largest = Math.max(...values, 1e-9) * 1.1;
  const bottom = top + ROW - 15;
  const points = values.map((value, index) => {
    const x = LEFT + (index / Math.max(1, values.length - 1)) * (WIDTH - LEFT - 20);
    return `${x.toFixed(1)},${(bottom - (value / largest) * (ROW - 30)).toFixed(1)}`;
  });
  return [
    `<text x="10" y="${bottom - 35}">${name}</text>`,
    `<text x="${LEFT - 8}" y="${top + 20}" text-anchor="end">${largest.toFixed(1)}</text>`,
    `<line x1="${LEFT}" y1="${bottom}" x2="${WIDTH - 20}" y2="${bottom}" stroke="#bbb"/>`,
    `<polyline fill="none" stroke="#0a6" stroke-width="1.5" points="${points.join(" ")}"/>`,
  ].join("\n");
}
