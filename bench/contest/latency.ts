/**
 * Owns the histogram of latencies: any number of samples in a bounded number of cells, and it can be sent to another process.
 *
 * Cells grow by 2 %, from 10 ns to minutes, so a percentile is right to 1 %. The largest sample is kept as it is.
 */
const GROWTH = Math.log(1.02);
const FIRST_US = 0.01;
const CELLS = 1200;

/** What a histogram is outside of the class: plain data. */
export interface LatencyHistogram {
  readonly count: number;
  readonly maxUs: number;
  /** Pairs of a cell's number and its count. */
  readonly cells: readonly (readonly [number, number])[];
}

export class LatencyRecorder {
  readonly #cells = new Uint32Array(CELLS);
  #count = 0;
  #maxUs = 0;

  /** Adds a sample in microseconds; one below zero counts as zero. */
  add(us: number): void {
    const cell = us <= FIRST_US ? 0 : Math.min(CELLS - 1, Math.ceil(Math.log(us / FIRST_US) / GROWTH));
    this.#cells[cell]!++;
    this.#count++;
    if (us > this.#maxUs) this.#maxUs = us;
  }

  get count(): number {
    return this.#count;
  }

  toHistogram(): LatencyHistogram {
    const cells: [number, number][] = [];
    this.#cells.forEach((count, cell) => {
      if (count > 0) cells.push([cell, count]);
    });
    return { count: this.#count, maxUs: this.#maxUs, cells };
  }
}

/** The samples of several histograms together. */
export function mergeHistograms(histograms: readonly LatencyHistogram[]): LatencyHistogram {
  const counts = new Map<number, number>();
  for (const { cells } of histograms)
    for (const [cell, count] of cells) counts.set(cell, (counts.get(cell) ?? 0) + count);
  return {
    count: histograms.reduce((sum, { count }) => sum + count, 0),
    maxUs: histograms.reduce((max, { maxUs }) => Math.max(max, maxUs), 0),
    cells: [...counts].sort(([a], [b]) => a - b),
  };
}

/** The latency that `fraction` (0 to 1) of the samples do not exceed, in microseconds; `NaN` without samples. */
export function percentileUs({ count, maxUs, cells }: LatencyHistogram, fraction: number): number {
  const rank = Math.max(1, Math.ceil(fraction * count));
  let seen = 0;
  for (const [cell, cellCount] of cells) {
    seen += cellCount;
    if (seen >= rank) return Math.min(maxUs, FIRST_US * Math.exp(GROWTH * (cell - 0.5)));
  }
  return Number.NaN;
}
