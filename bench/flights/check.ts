/**
 * Owns the verdict on one promise.
 */

export interface Check {
  readonly name: string;
  /** What was looked at, when all is well. */
  readonly looked: string;
  /** What is wrong, the first few; empty when all is well. */
  readonly failures: readonly string[];
  readonly failureCount: number;
}

const FAILURES_KEPT_MAX = 5;

/** @param failures What is wrong; empty when all is well. */
export function checkOf(name: string, looked: string, failures: readonly string[]): Check {
  return { name, looked, failures: failures.slice(0, FAILURES_KEPT_MAX), failureCount: failures.length };
}

export function holds(check: Check): boolean {
  return check.failureCount === 0;
}
