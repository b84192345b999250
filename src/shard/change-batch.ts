/**
 * Owns what one transaction of a shard writes: the entries, their due times, the change records, the log. The shard's writer only.
 *
 * The records are built once, in the order of their versionstamps, each padded to 8 bytes; the same bytes go to the log, inside
 * the transaction, and to the change ring, after it has committed.
 *
 * Invariants
 * 1. `apply` and `finish` run inside the store's transaction; `publish` after it has committed, and never when it has not.
 * 2. Versionstamps grow from one commit to the next.
 * 3. A counter value that was given out is at most so far above what the shard's head says (limits.ts): what is left out at the next opening
 *    covers it.
 * 4. A piece of the log ends where a commit ends. Its versionstamp is that of its last record, not that of a later commit which changed
 *    nothing here: whoever has read it up to its last record does not get it again.
 */

import {
  ChangeCause,
  type ChangeFields,
  type ChangeRecord,
  ChangeType,
  changeRecordBytes,
  readChangeRecord,
  writeChangeRecord,
  writeStubRecord,
} from "../codec/change-record.js";
import { ENTRY_HEADER_BYTES, type EntryHeader, encodeEntry, writeEntry } from "../codec/entry.js";
import { readCounter, VERSIONSTAMP_BYTES, writeVersionstamp } from "../codec/versionstamp.js";
import { COUNTERS_UNMARKED_MAX, LOG_ROW_BYTES_MAX } from "../limits.js";
import { type ChangeRingWriter, maxRecordBytes } from "../ring/change-ring.js";
import { RECORD_ALIGNMENT_BYTES } from "../ring/layout.js";
import type { ShardHead, ShardStore } from "../store/shard-store.js";
import type { StoredValue } from "./combine.js";
import type { Effect, ExpiredEntry } from "./commit-plan.js";
import type { LogTrimmer } from "./log-trimmer.js";

const NOTHING = new Uint8Array(0);
const STUB_BYTES_MAX = 64;
const INITIAL_BYTES = 256 * 1024;
/** Larger entries are made in memory of their own. */
const SCRATCH_BYTES = 64 * 1024;
/** Where a shard stands that has no history. */
const NEW_SHARD: ShardHead = {
  lastVersionstamp: new Uint8Array(VERSIONSTAMP_BYTES),
  trimmedThrough: new Uint8Array(VERSIONSTAMP_BYTES),
  logBytes: 0,
};
/** A buffer that one large batch has blown up is let go when the next batch is this small. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

export class ChangeBatch {
  readonly #store: ShardStore;
  readonly #trimmer: LogTrimmer;
  readonly #ringRecordBytesMax: number;
  #bytes = new Uint8Array(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  /** Entries are made here one after the other: the store copies each at once, and knows the memory's address already. */
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);
  #end = 0;
  /** Pieces of the log that are whole, and where the next one begins. */
  #pieces: { last: Uint8Array; start: number; end: number }[] = [];
  #pieceStart = 0;
  /** Where the last whole commit ends, and the versionstamp of its last record. */
  #wholeEnd = 0;
  #wholeCounter = 0;
  #wholeOrder = 0;
  /** Offset of each record that is too large for the ring. */
  #oversized: number[] = [];
  #counter = 0;
  #order = 0;
  #stamped = false;
  #takenCounter = 0;
  #recordedCounter = 0;
  #recordedOrder = 0;
  #nowMs = 0;
  #changes = 0;
  #earliestDueMs = Number.POSITIVE_INFINITY;

  constructor(store: ShardStore, trimmer: LogTrimmer, ringBytes: number) {
    this.#store = store;
    this.#trimmer = trimmer;
    this.#ringRecordBytesMax = maxRecordBytes(ringBytes);
  }

  /** Forgets the last transaction; the next one is of `nowMs`. */
  reset(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#changes = 0;
    this.#earliestDueMs = Number.POSITIVE_INFINITY;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#allocate(INITIAL_BYTES);
    this.#end = 0;
    this.#pieceStart = 0;
    this.#pieces = [];
    this.#wholeEnd = 0;
    this.#oversized = [];
    this.#stamped = false;
    this.#takenCounter = 0;
  }

  /** The earliest due time that was written since the last reset; `Infinity` when none was. */
  get earliestDueMs(): number {
    return this.#earliestDueMs;
  }

  /** Change records since the last reset. */
  get changeCount(): number {
    return this.#changes;
  }

  /** Applies the effects of one commit. */
  apply(effects: readonly Effect[], counter: number, order: number, isMulti: boolean): void {
    for (const effect of effects) this.#applyOne(effect, counter, order, isMulti);
    this.closeCommit(counter, order);
  }

  /** Removes entries that have expired, under a versionstamp of their own; other shards may do so, too, under the same (`isMulti`). */
  sweep(expired: readonly ExpiredEntry[], counter: number, order: number, isMulti: boolean): void {
    expired.forEach(({ key, expiresAtMs, place, previous }) => {
      this.#store.removeEntry(key);
      this.#store.removeExpiry(expiresAtMs, key);
      this.#record({
        ...this.#deletion(counter, order, key, place),
        ...previousOf(previous),
        cause: ChangeCause.expired,
        isMulti,
      });
    });
    this.closeCommit(counter, order);
  }

  /** Notes a versionstamp that was given out, and ends the piece of the log before its commit if that does not fit in. */
  closeCommit(counter: number, order: number): void {
    this.#counter = counter;
    this.#order = order;
    this.#stamped = true;
    if (this.#end - this.#pieceStart > LOG_ROW_BYTES_MAX) this.#endPiece();
    this.#wholeEnd = this.#end;
    this.#wholeCounter = this.#recordedCounter;
    this.#wholeOrder = this.#recordedOrder;
  }

  /** Notes a counter value that this transaction has taken, whether it gives out a versionstamp of it or not. */
  noteCounter(counter: number): void {
    this.#takenCounter = counter;
  }

  /**
   * Trims the log, appends to it, and writes where the shard stands now if anything has moved. It trims first: LMDB may lose the pages of a
   * large row that is put and removed in one transaction.
   */
  finish(): void {
    this.#endPiece();
    const before = this.#store.head() ?? NEW_SHARD;
    if (
      !this.#stamped &&
      this.#takenCounter > readCounter(before.lastVersionstamp, 0) + COUNTERS_UNMARKED_MAX
    )
      this.closeCommit(this.#takenCounter, 0);
    const logBytes = before.logBytes + this.#pieceStart;
    const trimmed = this.#trimmer.rowsToTrim(logBytes, this.#nowMs);
    if (!this.#stamped && trimmed.length === 0) return;
    for (const row of trimmed) this.#store.log.remove(row);
    this.#appendLog();
    this.#store.putHead({
      lastVersionstamp: this.#stamped ? versionstampOf(this.#counter, this.#order) : before.lastVersionstamp,
      trimmedThrough: trimmed.at(-1)?.key.slice(0, VERSIONSTAMP_BYTES) ?? before.trimmedThrough,
      logBytes: trimmed.reduce((left, { bytes }) => left - bytes, logBytes),
    });
  }

  /** Publishes the records to the ring, those that are too large for it as stubs. */
  publish(ring: ChangeRingWriter): void {
    let start = 0;
    for (const offset of this.#oversized) {
      if (offset > start) ring.publish(this.#bytes.subarray(start, offset));
      const record = readChangeRecord(this.#bytes, offset);
      ring.publish(stubOf(record));
      start = offset + align(record.length);
    }
    if (this.#end > start) ring.publish(this.#bytes.subarray(start, this.#end));
  }

  #applyOne(effect: Effect, counter: number, order: number, isMulti: boolean): void {
    const { key, place, before, after } = effect;
    if (before !== null && before.expiresAtMs !== 0) this.#store.removeExpiry(before.expiresAtMs, key);
    if (after === null) {
      this.#store.removeEntry(key);
      this.#record({
        ...this.#deletion(counter, order, key, place),
        ...previousOf(before?.previous),
        isMulti,
      });
      return;
    }
    const { encoding, value, expiresAtMs } = after;
    this.#store.putEntry(key, this.#entry({ encoding, counter, order, expiresAtMs }, value));
    if (expiresAtMs !== 0) {
      this.#store.putExpiry(expiresAtMs, key);
      this.#earliestDueMs = Math.min(this.#earliestDueMs, expiresAtMs);
    }
    this.#record({
      type: before === null ? ChangeType.create : ChangeType.update,
      cause: ChangeCause.set,
      isMulti,
      encoding,
      counter,
      order,
      place,
      expiresAtMs,
      key,
      value,
      previous: before?.previous ?? undefined,
    });
  }

  /** Bytes of an entry, good until the next one is made. */
  #entry(header: EntryHeader, value: Uint8Array): Uint8Array {
    if (ENTRY_HEADER_BYTES + value.length > SCRATCH_BYTES) return encodeEntry(header, value);
    return this.#scratch.subarray(0, writeEntry(this.#scratch, header, value));
  }

  #deletion(counter: number, order: number, key: Uint8Array, place: number): ChangeFields {
    return {
      type: ChangeType.delete,
      cause: ChangeCause.delete,
      isMulti: false,
      encoding: 0,
      counter,
      order,
      place,
      expiresAtMs: 0,
      key,
      value: NOTHING,
    };
  }

  #record(fields: ChangeFields): void {
    this.#changes++;
    const bytes = changeRecordBytes(fields);
    const padded = align(bytes);
    if (this.#end + padded > this.#bytes.length) this.#grow(this.#end + padded);
    if (padded > this.#ringRecordBytesMax) this.#oversized.push(this.#end);
    const end = writeChangeRecord(this.#bytes, this.#view, this.#end, fields);
    this.#end += padded;
    for (let offset = end; offset < this.#end; offset++) this.#bytes[offset] = 0;
    this.#recordedCounter = fields.counter;
    this.#recordedOrder = fields.order;
  }

  /** Ends a piece of the log with the last whole commit. */
  #endPiece(): void {
    if (this.#wholeEnd === this.#pieceStart) return;
    const last = versionstampOf(this.#wholeCounter, this.#wholeOrder);
    this.#pieces.push({ last, start: this.#pieceStart, end: this.#wholeEnd });
    this.#pieceStart = this.#wholeEnd;
  }

  #appendLog(): void {
    const pieces = this.#pieces.map(({ last, start, end }) => ({
      last,
      records: this.#bytes.subarray(start, end),
    }));
    this.#store.log.append(pieces, this.#nowMs);
  }

  #grow(bytes: number): void {
    const old = this.#bytes;
    this.#allocate(Math.max(bytes, old.length * 2));
    this.#bytes.set(old.subarray(0, this.#end));
  }

  #allocate(bytes: number): void {
    this.#bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.#bytes.buffer);
  }
}

function versionstampOf(counter: number, order: number): Uint8Array {
  const bytes = new Uint8Array(VERSIONSTAMP_BYTES);
  writeVersionstamp(bytes, 0, counter, order);
  return bytes;
}

/** The value before a change, where it is known: a field that is there or not. */
function previousOf(previous: StoredValue | null | undefined): Pick<ChangeFields, "previous"> {
  return previous === null || previous === undefined ? {} : { previous };
}

/** What stands in the ring for a record that is too large for it. */
function stubOf(record: ChangeRecord): Uint8Array {
  const bytes = new Uint8Array(STUB_BYTES_MAX);
  const end = writeStubRecord(bytes, new DataView(bytes.buffer), 0, record);
  return bytes.subarray(0, align(end));
}

function align(bytes: number): number {
  return (bytes + RECORD_ALIGNMENT_BYTES - 1) & ~(RECORD_ALIGNMENT_BYTES - 1);
}
