/**
 * Owns the order of commits as the watching side computes with it: a versionstamp as two numbers. Runs in any thread.
 *
 * Invariants:
 * 1. Stamps are compared by counter, then by order. A {@link ChangeRecord} is itself a stamp.
 *
 * It formats nothing: the twenty hex digits are the business of `codec/versionstamp.ts`.
 */

/** A commit's place in the one order of the store. */
export interface Stamp {
  /** From the shared counter; one batch of one shard, or one round, has one value. */
  readonly counter: number;
  /** The commit's place within its batch or round. */
  readonly order: number;
}

/** Before every commit. */
export const FIRST_STAMP: Stamp = { counter: 0, order: 0 };

/** The last order that two bytes can say. */
const ORDER_LAST = 0xffff;

/** Negative, zero or positive, as `a` is before, at or after `b`. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.counter - b.counter || a.order - b.order;
}

export function laterStamp(a: Stamp, b: Stamp): Stamp {
  return compareStamps(a, b) < 0 ? b : a;
}

/** A stamp of its own, so that no record (and no block of bytes behind it) is kept for the sake of two numbers. */
export function stampOf(record: Stamp): Stamp {
  return { counter: record.counter, order: record.order };
}

/** The last stamp before `stamp`: whoever has everything up to it lacks `stamp` and what follows. */
export function stampBefore(stamp: Stamp): Stamp {
  if (stamp.order > 0) return { counter: stamp.counter, order: stamp.order - 1 };
  return lastStampBelow(stamp.counter);
}

/** The last stamp whose counter is below `counter`. */
export function lastStampBelow(counter: number): Stamp {
  return { counter: counter - 1, order: ORDER_LAST };
}
