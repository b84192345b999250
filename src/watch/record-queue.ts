/**
 * Owns the records of one shard that were read and not yet taken, and the knowledge of how far they are complete.
 * Runs in the thread that reads.
 *
 * Records of one shard come in increasing (counter, order), and those of one commit stand together; but a block from the ring
 * may end in the middle of a commit, and nothing in a record says that it is its commit's last. So a commit is known to be whole
 * only when a record of a later one stands behind it, when it came from the log (whose rows hold whole commits), or when the
 * source had nothing more although everything up to it must have been there.
 *
 * Invariants:
 * 1. sealed <= last. Every wanted record of the shard up to `sealed` has come, and stands here until it is taken; of the commit at `last` some
 *    may be missing. A record that is not wanted moves both lines all the same.
 * 2. `sealed` is the highest such line that is known, and not only the last commit below it. At the start there may be commits
 *    between the two that were published before the ring was followed: reading the log from an older line would bring them up again.
 * 3. A record at or below `sealed` is skipped, so two sources that overlap yield each record once. In the ring such a record is
 *    allowed only as far as the log was read: another one would have been published below the watermark, and lost.
 *
 * It does not know where records come from, and does not merge shards: see `commit-merge.ts`.
 */
import { type ChangeRecord, readChangeRecord } from "../codec/change-record.js";
import { KvCorruptError } from "../errors.js";
import { aligned } from "../ring/ring-memory.js";
import { compareStamps, laterStamp, type Stamp, stampBefore, stampOf } from "./stamp.js";

/** As many records that were taken are worth a cut. */
const TAKEN_MIN = 64;

/** Who wants the records of a queue. */
export interface Interest {
  /** Whether a record is to be kept; it is asked when the record comes. */
  isWanted(record: ChangeRecord): boolean;
  /** Those from the index `from` on were kept, and will be taken soon. */
  onKept(records: readonly ChangeRecord[], from: number): void;
}

const EVERYTHING: Interest = { isWanted: () => true, onKept: () => {} };

export class RecordQueue {
  readonly #interest: Interest;
  #records: ChangeRecord[] = [];
  /** The stamp of each, by the same index: reading it from the record takes ten bytes one by one, and it is asked for often. */
  #stamps: Stamp[] = [];
  #takenCount = 0;
  /** Index of the first record that was not shown ahead. */
  #aheadEnd = 0;
  #bytes = 0;
  #sealed: Stamp;
  #last: Stamp;
  /** The last commit that came from the log. */
  #readFromLog: Stamp;

  /**
   * @param after Records at or below it are not wanted, and count as complete.
   * @param interest Default: all of them.
   */
  constructor(after: Stamp, interest = EVERYTHING) {
    this.#interest = interest;
    this.#sealed = after;
    this.#last = after;
    this.#readFromLog = after;
  }

  /** Of the oldest record that was not taken. */
  get head(): Stamp | undefined {
    return this.#stamps[this.#takenCount];
  }

  /** Bytes of the records that were not taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The line up to which nothing is missing: commits up to it may be taken, and a source is read on from there. */
  get sealed(): Stamp {
    return this.#sealed;
  }

  /** Whether all that is here belongs to one commit that is not known to be whole, or there is nothing. */
  get holdsNothingWhole(): boolean {
    const head = this.head;
    return head === undefined || (this.#isOpen && compareStamps(head, this.#last) === 0);
  }

  /** The newest commit that has come, whole or not. */
  get last(): Stamp {
    return this.#last;
  }

  /**
   * Takes the records of a block of the ring, which must be private: they are borrowed from it for as long as they stand here.
   *
   * @returns False when it met a stub: that record, and those behind it, were not taken and must come from the log.
   * @throws KvCorruptError when the records are not in order, or below what was said to be complete.
   */
  appendRing(block: Uint8Array): boolean {
    return this.#append(block, this.#readFromLog);
  }

  /**
   * Takes the records of a row of the log, under the same conditions. A row holds whole commits.
   *
   * @throws KvCorruptError when the records are not in order, or one of them is a stub.
   */
  appendRow(row: Uint8Array): void {
    if (!this.#append(row, this.#sealed))
      throw new KvCorruptError("the change log holds a stub instead of the record");
    this.#sealed = this.#last;
    this.#readFromLog = this.#last;
  }

  /** The source had nothing more, although every record up to `stamp` that is wanted must have been in it. */
  coverThrough(stamp: Stamp): void {
    this.#sealed = laterStamp(this.#sealed, stamp);
    this.#last = laterStamp(this.#last, stamp);
  }

  /** Forgets the records of the last commit, unless it is known to be whole: it will come again from another source. */
  dropUnsealed(): void {
    for (;;) {
      const stamp = this.#stamps.at(-1);
      if (stamp === undefined || compareStamps(stamp, this.#sealed) <= 0) break;
      if (this.#records.length <= this.#takenCount)
        throw new KvCorruptError("a commit was taken before it was whole");
      this.#stamps.pop();
      this.#bytes -= this.#records.pop()!.length;
    }
    this.#last = this.#sealed;
  }

  /**
   * The records of the next whole commit of this shard, which stay here until they are taken in the order of all shards; `undefined`
   * when every whole commit was shown.
   */
  showAhead(): readonly ChangeRecord[] | undefined {
    const commit = this.#commitAt(this.#aheadEnd);
    this.#aheadEnd += commit?.length ?? 0;
    return commit;
  }

  /** The commits that were shown ahead and not taken yet. */
  *shownAhead(): Generator<readonly ChangeRecord[]> {
    for (let index = this.#takenCount; index < this.#aheadEnd; ) {
      const commit = this.#commitAt(index)!;
      yield commit;
      index += commit.length;
    }
  }

  /** Moves the records of the commit at `stamp` to the end of `records`, if that commit is the first one here. */
  takeCommit(stamp: Stamp, records: ChangeRecord[]): void {
    let head = this.head;
    if (head === undefined || compareStamps(head, stamp) !== 0) return;
    do {
      const record = this.#records[this.#takenCount++]!;
      this.#bytes -= record.length;
      records.push(record);
      head = this.head;
    } while (head !== undefined && compareStamps(head, stamp) === 0);
    this.#aheadEnd = Math.max(this.#aheadEnd, this.#takenCount);
    this.#forgetTaken();
  }

  get #isOpen(): boolean {
    return compareStamps(this.#last, this.#sealed) > 0;
  }

  #commitAt(index: number): readonly ChangeRecord[] | undefined {
    const first = this.#stamps[index];
    if (first === undefined || compareStamps(first, this.#sealed) > 0) return undefined;
    let end = index + 1;
    while (end < this.#stamps.length && compareStamps(this.#stamps[end]!, first) === 0) end++;
    return this.#records.slice(index, end);
  }

  /**
   * Hot path where nobody wants the records: for one of those it reads a stamp, and asks.
   *
   * @param knownThrough Records up to it may come again.
   */
  #append(block: Uint8Array, knownThrough: Stamp): boolean {
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    const first = this.#records.length;
    let offset = 0;
    while (offset < block.byteLength) {
      const record = readChangeRecord(block, offset, view);
      offset += aligned(record.length);
      const stamp = stampOf(record);
      if (compareStamps(stamp, knownThrough) <= 0) continue;
      this.#reach(stamp);
      if (record.isStub) return false;
      if (!this.#interest.isWanted(record)) continue;
      this.#records.push(record);
      this.#stamps.push(stamp);
      this.#bytes += record.length;
    }
    if (this.#records.length > first) this.#interest.onKept(this.#records, first);
    return true;
  }

  /** A record of the commit at `stamp` has come: all that came before a later commit is whole. */
  #reach(stamp: Stamp): void {
    const order = compareStamps(stamp, this.#last);
    if (order < 0 || (order === 0 && !this.#isOpen)) throw outOfOrder(stamp, this.#last);
    if (order === 0) return;
    this.#sealed = stampBefore(stamp);
    this.#last = stamp;
  }

  /** Cuts off the front when it is half of the array, so that each record is moved once on average, and when nothing stands behind it. */
  #forgetTaken(): void {
    const { length } = this.#records;
    if (this.#takenCount < length && (this.#takenCount < TAKEN_MIN || this.#takenCount * 2 < length)) return;
    this.#records = this.#records.slice(this.#takenCount);
    this.#stamps = this.#stamps.slice(this.#takenCount);
    this.#aheadEnd -= this.#takenCount;
    this.#takenCount = 0;
  }
}

function outOfOrder(stamp: Stamp, last: Stamp): KvCorruptError {
  return new KvCorruptError(
    `a shard's change (${stamp.counter}, ${stamp.order}) came when all was there up to (${last.counter}, ${last.order})`,
  );
}
