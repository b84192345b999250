/**
 * Owns the lock under which multi-shard commits get their order. Any thread of the engine may hold it.
 *
 * Invariants
 * 1. It is held for the time of a copy, never across a wait or an await.
 * 2. What it guards becomes visible by one store at the end, so the lock of a holder that died may simply be broken:
 *    half-written bytes behind that store are overwritten by the next holder.
 * 3. The word holds the holder's number, so that only the lock of the dead one is broken.
 */
import { ROUND_WORDS } from "./control.js";

const FREE = 0;
const SPINS_MAX = 200;
const WAIT_MS = 1;

export class SequencingLock {
  readonly #words: Int32Array;
  readonly #holder: number;

  /** @param holder A number above 0 that no other thread of the engine has. */
  constructor(words: Int32Array, holder: number) {
    this.#words = words;
    this.#holder = holder;
  }

  /** Runs `action` while nobody else is inside. */
  run<T>(action: () => T): T {
    this.#acquire();
    try {
      return action();
    } finally {
      Atomics.store(this.#words, ROUND_WORDS.lock, FREE);
      Atomics.notify(this.#words, ROUND_WORDS.lock, 1);
    }
  }

  #acquire(): void {
    for (let spins = 0; ; spins++) {
      // Pairs with the store in `run` and the exchange in `breakFor`.
      const found = Atomics.compareExchange(this.#words, ROUND_WORDS.lock, FREE, this.#holder);
      if (found === FREE) return;
      if (spins >= SPINS_MAX) Atomics.wait(this.#words, ROUND_WORDS.lock, found, WAIT_MS);
    }
  }

  /** Supervisor only: frees the lock if the dead thread `holder` has it. */
  static breakFor(words: Int32Array, holder: number): void {
    if (Atomics.compareExchange(words, ROUND_WORDS.lock, holder, FREE) === holder) {
      Atomics.notify(words, ROUND_WORDS.lock);
    }
  }
}

/** The lock's holder number of a caller's thread. */
export function callerHolder(caller: number): number {
  return 1 + caller;
}

/** The lock's holder number of a shard's thread. */
export function shardHolder(shard: number): number {
  return 1001 + shard;
}
