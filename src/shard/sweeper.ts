/**
 * Owns the removal of expired entries: when the next one is due, and the transaction that removes it, which watchers hear.
 * Shard thread only. An expired entry is invisible to readers whether it is swept or not. The due time stands in the control block: whoever
 * writes an entry that expires earlier sets it earlier (shard-writer.ts).
 */
import { entryEncoding, entryValue } from "../codec/entry.js";
import { SWEEP_ENTRIES_MAX } from "../limits.js";
import type { ChangeBatch } from "./change-batch.js";
import type { StoredValue } from "./combine.js";
import { type ShardWriter, TransactionFailure } from "./shard-writer.js";

/** After a sweep that failed (a full disk, say) the next try comes this much later. */
const RETRY_MS = 1000;

export class Sweeper {
  readonly #writer: ShardWriter;

  constructor(writer: ShardWriter) {
    this.#writer = writer;
    this.#plan(writer.store.firstDueMs());
  }

  /** Milliseconds until there is something to sweep. */
  remainingMs(nowMs: number): number {
    return Math.max(0, this.#dueMs - nowMs);
  }

  get #dueMs(): number {
    return this.#writer.control.dueMs(this.#writer.shard);
  }

  #plan(dueMs: number): void {
    this.#writer.control.setDueMs(this.#writer.shard, dueMs);
  }

  /** Removes what is due, at most one transaction's worth. Says whether there was anything. */
  tick(nowMs: number): boolean {
    if (nowMs < this.#dueMs) return false;
    let nextDueMs = Number.POSITIVE_INFINITY;
    try {
      this.#writer.commit(0, (batch) => {
        this.#sweep(batch, nowMs);
        nextDueMs = this.#writer.store.firstDueMs();
      });
      this.#plan(nextDueMs);
    } catch (error) {
      if (!(error instanceof TransactionFailure)) throw error;
      process.emitWarning(
        `shard ${this.#writer.shard} could not sweep expired entries: ${error.message}`,
        "BelfryWarning",
      );
      // Nothing was removed, and nothing is lost by that: the entries stay invisible.
      this.#plan(nowMs + RETRY_MS);
    }
    return true;
  }

  #previous(key: Uint8Array): StoredValue | null {
    const entry = this.#writer.control.previousWanted ? this.#writer.store.readEntry(key) : undefined;
    return entry === undefined ? null : { encoding: entryEncoding(entry), value: entryValue(entry).slice() };
  }

  #sweep(batch: ChangeBatch, nowMs: number): void {
    const { control, shard, store } = this.#writer;
    const due = store.dueKeys(nowMs, SWEEP_ENTRIES_MAX);
    if (due.length === 0) return;
    const counter = control.takeCounter(shard);
    due.forEach(({ dueMs, key }, order) => {
      batch.sweep(
        [{ shard, key, expiresAtMs: dueMs, place: 0, previous: this.#previous(key) }],
        counter,
        order,
        false,
      );
    });
  }
}
