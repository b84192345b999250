/**
 * Owns the summing up of many measured times into a few. Pure functions.
 */

/** The middle and the tail of some measured times, in the unit of the samples. `NaN` where nothing was measured. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly count: number;
}

/** Sums up samples, in any order; they are not changed. */
export function spreadOf(samples: Iterable<number>): Spread {
  const sorted = Float64Array.from(samples).sort();
  return {
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1),
    count: sorted.length,
  };
}

/** The nearest-rank percentile: the smallest sample that at least `fraction` (0 to 1) of all samples do not exceed. */
export function percentile(sorted: Float64Array, fraction: number): number {
  const rank = Math.max(1, Math.ceil(fraction * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}
