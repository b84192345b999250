/**
 * Owns what happens to a shard's queue without being asked: delayed messages become ready when their time comes, and what was leased by a
 * thread that is gone becomes ready again. Shard thread only.
 *
 * Invariants
 * 1. A lease lasts as long as its holder: a thread of this process that shares the store. It is renewed by the holder's being there, which
 *    the shard knows from its links, and not by messages at intervals: a handler that blocks its thread for an hour keeps its message.
 * 2. Holders are named uniquely over all openings of the store, so what an earlier process held is told from what this one holds.
 * 3. Every tick is bounded; what is left comes with the next.
 */
import { QUEUE_MOVES_MAX, QUEUE_RETRY_MS } from "../limits.js";
import type { CallerLinks } from "./caller-links.js";
import { type ShardWriter, TransactionFailure } from "./shard-writer.js";

export class QueueKeeper {
  readonly #writer: ShardWriter;
  readonly #links: CallerLinks;
  /** Some leases may be of holders that are gone. */
  #hasOrphans = true;
  /** After a failure: not before this. */
  #retryMs = 0;

  constructor(writer: ShardWriter, links: CallerLinks) {
    this.#writer = writer;
    this.#links = links;
  }

  /** Milliseconds until there is something to do. */
  remainingMs(nowMs: number): number {
    const dueMs = this.#hasOrphans ? nowMs : this.#writer.queue.nextDueMs;
    return Math.max(0, dueMs - nowMs, this.#retryMs - nowMs);
  }

  /** Does what is due, at most one transaction's worth. Says whether there was anything. */
  tick(nowMs: number): boolean {
    if (this.#links.takeHasLeft()) this.#hasOrphans = true;
    const { queue } = this.#writer;
    if (this.#hasOrphans && queue.leasedCount === 0) this.#hasOrphans = false;
    const isDue = this.#hasOrphans || queue.nextDueMs <= nowMs;
    if (!isDue || nowMs < this.#retryMs) return false;
    try {
      this.#writer.commit(0, () => this.#move(nowMs));
      this.#retryMs = 0;
    } catch (error) {
      if (!(error instanceof TransactionFailure)) throw error;
      process.emitWarning(
        `shard ${this.#writer.shard} could not move messages of its queue: ${error.message}`,
        "BelfryWarning",
      );
      // Nothing was moved, and nothing is lost by that: the messages are late.
      this.#hasOrphans = true;
      this.#retryMs = nowMs + QUEUE_RETRY_MS;
    }
    return true;
  }

  #move(nowMs: number): void {
    const { queue } = this.#writer;
    if (this.#hasOrphans) {
      const count = queue.interrupt((holder) => !this.#links.hasHolder(holder), QUEUE_MOVES_MAX);
      this.#hasOrphans = count === QUEUE_MOVES_MAX;
    }
    queue.moveDue(nowMs, QUEUE_MOVES_MAX);
  }
}
