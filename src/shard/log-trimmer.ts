/**
 * Owns the horizon of a shard's change log: which rows are beyond its bounds in bytes and age. Shard thread only.
 *
 * Trimming is part of the transactions that write anyway, a few rows each, so it keeps up with the writers and costs no flush of its
 * own. When nobody writes, only age moves the horizon, and the loop makes a transaction for it at long intervals.
 */
import { LOG_TRIM_INTERVAL_MS, LOG_TRIM_ROWS_MAX } from "../limits.js";
import type { LogRowHead } from "../store/row-format.js";
import type { ShardStore } from "../store/shard-store.js";

/** Bounds of one shard's log. */
export interface LogBounds {
  readonly bytesMax: number;
  readonly ageMsMax: number;
}

export class LogTrimmer {
  readonly #store: ShardStore;
  readonly #bounds: LogBounds;
  #nextLookMs = 0;

  constructor(store: ShardStore, bounds: LogBounds) {
    this.#store = store;
    this.#bounds = bounds;
  }

  /**
   * The oldest rows that must go, of a log that has `logBytes`, or will have them when the transaction has appended its own: few at a time,
   * and never all that it has. Inside a transaction only.
   */
  rowsToTrim(logBytes: number, nowMs: number): LogRowHead[] {
    if (logBytes <= this.#bounds.bytesMax && this.#bounds.ageMsMax === Number.POSITIVE_INFINITY) return [];
    const rows: LogRowHead[] = [];
    let leftBytes = logBytes;
    for (const row of this.#store.log.rows()) {
      const isBeyond = leftBytes > this.#bounds.bytesMax || this.#isOld(row, nowMs);
      if (!isBeyond || leftBytes === row.bytes || rows.length === LOG_TRIM_ROWS_MAX) break;
      rows.push(row);
      leftBytes -= row.bytes;
    }
    return rows;
  }

  /** Whether it is time for a transaction that does nothing but trim. */
  isDue(nowMs: number): boolean {
    if (this.#bounds.ageMsMax === Number.POSITIVE_INFINITY || nowMs < this.#nextLookMs) return false;
    // Two rows: the newest one stays, however old it is.
    const [oldest, next] = this.#store.log.heads();
    const isDue = oldest !== undefined && next !== undefined && this.#isOld(oldest, nowMs);
    if (!isDue) this.#nextLookMs = nowMs + LOG_TRIM_INTERVAL_MS;
    return isDue;
  }

  #isOld(row: LogRowHead, nowMs: number): boolean {
    return nowMs - row.writtenAtMs > this.#bounds.ageMsMax;
  }
}
