/**
 * Owns what a small measurement is: a part by itself, for nanoseconds to microseconds. A new one is a file beside this and a line in registry.ts.
 */

/** One line of the results. */
export interface SmallResult {
  readonly name: string;
  /** What one operation of `perSecond` is. */
  readonly unit: string;
  readonly perSecond: number;
  /** Times of one operation, in microseconds: percentiles over samples, of many operations each where one is too short to be timed. */
  readonly p50Us: number;
  readonly p99Us: number;
}

export interface SmallWorkload {
  /** What `--only` selects it by. */
  readonly name: string;
  /** One line on what is measured, and how. */
  readonly about: string;
  run(seconds: number): Promise<SmallResult[]>;
}
