/**
 * Owns one shard's LMDB environment, as one thread sees it: its tables, its read snapshot, its write transaction.
 * The shard's own thread writes; any thread reads. This folder alone imports `lmdb`.
 *
 * Tables: `entries` key → entry (codec/entry.ts) · `log` last versionstamp of the row, when it was written (f64 ms), its bytes (u32), all
 * big-endian → change records of whole commits · `expiry` due time (f64, big-endian) + key → nothing · `meta` name → bytes ·
 * the tables of the queue (queue-store.ts).
 * A log row's time and size stand in its key so that trimming reads no records.
 *
 * Invariants
 * 1. Bytes that a read returns are borrowed until the next call on this store, unless it says otherwise.
 * 2. No view of shared memory is ever handed to LMDB: that crashes the process. Callers pass private bytes.
 * 3. No cursor outlives the call that opened it, and no snapshot outlives its holder's `done`: both pin pages.
 * 4. The last versionstamp (`meta`) grows with every transaction that changed anything, so equal means unchanged.
 *
 * It does not know what the bytes mean, and takes no decision about a commit.
 */
import { open } from "lmdb";
import { KvStorageError } from "../errors.js";
import { PAGE_SIZE_BYTES } from "../limits.js";
import { QueueStore } from "./queue-store.js";
import { type HeldSnapshot, plain, type Row, type Table } from "./table.js";

export type { HeldSnapshot } from "./table.js";

/** How far an acknowledged write is kept: on disk (`sync`), or through the death of the process (`relaxed`). */
export type Durability = "sync" | "relaxed";

interface Environment extends Table {
  openDB(name: string, options: object): Table;
  transactionSync<T>(action: () => T, flags?: number): T;
  resetReadTxn(): void;
  useReadTransaction(): HeldSnapshot;
  sync(callback: (error: Error | null) => void): void;
  close(): Promise<void>;
}

const MAP_BYTES = 2 ** 40;
const READERS_MAX = 1024;
const TABLE_OPTIONS = { encoding: "binary", keyEncoding: "binary" } as const;
const EMPTY = new Uint8Array(0);

/** A transaction that commits when its function returns. Child transactions are never used. */
const SYNC_COMMIT = 2;

/** Names in the `meta` table. */
const META = {
  head: Buffer.from("head"),
  round: Buffer.from("round"),
  redo: Buffer.from("redo"),
} as const;

/** What a log row's key says of it. */
export interface LogRowHead {
  readonly key: Uint8Array;
  readonly writtenAtMs: number;
  readonly bytes: number;
}

/** Where a shard stands. */
export interface ShardHead {
  /** The last versionstamp that it has used, 10 private bytes. */
  readonly lastVersionstamp: Uint8Array;
  /** The last versionstamp of its log that has been trimmed away, 10 private bytes; zero when none has. */
  readonly trimmedThrough: Uint8Array;
  /** Bytes of records in its log. */
  readonly logBytes: number;
}

export class ShardStore {
  readonly #environment: Environment;
  readonly #entries: Table;
  readonly #log: Table;
  readonly #expiry: Table;
  readonly #meta: Table;
  /** Messages, and in which state they are. */
  readonly queue: QueueStore;

  /** Opens, and where needed creates, the environment in the directory `path`. Throws {@link KvStorageError}. */
  static open(path: string, durability: Durability): ShardStore {
    try {
      return new ShardStore(path, durability);
    } catch (error) {
      throw new KvStorageError(`can't open the shard in ${path}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  private constructor(path: string, durability: Durability) {
    this.#environment = open({
      path,
      ...TABLE_OPTIONS,
      noSubdir: false,
      mapSize: MAP_BYTES,
      pageSize: PAGE_SIZE_BYTES,
      maxDbs: 16,
      maxReaders: READERS_MAX,
      overlappingSync: false,
      noSync: durability === "relaxed",
      eventTurnBatching: false,
      cache: false,
    } as Parameters<typeof open>[0]) as unknown as Environment;
    this.#entries = this.#environment.openDB("entries", TABLE_OPTIONS);
    this.#log = this.#environment.openDB("log", TABLE_OPTIONS);
    this.#expiry = this.#environment.openDB("expiry", TABLE_OPTIONS);
    this.#meta = this.#environment.openDB("meta", TABLE_OPTIONS);
    this.queue = new QueueStore((name) => this.#environment.openDB(name, TABLE_OPTIONS), this.#meta);
  }

  // ── snapshots ────────────────────────────────────────────────────────────────────────────────────

  /** Lets the next read see the newest commit. Held snapshots keep theirs. */
  renew(): void {
    this.#environment.resetReadTxn();
  }

  /** A read transaction on the newest commit of this moment, which stays until `done`. */
  hold(): HeldSnapshot {
    this.#environment.resetReadTxn();
    return this.#environment.useReadTransaction();
  }

  // ── entries ──────────────────────────────────────────────────────────────────────────────────────

  /** The entry's bytes, borrowed; `undefined` where there is none. Inside a transaction it sees that transaction's writes. */
  readEntry(key: Uint8Array, snapshot?: HeldSnapshot): Uint8Array | undefined {
    const bytes = this.#entries.getBinaryFast(key, snapshot && { transaction: snapshot });
    return bytes && plain(bytes);
  }

  /** Entries in `[start, end)`, in key order or its reverse, with private bytes. The cursor closes when the iteration ends. */
  rangeEntries(start: Uint8Array, end: Uint8Array, reverse: boolean, snapshot: HeldSnapshot): Iterable<Row> {
    if (!reverse) return this.#entries.getRange({ start, end, transaction: snapshot });
    return this.#entries.getRange({
      start: end,
      end: start,
      reverse: true,
      exclusiveStart: true,
      inclusiveEnd: true,
      transaction: snapshot,
    });
  }

  putEntry(key: Uint8Array, entry: Uint8Array): void {
    this.#entries.put(key, entry);
  }

  removeEntry(key: Uint8Array): void {
    this.#entries.remove(key);
  }

  // ── expiry ───────────────────────────────────────────────────────────────────────────────────────

  putExpiry(dueMs: number, key: Uint8Array): void {
    this.#expiry.put(expiryKey(dueMs, key), EMPTY);
  }

  removeExpiry(dueMs: number, key: Uint8Array): void {
    this.#expiry.remove(expiryKey(dueMs, key));
  }

  /** The earliest due time in milliseconds, `Infinity` when nothing expires. Inside a transaction only. */
  firstDueMs(): number {
    for (const row of this.#expiry.getKeys({ start: EMPTY_START, limit: 1 })) return readDueMs(row);
    return Number.POSITIVE_INFINITY;
  }

  /** Keys that are due at `nowMs`, earliest first, at most `limit`. Inside a transaction only. */
  dueKeys(nowMs: number, limit: number): { dueMs: number; key: Uint8Array }[] {
    const due: { dueMs: number; key: Uint8Array }[] = [];
    for (const row of this.#expiry.getKeys({ start: EMPTY_START, limit })) {
      const dueMs = readDueMs(row);
      if (dueMs > nowMs) break;
      due.push({ dueMs, key: row.slice(8) });
    }
    return due;
  }

  // ── the change log ───────────────────────────────────────────────────────────────────────────────

  /** Appends a row whose last versionstamp is `last` (10 bytes). */
  appendLog(last: Uint8Array, writtenAtMs: number, records: Uint8Array): void {
    const key = new Uint8Array(LOG_KEY_BYTES);
    key.set(last);
    const view = new DataView(key.buffer);
    view.setFloat64(VERSIONSTAMP_BYTES, writtenAtMs);
    view.setUint32(VERSIONSTAMP_BYTES + 8, records.length);
    this.#log.put(key, records);
  }

  /**
   * Rows whose last versionstamp is above `after` (10 bytes), in order: at least one if there is any, and no more than fit
   * into `bytesMax` together. Bytes are private.
   */
  readLog(after: Uint8Array, bytesMax: number): Uint8Array[] {
    const start = new Uint8Array(LOG_KEY_BYTES + 1).fill(0xff);
    start.set(after);
    const rows: Uint8Array[] = [];
    let bytes = 0;
    for (const { value } of this.#log.getRange({ start })) {
      if (rows.length > 0 && bytes + value.length > bytesMax) break;
      rows.push(plain(value));
      bytes += value.length;
      if (bytes >= bytesMax) break;
    }
    return rows;
  }

  /** The oldest rows of the log, at most `limit`. */
  oldestLogRows(limit: number): LogRowHead[] {
    const heads: LogRowHead[] = [];
    for (const key of this.#log.getKeys({ start: EMPTY_START, limit })) {
      const view = new DataView(key.buffer, key.byteOffset, key.length);
      const writtenAtMs = view.getFloat64(VERSIONSTAMP_BYTES);
      heads.push({ key: key.slice(), writtenAtMs, bytes: view.getUint32(VERSIONSTAMP_BYTES + 8) });
    }
    return heads;
  }

  removeLogRow(row: LogRowHead): void {
    this.#log.remove(row.key);
  }

  // ── meta ─────────────────────────────────────────────────────────────────────────────────────────

  /** Where the shard stands; `undefined` in a new one. */
  head(snapshot?: HeldSnapshot): ShardHead | undefined {
    const found = this.#meta.getBinary(META.head, snapshot && { transaction: snapshot });
    if (found === undefined) return undefined;
    const bytes = plain(found);
    return {
      lastVersionstamp: bytes.slice(0, VERSIONSTAMP_BYTES),
      trimmedThrough: bytes.slice(VERSIONSTAMP_BYTES, 2 * VERSIONSTAMP_BYTES),
      logBytes: new DataView(bytes.buffer, bytes.byteOffset).getFloat64(2 * VERSIONSTAMP_BYTES),
    };
  }

  putHead(head: ShardHead): void {
    const bytes = new Uint8Array(2 * VERSIONSTAMP_BYTES + 8);
    bytes.set(head.lastVersionstamp);
    bytes.set(head.trimmedThrough, VERSIONSTAMP_BYTES);
    new DataView(bytes.buffer).setFloat64(2 * VERSIONSTAMP_BYTES, head.logBytes);
    this.#meta.put(META.head, bytes);
  }

  /** The last versionstamp that this shard has used, 10 private bytes; `undefined` in a new shard. */
  lastVersionstamp(snapshot?: HeldSnapshot): Uint8Array | undefined {
    return this.head(snapshot)?.lastVersionstamp;
  }

  /** The last round that this shard has taken part in and committed, 0 when none. */
  appliedRound(): number {
    const bytes = this.#meta.getBinaryFast(META.round);
    return bytes === undefined ? 0 : new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
  }

  /** The redo record of the last round of this shard, private bytes. */
  redo(): Uint8Array | undefined {
    const bytes = this.#meta.getBinary(META.redo);
    return bytes && plain(bytes);
  }

  putRound(round: number, redo: Uint8Array): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, round);
    this.#meta.put(META.round, bytes);
    this.#meta.put(META.redo, redo);
  }

  // ── life ─────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Runs `action` in the write transaction and commits. When it or the commit throws, nothing has changed. With durability
   * `sync` it returns after the flush. The action must not wait for anything that needs another transaction of this shard.
   */
  transaction<T>(action: () => T): T {
    return this.#environment.transactionSync(action, SYNC_COMMIT);
  }

  /** Flushes what was committed without a flush, off this thread. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#environment.sync((error) => {
        if (error) reject(new KvStorageError(`can't flush: ${error.message}`, { cause: error }));
        else resolve();
      });
    });
  }

  close(): Promise<void> {
    return this.#environment.close();
  }
}

/** Bytes of a versionstamp, which the store sorts by and does not read. */
const VERSIONSTAMP_BYTES = 10;
const LOG_KEY_BYTES = VERSIONSTAMP_BYTES + 12;

const EMPTY_START = Uint8Array.of(0);

/** Due times sort as big-endian doubles because they are positive. */
function expiryKey(dueMs: number, key: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + key.length);
  new DataView(bytes.buffer).setFloat64(0, dueMs);
  bytes.set(key, 8);
  return bytes;
}

function readDueMs(row: Uint8Array): number {
  return new DataView(row.buffer, row.byteOffset, 8).getFloat64(0);
}
