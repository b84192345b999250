/**
 * Owns the verification of one shard: what its rows must be, and how its tables must agree with each other. It is fed with all rows of a
 * state (store/page-check.ts reads them without LMDB), the tables in the order of {@link TABLE_ORDER}.
 *
 * What must hold
 * 1. Every row has its checksum, every key and value can be decoded, every entry is in the shard that its key belongs to.
 * 2. The log is in the order of its versionstamps, each row ends with the versionstamp of its key, and none is above the shard's last.
 * 3. The newest change of a key in the log is what the entries have; an entry that the log does not have is older than the log.
 * 4. Every entry with a due time has one row in `expiry`, and every row there has its entry.
 * 5. The queue is whole: queue-verification.ts.
 */
import { readChangeRecord } from "../codec/change-record.js";
import { entryEncoding, entryExpiresAtMs, entryValue, entryVersionstamp } from "../codec/entry.js";
import { decodeKey, partitionOf } from "../codec/key.js";
import { decodeValue } from "../codec/value.js";
import { readVersionstamp } from "../codec/versionstamp.js";
import { checksum32 } from "../store/checksum.js";
import { MAIN_TREE } from "../store/page-check.js";
import {
  decodeHead,
  LOG_KEY_BYTES,
  type LogRowHead,
  readLogRowHead,
  type ShardHead,
} from "../store/row-format.js";
import { openRow } from "../store/sealed-table.js";
import { QUEUE_TABLES, type QueueTable, QueueVerification } from "./queue-verification.js";

/** After the rows of the main tree, which say what the others are held against; the log says what the entries are. */
export const TABLE_ORDER = ["meta", "log", "entries", "expiry", ...QUEUE_TABLES] as const;
const RECORD_ALIGNMENT_BYTES = 8;
const DUE_BYTES = 8;
const DELETED = 3;

/** What a shard holds. */
export interface ShardContents {
  readonly entries: number;
  /** Entries with a due time. */
  readonly expiring: number;
  readonly logRows: number;
  /** Change records in the log. */
  readonly changes: number;
  /** Messages of its queue, in whatever state, dead letters included. */
  readonly messages: number;
}

export interface ShardPlace {
  readonly shard: number;
  readonly shards: number;
  readonly partitionDepth: number;
}

export class ShardVerification {
  readonly #place: ShardPlace;
  readonly #report: (what: string) => void;
  #head: ShardHead | null = null;
  /** The log's tail, which comes before the log's rows. */
  #tail: Uint8Array | null = null;
  #lastLogged = "";
  #logBytes = 0;
  #logRows = 0;
  #changes = 0;
  #entries = 0;
  #expiring = 0;
  #due = 0;
  /** Sums of checksums of due times and keys: equal where the same rows were added up. */
  #expectedDue = 0;
  #foundDue = 0;
  /** By key: the versionstamp of the newest change in the log, "" when it is a delete. */
  readonly #logged = new Map<string, string>();
  readonly #queue: QueueVerification;

  constructor(place: ShardPlace, report: (what: string) => void) {
    this.#place = place;
    this.#report = report;
    this.#queue = new QueueVerification(report);
  }

  /** One row. Never throws. */
  row(table: string, key: Uint8Array, sealed: Uint8Array): void {
    try {
      const payload = openRow(table, key, sealed);
      if (table !== MAIN_TREE && table !== "meta" && table !== "log") this.#logTail();
      if (table === MAIN_TREE) this.#mainRow(Buffer.from(key).toString(), payload);
      else if (table === "meta") this.#meta(key, payload);
      else if (table === "log") this.#logRow(readLogRowHead(key), payload);
      else if (table === "entries") this.#entry(key, payload);
      else if (table === "expiry") this.#expiry(key);
      else if (isOfQueue(table)) this.#queue.row(table, key, payload);
    } catch (error) {
      const name = Buffer.from(key.subarray(0, 40)).toString("hex");
      this.#report(
        (error as Error).message.includes(name)
          ? (error as Error).message
          : `${table}, row ${name}: ${(error as Error).message}`,
      );
    }
  }

  /** All rows have come: what they must be together. */
  finish(): ShardContents {
    this.#logTail();
    if (this.#head !== null && this.#head.logBytes !== this.#logBytes)
      this.#report(`log: it has ${this.#logBytes} bytes of changes, the shard says ${this.#head.logBytes}`);
    if (this.#head === null && this.#entries + this.#logRows > 0)
      this.#report("main tree: there are entries, and no word of where the shard stands");
    for (const [key, versionstamp] of this.#logged) {
      if (versionstamp !== "")
        this.#report(
          `entries: ${hexOf(key)} was set at ${versionstamp} according to the log, and is not there`,
        );
    }
    if (this.#expiring !== this.#due || this.#expectedDue !== this.#foundDue)
      this.#report(
        `expiry: ${this.#due} due times, and ${this.#expiring} entries that have one: they do not agree`,
      );
    return {
      entries: this.#entries,
      expiring: this.#expiring,
      logRows: this.#logRows,
      changes: this.#changes,
      messages: this.#queue.finish(),
    };
  }

  #meta(key: Uint8Array, payload: Uint8Array): void {
    if (Buffer.from(key).toString() === "queue") this.#queue.counts(payload);
  }

  #mainRow(name: string, payload: Uint8Array): void {
    if (name === "head") {
      this.#head = decodeHead(payload);
      this.#queue.stands(readVersionstamp(this.#head.lastVersionstamp, 0));
    } else if (name === "log-tail") this.#tail = payload;
    else this.#report(`main tree: nobody knows what "${name}" is`);
  }

  /** The log's tail, once its rows have been seen. */
  #logTail(): void {
    if (this.#tail === null) return;
    const tail = this.#tail;
    this.#tail = null;
    this.#logRow(readLogRowHead(tail.subarray(0, LOG_KEY_BYTES)), tail.subarray(LOG_KEY_BYTES));
  }

  #logRow({ key, bytes }: LogRowHead, payload: Uint8Array): void {
    this.#logRows++;
    this.#logBytes += payload.length;
    if (bytes !== payload.length) this.#report(`log: a row says ${bytes} bytes, it has ${payload.length}`);
    let last = "";
    for (let offset = 0; offset < payload.length; ) {
      const record = readChangeRecord(payload, offset);
      last = record.versionstamp;
      if (last < this.#lastLogged) this.#report(`log: ${last} stands after ${this.#lastLogged}`);
      this.#lastLogged = last;
      this.#changes++;
      decodeKey(record.key);
      this.#logged.set(latin(record.key), record.type === DELETED ? "" : last);
      offset += (record.length + RECORD_ALIGNMENT_BYTES - 1) & -RECORD_ALIGNMENT_BYTES;
    }
    const named = readVersionstamp(key, 0);
    if (named !== last) this.#report(`log: the row of ${named} ends with ${last}`);
    if (this.#head !== null && last > readVersionstamp(this.#head.lastVersionstamp, 0))
      this.#report(`log: ${last} is above the last versionstamp of the shard`);
  }

  #entry(key: Uint8Array, payload: Uint8Array): void {
    this.#entries++;
    const { shard, shards, partitionDepth } = this.#place;
    decodeKey(key);
    decodeValue(entryEncoding(payload), entryValue(payload));
    const home = partitionOf(key, partitionDepth, shards);
    if (home !== shard) this.#report(`entries: ${hexOf(latin(key))} belongs to shard ${home}`);
    this.#compareWithLog(latin(key), entryVersionstamp(payload));
    const expiresAtMs = entryExpiresAtMs(payload);
    if (expiresAtMs === 0) return;
    this.#expiring++;
    const due = new Uint8Array(DUE_BYTES + key.length);
    new DataView(due.buffer).setFloat64(0, expiresAtMs);
    due.set(key, DUE_BYTES);
    this.#expectedDue = (this.#expectedDue + checksum32(due, due.length, 1)) % 2 ** 40;
  }

  #compareWithLog(key: string, versionstamp: string): void {
    const logged = this.#logged.get(key);
    this.#logged.delete(key);
    const trimmedThrough = this.#head === null ? "" : readVersionstamp(this.#head.trimmedThrough, 0);
    if (logged === undefined) {
      if (versionstamp > trimmedThrough)
        this.#report(`log: it has no change of ${hexOf(key)}, which was set at ${versionstamp}`);
    } else if (logged !== versionstamp) {
      const said = logged === "" ? "deleted" : `set at ${logged}`;
      this.#report(
        `entries: ${hexOf(key)} was ${said} according to the log, its versionstamp is ${versionstamp}`,
      );
    }
  }

  #expiry(key: Uint8Array): void {
    this.#due++;
    this.#foundDue = (this.#foundDue + checksum32(key, key.length, 1)) % 2 ** 40;
  }
}

function isOfQueue(table: string): table is QueueTable {
  return (QUEUE_TABLES as readonly string[]).includes(table);
}

function latin(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function hexOf(key: string): string {
  return Buffer.from(key, "latin1").toString("hex");
}
