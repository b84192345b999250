/**
 * Owns a shard's change log as LMDB has it: whole commits in rows, trimmed from the front, and the tail, in which a row grows.
 *
 * A small commit that appended a row of its own would write two or three pages for it, all of which go to the disk. The tail stands in the
 * main tree instead, beside the roots of the tables, in a page that every transaction writes anyway. What comes is added to
 * it; when there is no room for more, it becomes a row.
 *
 *     key of a row := last versionstamp (10 bytes) · when it was written (f64 ms) · bytes of its records (u32)      (big-endian)
 *     row          := change records of whole commits
 *     tail         := key that it has as a row · its records
 *
 * Invariants
 * 1. The records of the tail come after those of all rows, and it is never empty.
 * 2. A row, and the tail, ends where a commit ends; its key has the versionstamp of its last record, and the time of the last one.
 * 3. A row is no larger than {@link LOG_ROW_BYTES_MAX}, unless it is one commit. The tail is no larger, so it has room in the main tree's page.
 * 4. What is appended stands in the same transaction as what it tells of: its caller's.
 */
import { LOG_ROW_BYTES_MAX } from "../limits.js";
import { encodeLogKey, LOG_KEY_BYTES, type LogRowHead, readLogRowHead } from "./row-format.js";
import type { SealedTable } from "./sealed-table.js";

/** The tail's name in the main tree. */
export const LOG_TAIL = Buffer.from("log-tail");
const FIRST = Uint8Array.of(0);

/** Whole commits that were made together, at most {@link LOG_ROW_BYTES_MAX} unless it is one. */
export interface LogPiece {
  /** The versionstamp of its last record, 10 bytes. */
  readonly last: Uint8Array;
  readonly records: Uint8Array;
}

export class ChangeLog {
  readonly #rows: SealedTable;
  readonly #main: SealedTable;
  readonly #scratch = new Uint8Array(LOG_KEY_BYTES + LOG_ROW_BYTES_MAX);

  constructor(rows: SealedTable, main: SealedTable) {
    this.#rows = rows;
    this.#main = main;
  }

  /** Appends what one transaction has to say, in the order of the versionstamps. Inside it only. */
  append(pieces: readonly LogPiece[], writtenAtMs: number): void {
    const [first] = pieces;
    if (first === undefined) return;
    let before = this.#openTail(first.records.length);
    let hasTail = false;
    for (const [index, { last, records }] of pieces.entries()) {
      const bytes = before + records.length;
      const key = encodeLogKey(last, writtenAtMs, bytes);
      hasTail = index === pieces.length - 1 && bytes <= LOG_ROW_BYTES_MAX;
      if (before === 0 && !hasTail) this.#rows.put(key, records);
      else {
        this.#scratch.set(key);
        this.#scratch.set(records, LOG_KEY_BYTES + before);
        const tail = this.#scratch.subarray(0, LOG_KEY_BYTES + bytes);
        if (hasTail) this.#main.put(LOG_TAIL, tail);
        else this.#rows.put(key, tail.subarray(LOG_KEY_BYTES));
      }
      before = 0;
    }
    if (!hasTail) this.#main.remove(LOG_TAIL);
  }

  /**
   * Puts the tail's records into the scratch, if there is room for as many bytes behind them; else makes a row of them. Returns how many
   * bytes of records are in the scratch.
   */
  #openTail(bytesToCome: number): number {
    const tail = this.#main.getBinaryFast(LOG_TAIL);
    if (tail === undefined) return 0;
    const bytes = tail.length - LOG_KEY_BYTES;
    if (bytes + bytesToCome <= LOG_ROW_BYTES_MAX) {
      this.#scratch.set(tail);
      return bytes;
    }
    // A copy, of whatever size: another version may have had another bound.
    const row = tail.slice();
    this.#rows.put(row.slice(0, LOG_KEY_BYTES), row.subarray(LOG_KEY_BYTES));
    return 0;
  }

  /**
   * Rows whose last versionstamp is above `after` (10 bytes), the tail among them, in order: at least one if there is any, and no more
   * than fit into `bytesMax` together. Bytes are private.
   */
  read(after: Uint8Array, bytesMax: number): Uint8Array[] {
    const start = new Uint8Array(LOG_KEY_BYTES + 1).fill(0xff);
    start.set(after);
    const rows: Uint8Array[] = [];
    let bytes = 0;
    for (const { value } of this.#rows.getRange({ start })) {
      if (rows.length > 0 && bytes + value.length > bytesMax) return rows;
      rows.push(value);
      bytes += value.length;
      if (bytes >= bytesMax) return rows;
    }
    const tail = this.#main.getBinary(LOG_TAIL);
    if (tail === undefined || Buffer.compare(tail.subarray(0, after.length), after) <= 0) return rows;
    const records = tail.slice(LOG_KEY_BYTES);
    if (rows.length === 0 || bytes + records.length <= bytesMax) rows.push(records);
    return rows;
  }

  /** What the rows are, without the tail, the oldest first. The cursor closes when the iteration ends. */
  *rows(): Generator<LogRowHead, void> {
    for (const key of this.#rows.getKeys({ start: FIRST })) yield readLogRowHead(key);
  }

  /** The same with the tail, as the last. */
  *heads(): Generator<LogRowHead, void> {
    yield* this.rows();
    const tail = this.#main.getBinary(LOG_TAIL);
    if (tail !== undefined) yield readLogRowHead(tail.subarray(0, LOG_KEY_BYTES));
  }

  /** Removes a row. Inside a transaction only. */
  remove(row: LogRowHead): void {
    this.#rows.remove(row.key);
  }
}
