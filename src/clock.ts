/**
 * Owns the clock. Everything that asks what time it is asks a {@link KvClock}, so that tests can hold the hands.
 *
 * A clock must be readable from every thread, so the manual one keeps its time in shared memory.
 */

/** Where the engine reads the time. */
export interface KvClock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
}

/** What another thread needs to read the same clock; `null` is the system's. */
export type ClockHandle = SharedArrayBuffer | null;

/** The system's clock. */
export const systemClock: KvClock = { nowMs: () => Date.now() };

/**
 * A clock that moves only when it is told to: for tests of expiry.
 *
 * @example
 * const clock = new ManualClock(1_000);
 * const kv = await openKv(":memory:", { clock });
 * await kv.set(["session"], "x", { expireIn: 500 });
 * clock.advance(500); // the entry is invisible now, and swept soon after
 */
export class ManualClock implements KvClock {
  readonly #cell: BigInt64Array;
  readonly #listeners = new Set<() => void>();

  /** @param start Milliseconds since the epoch (default: now), or the handle of another thread's clock. */
  constructor(start: number | SharedArrayBuffer = Date.now()) {
    if (typeof start !== "number") {
      this.#cell = new BigInt64Array(start);
      return;
    }
    this.#cell = new BigInt64Array(new SharedArrayBuffer(8));
    Atomics.store(this.#cell, 0, BigInt(Math.trunc(start)));
  }

  get handle(): SharedArrayBuffer {
    return this.#cell.buffer as SharedArrayBuffer;
  }

  nowMs(): number {
    return Number(Atomics.load(this.#cell, 0));
  }

  /** Moves the hands forward by `ms` milliseconds and wakes whoever waits for a time. */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`a clock does not run backwards: advance(${ms})`);
    Atomics.add(this.#cell, 0, BigInt(Math.trunc(ms)));
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` after each `advance` in this thread. Returns what ends that. */
  onAdvance(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** The clock behind a handle, in any thread. */
export function clockFrom(handle: ClockHandle): KvClock {
  return handle === null ? systemClock : new ManualClock(handle);
}
