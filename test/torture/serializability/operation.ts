/**
 * Owns what is recorded of one call, as lines of JSON: of a commit its beginning and its end, a line each, so that of one that a crash cut off
 * the beginning is known; of a read both in one line.
 */

/** An entry as a caller saw it: its versionstamp and its value; `null`: nothing there. */
export type Seen = readonly [versionstamp: string, value: unknown] | null;

/** What a commit asked for. A `set` has the commit's own number as its value, a sum adds one. */
export interface CommitPlan {
  readonly checks: readonly (readonly [key: number, versionstamp: string | null])[];
  readonly sets: readonly number[];
  readonly deletes: readonly number[];
  readonly sums: readonly number[];
}

export interface Begin {
  /** Of all calls of all lives. */
  readonly id: string;
  readonly at: number;
  readonly commit?: CommitPlan;
  /** Keys that are read at one moment. */
  readonly read?: readonly number[];
  /** By which call. */
  readonly by?: "get" | "getSync" | "getMany" | "list" | "snapshot";
}

export interface End {
  readonly id: string;
  readonly end: number;
  /** A commit that was made. */
  readonly versionstamp?: string;
  /** Checks that did not hold: their place, and what was there. */
  readonly failed?: readonly (readonly [index: number, versionstamp: string | null])[];
  /** What a read saw, key for key. */
  readonly seen?: readonly Seen[];
  /** It failed for sure, or nobody knows. */
  readonly error?: "nothing changed" | "unknown";
}

/** A call with both its ends. Times are of one clock for all threads and processes, in nanoseconds. */
export interface Operation {
  readonly id: string;
  readonly begunAt: number;
  /** `Infinity`: it has not ended. */
  readonly endedAt: number;
  readonly begin: Begin;
  readonly end: End | null;
}

/** Keys `["k", n]` hold numbers of commits, keys `["sum", n]` are sums. */
export const KEYS = 24;
export const SUMS = 6;

export function isSum(key: number): boolean {
  return key >= KEYS;
}

export function keyOf(key: number): readonly [string, number] {
  return isSum(key) ? ["sum", key - KEYS] : ["k", key];
}

/** The calls in the lines of some recordings. The last line of one may be cut off. */
export function readOperations(recordings: readonly string[]): Operation[] {
  const begins = new Map<string, Begin>();
  const ends = new Map<string, End>();
  for (const recording of recordings) {
    for (const line of recording.split("\n").slice(0, -1)) {
      const fields = JSON.parse(line) as Begin | End | (Begin & End);
      if ("at" in fields) begins.set(fields.id, fields);
      if ("end" in fields) ends.set(fields.id, fields);
    }
  }
  return [...begins.values()].map((begin) => {
    const end = ends.get(begin.id) ?? null;
    return { id: begin.id, begunAt: begin.at, endedAt: end?.end ?? Number.POSITIVE_INFINITY, begin, end };
  });
}
