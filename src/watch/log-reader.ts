/**
 * Owns reading the shards' change logs as one ordered sequence of commits, from any stamp on. Runs in a caller's thread; it is how
 * a feed that fell behind, or one that resumes from a position, gets what the rings no longer have.
 *
 * Invariants:
 * 1. `next(through)` yields every commit above `after` and up to `through`, once, whole, in order, over all its calls.
 * 2. `through` must be a line below which every commit is in its shards' logs, on all its shards: the dispatcher's
 *    `deliveredThrough` is one. A log may hold records above it, of a round that other shards have not committed; they wait here.
 * 3. It holds at most one read a shard, and reads a shard again only when nothing of it is left.
 *
 * The merge needs no watermark: a shard that has a head has nothing before it, and one that has none was asked until its log
 * had nothing more up to `through`. So the first of the heads is the next commit, and all its records are at the heads.
 *
 * It does not filter and does not wait: its owner decides when the next slice is due.
 */
import type { ChangeRecord } from "../codec/change-record.js";
import { KvCorruptError } from "../errors.js";
import { CATCH_UP_FIRST_READ_BYTES, CATCH_UP_SLICE_BYTES_MAX } from "../limits.js";
import { takeCommit } from "./commit-merge.js";
import { RecordQueue } from "./record-queue.js";
import { compareStamps, laterStamp, type Stamp } from "./stamp.js";

/**
 * Reads one shard's change log, on a snapshot that is fresh when the call begins.
 *
 * The rows whose last stamp is above `after`, in order: at least one if there is any, otherwise no more than `bytesMax` together.
 * Each is a private copy of whole commits, records aligned as in the ring; the first may begin with records at or below `after`.
 */
export type ReadLog = (shard: number, after: Stamp, bytesMax: number) => readonly Uint8Array[];

export class LogReader {
  readonly #readLog: ReadLog;
  readonly #queues: readonly RecordQueue[];
  readonly #readBytesMax: number;
  #readBytes = CATCH_UP_FIRST_READ_BYTES;
  #sliceBytesLeft = 0;

  /**
   * @param after The last stamp that is not wanted.
   * @param ahead Of each shard, where it has one, another one if that is later.
   */
  constructor(
    shardCount: number,
    readLog: ReadLog,
    after: Stamp,
    ahead: readonly (Stamp | undefined)[] = [],
  ) {
    this.#readLog = readLog;
    this.#queues = Array.from(
      { length: shardCount },
      (_, shard) => new RecordQueue(laterStamp(after, ahead[shard] ?? after)),
    );
    this.#readBytesMax = Math.ceil(CATCH_UP_SLICE_BYTES_MAX / shardCount);
  }

  /** Allows another {@link CATCH_UP_SLICE_BYTES_MAX} bytes of log to be read (and at most one row of each shard more). */
  beginSlice(): void {
    this.#sliceBytesLeft = CATCH_UP_SLICE_BYTES_MAX;
  }

  /** Bytes that were read since the slice began. */
  get sliceBytes(): number {
    return CATCH_UP_SLICE_BYTES_MAX - this.#sliceBytesLeft;
  }

  /**
   * The records of the next commit up to `through`; `"met"` when there is none; `"paused"` when the slice is used up.
   *
   * @throws whatever reading the log throws; then the reader is of no more use.
   */
  next(through: Stamp): ChangeRecord[] | "met" | "paused" {
    for (let shard = 0; shard < this.#queues.length; shard++) {
      const queue = this.#queues[shard]!;
      if (queue.head !== undefined || compareStamps(queue.sealed, through) >= 0) continue;
      if (this.#sliceBytesLeft <= 0) return "paused";
      this.#sliceBytesLeft -= appendLog(queue, this.#readLog(shard, queue.sealed, this.#nextReadBytes()));
      if (queue.head === undefined) queue.coverThrough(through);
    }
    return takeCommit(this.#queues, through) ?? "met";
  }

  #nextReadBytes(): number {
    const bytes = Math.min(this.#readBytes, this.#readBytesMax);
    this.#readBytes = bytes * 2;
    return bytes;
  }
}

/** Appends log rows to a queue that has consumed the log up to its `sealed`. Returns their bytes: 0 when the log has no more. */
export function appendLog(queue: RecordQueue, rows: readonly Uint8Array[]): number {
  const before = queue.sealed;
  let bytes = 0;
  for (const row of rows) {
    queue.appendRow(row);
    bytes += row.byteLength;
  }
  if (bytes > 0 && compareStamps(queue.sealed, before) === 0) {
    throw new KvCorruptError("the change log gave rows that hold nothing above the stamp that was asked for");
  }
  return bytes;
}
