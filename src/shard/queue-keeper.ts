/**
 * Owns what happens to a shard's queue without being asked: delayed messages become ready when their time comes, and what was leased by a
 * thread that is gone becomes ready again. Shard thread only.
 *
 * A message whose time has come, and then is leased, would be two transactions, each with a flush. So where somebody listens it is announced, and
 * moved by the transaction in which it is asked for (single-commits.ts), which is one. If nobody asks for a moment, it is moved here.
 *
 * Invariants
 * 1. A lease lasts as long as its holder: a thread of this process that shares the store. It is renewed by the holder's being there, which
 *    the shard knows from its links, and not by messages at intervals: a handler that blocks its thread for an hour keeps its message.
 * 2. Holders are named uniquely over all openings of the store, so what an earlier process held is told from what this one holds.
 * 3. Every tick is bounded; what is left comes with the next.
 */
import { QUEUE_CLAIM_MS, QUEUE_MOVES_MAX, QUEUE_RETRY_MS } from "../limits.js";
import type { CallerLinks } from "./caller-links.js";
import type { QueueBatch } from "./queue-batch.js";
import { type ShardWriter, TransactionFailure } from "./shard-writer.js";

export class QueueKeeper {
  readonly #writer: ShardWriter;
  readonly #queue: QueueBatch;
  readonly #links: CallerLinks;
  /** Some leases may be of holders that are gone. */
  #hasOrphans = true;
  /** The due time that was announced last, and until when (on the system's clock) somebody may ask for it. */
  #announcedDueMs = Number.NaN;
  #announcedUntilMs = 0;
  /** After a failure: not before this. */
  #retryMs = 0;

  constructor(writer: ShardWriter, queue: QueueBatch, links: CallerLinks) {
    this.#writer = writer;
    this.#queue = queue;
    this.#links = links;
  }

  /** Milliseconds until there is something to do. */
  remainingMs(nowMs: number): number {
    const { nextDueMs } = this.#queue;
    if (this.#announcedDueMs === nextDueMs && !this.#hasOrphans) {
      return Math.max(0, this.#announcedUntilMs - Date.now(), this.#retryMs - nowMs);
    }
    const dueMs = this.#hasOrphans ? nowMs : nextDueMs;
    return Math.max(0, dueMs - nowMs, this.#retryMs - nowMs);
  }

  /** Does what is due, at most one transaction's worth. Says whether there was anything. */
  tick(nowMs: number): boolean {
    if (this.#links.takeHasLeft()) this.#hasOrphans = true;
    const queue = this.#queue;
    if (this.#hasOrphans && queue.leasedCount === 0) this.#hasOrphans = false;
    const isDue = this.#hasOrphans || queue.nextDueMs <= nowMs;
    if (!isDue || nowMs < this.#retryMs) return false;
    if (!this.#hasOrphans && this.#announce(queue.nextDueMs)) return false;
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

  /** Lets listeners know of what is due. False: there are none, or none has asked since. */
  #announce(dueMs: number): boolean {
    if (this.#announcedDueMs === dueMs) return Date.now() < this.#announcedUntilMs;
    if (this.#writer.control.listening === 0) return false;
    this.#announcedDueMs = dueMs;
    this.#announcedUntilMs = Date.now() + QUEUE_CLAIM_MS;
    this.#writer.announceMessage(this.#queue.readyCount);
    return true;
  }

  #move(nowMs: number): void {
    const queue = this.#queue;
    if (this.#hasOrphans) {
      const count = queue.interrupt((holder) => !this.#links.hasHolder(holder), QUEUE_MOVES_MAX);
      this.#hasOrphans = count === QUEUE_MOVES_MAX;
    }
    queue.moveDue(nowMs, QUEUE_MOVES_MAX);
  }
}
