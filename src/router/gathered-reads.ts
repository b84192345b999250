/**
 * Owns reads that may wait for the end of the microtask: all that were asked for in it share one cut. Runs on the caller's thread.
 *
 * A thousand watchers of one key ask for its state in one turn of the dispatcher. A cut for each of them renews LMDB's snapshot a thousand
 * times, which costs more than the reads. Here the first who asks begins a gathering, and the others of the same shards join it.
 *
 * Invariants:
 * 1. The cut is taken after the call, so it has everything that was acknowledged before.
 * 2. What fails in one read fails no other; when no cut can be taken, all that were gathered fail with that.
 *
 * It bounds nothing: each who asks waits for the answer before it asks again.
 */
import type { Cut, Cuts } from "./cut.js";

/** One read of a gathering. It settles its own promise, and does not throw. */
interface GatheredRead {
  readonly answer: (cut: Cut) => void;
  readonly fail: (error: unknown) => void;
}

export class GatheredReads {
  readonly #cuts: Cuts;
  /** By the shards that they are of. */
  readonly #gatherings = new Map<string, GatheredRead[]>();

  constructor(cuts: Cuts) {
    this.#cuts = cuts;
  }

  /** Calls `read` with a cut of these shards, once, soon. */
  read<T>(shards: readonly number[], read: (cut: Cut) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const answer = (cut: Cut): void => {
        try {
          resolve(read(cut));
        } catch (error) {
          reject(error);
        }
      };
      this.#gatheringOf(shards).push({ answer, fail: reject });
    });
  }

  #gatheringOf(shards: readonly number[]): GatheredRead[] {
    const name = shards.join();
    const gathering = this.#gatherings.get(name);
    if (gathering !== undefined) return gathering;
    const made: GatheredRead[] = [];
    this.#gatherings.set(name, made);
    queueMicrotask(() => {
      this.#gatherings.delete(name);
      void this.#readAll(shards, made);
    });
    return made;
  }

  async #readAll(shards: readonly number[], reads: readonly GatheredRead[]): Promise<void> {
    let cut: Cut;
    try {
      cut = await this.#cuts.take(shards);
    } catch (error) {
      for (const { fail } of reads) fail(error);
      return;
    }
    for (const { answer } of reads) answer(cut);
    cut.done();
  }
}
