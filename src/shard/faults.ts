/**
 * Owns the one seam for faults of a shard's thread: named places at which a test can make it die. Outside of tests there are no
 * cells, and a place costs one comparison.
 */

/** Places, in the order in which a batch or a round passes them. All but `inTransaction` lie outside of LMDB's transaction. */
export const FaultPoint = {
  turn: 0,
  taken: 1,
  inTransaction: 2,
  committed: 3,
  published: 4,
  arrived: 5,
  deciding: 6,
  decided: 7,
  /** Between the looks for a round that has finished and for one that has begun. */
  looked: 8,
  /** While it starts, before its store is opened. */
  starting: 9,
} as const;
export type FaultPoint = (typeof FaultPoint)[keyof typeof FaultPoint];

const POINTS = Object.keys(FaultPoint).length;

/** What a fault throws. Outside of a transaction it ends the thread; inside, the transaction fails. */
export class InjectedFault extends Error {}

/** Cells for the faults of `shards` shards: each counts down the visits of one place, and the one that reaches 0
 * throws; below 0 it is the milliseconds that the next visit stands still. */
export function createFaultCells(shards: number): SharedArrayBuffer {
  return new SharedArrayBuffer(shards * POINTS * 4);
}

/** Any thread: lets shard `shard` throw at its next visit of `point`, or a later one. */
export function armFault(cells: SharedArrayBuffer, shard: number, point: FaultPoint, visits = 1): void {
  Atomics.store(new Int32Array(cells), shard * POINTS + point, visits);
}

/** Any thread: lets shard `shard` stand still for `ms` milliseconds at its next visit of `point`. */
export function hangFault(cells: SharedArrayBuffer, shard: number, point: FaultPoint, ms: number): void {
  Atomics.store(new Int32Array(cells), shard * POINTS + point, -ms);
}

/** Any thread: whether `shard` has passed `point` as often as it was armed for. */
export function hasFired(cells: SharedArrayBuffer, shard: number, point: FaultPoint): boolean {
  return Atomics.load(new Int32Array(cells), shard * POINTS + point) === 0;
}

export class Faults {
  readonly #cells: Int32Array | null;
  readonly #first: number;

  constructor(cells: SharedArrayBuffer | null, shard: number) {
    this.#cells = cells === null ? null : new Int32Array(cells);
    this.#first = shard * POINTS;
  }

  /** Throws here, or stands still, if a test asked for it. */
  visit(point: FaultPoint): void {
    if (this.#cells === null) return;
    const cell = this.#first + point;
    const hangMs = -Atomics.load(this.#cells, cell);
    if (hangMs > 0 && Atomics.compareExchange(this.#cells, cell, -hangMs, 0) === -hangMs) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, hangMs);
    }
    if (Atomics.load(this.#cells, cell) > 0 && Atomics.sub(this.#cells, cell, 1) === 1) {
      throw new InjectedFault(`injected fault at point ${point}`);
    }
  }
}
