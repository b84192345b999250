/**
 * Owns one shard's LMDB environment, as one thread sees it: its tables, its read snapshot, its write transaction.
 * The shard's own thread writes; any thread reads. This folder alone imports `lmdb`.
 *
 * Every row carries a checksum (sealed-table.ts).
 * Tables: `entries` key → entry (codec/entry.ts) · `log` (change-log.ts) · `expiry` due time (f64, big-endian) + key → nothing ·
 * `meta` name → bytes · the tables of the queue (queue-store.ts). Where the shard stands (`head`) and the log's tail are rows of the main tree.
 *
 * Invariants
 * 1. Bytes that a read returns are borrowed until the next call on this store, unless it says otherwise.
 * 2. No view of shared memory is ever handed to LMDB: that crashes the process. Callers pass private bytes.
 * 3. No cursor outlives the call that opened it, and no snapshot outlives its holder's `done`: both pin pages.
 * 4. The last versionstamp (`head`) grows with every transaction that changed anything, so equal means unchanged.
 *
 * It does not know what the bytes mean, and takes no decision about a commit.
 */
import { statfsSync } from "node:fs";
import { open } from "lmdb";
import { KvStorageError } from "../errors.js";
import { MAP_BYTES, PAGE_SIZE_BYTES, STORE_READERS_MAX } from "../limits.js";
import { ChangeLog } from "./change-log.js";
import { QueueStore } from "./queue-store.js";
import { decodeHead, encodeHead, type ShardHead } from "./row-format.js";
import { SealedTable } from "./sealed-table.js";
import type { HeldSnapshot, RangeOptions, Row, Table } from "./table.js";

export type { LogRowHead, ShardHead } from "./row-format.js";
export type { HeldSnapshot } from "./table.js";

/** How far an acknowledged write is kept: on disk (`sync`), or through the death of the process (`relaxed`). */
export type Durability = "sync" | "relaxed";

/** What of lmdb we use, with the options that its typings leave out. */
interface Environment extends Table {
  openDB(name: string, options: object): Table;
  transactionSync<T>(action: () => T, flags?: number): T;
  resetReadTxn(): void;
  useReadTransaction(): HeldSnapshot & { renew(): void };
  getStats(): { readonly lastTxnId: number };
  readerList(): string;
  readonly status: string;
  backup(path: string, compact: boolean): Promise<void>;
  close(): Promise<void>;
}

function rangeOptions(
  start: Uint8Array,
  end: Uint8Array,
  reverse: boolean,
  transaction: HeldSnapshot,
): RangeOptions {
  if (!reverse) return { start, end, transaction };
  return { start: end, end: start, reverse, exclusiveStart: true, inclusiveEnd: true, transaction };
}

/** Longer keys are copied by a call, which costs as much as this many bytes in a loop. */
const LOOP_BYTES_MAX = 48;

/**
 * How the binding reads and writes entries: values are shown where they are, without a copy, and keys are plain arrays. What it does by
 * itself for binary tables makes two Buffers a row, and costs more than the row.
 */
const ENTRY_TABLE_OPTIONS = {
  encoding: "binary",
  encoder: { encode: (value: Uint8Array) => value, decode: (value: Uint8Array) => value },
  keyEncoder: { writeKey, readKey },
} as const;

function writeKey(key: Uint8Array, target: Uint8Array, start: number): number {
  const { length } = key;
  if (length > LOOP_BYTES_MAX) target.set(key, start);
  else for (let index = 0; index < length; index++) target[start + index] = key[index]!;
  return start + length;
}

function readKey(source: Uint8Array, start: number, end: number): Uint8Array {
  const key = new Uint8Array(end - start);
  if (end - start > LOOP_BYTES_MAX)
    key.set(new Uint8Array(source.buffer, source.byteOffset + start, end - start));
  else for (let index = start; index < end; index++) key[index - start] = source[index]!;
  return key;
}

const TABLE_OPTIONS = { encoding: "binary", keyEncoding: "binary" } as const;
const EMPTY = new Uint8Array(0);

/** A transaction that commits when its function returns. Child transactions are never used. */
const SYNC_COMMIT = 2;

/** The name of where the shard stands. It is in the main tree: every transaction writes that page anyway. */
const HEAD = Buffer.from("head");
/** Names in the `meta` table. */
const META = {
  round: Buffer.from("round"),
  redo: Buffer.from("redo"),
} as const;

export class ShardStore {
  readonly #path: string;
  readonly #durability: Durability;
  #environment: Environment;
  #entries: SealedTable;
  #log: ChangeLog;
  #expiry: SealedTable;
  #meta: SealedTable;
  /** The main tree, in which the roots of all tables are. */
  #main: SealedTable;
  #queue: QueueStore;

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
    this.#path = path;
    this.#durability = durability;
    this.#environment = this.#openEnvironment();
    this.#entries = this.#openTable("entries", ENTRY_TABLE_OPTIONS);
    this.#main = this.#sealed("main tree", this.#environment);
    this.#log = new ChangeLog(this.#openTable("log"), this.#main);
    this.#expiry = this.#openTable("expiry");
    this.#meta = this.#openTable("meta");
    this.#queue = this.#openQueue();
  }

  #openEnvironment(): Environment {
    return open({
      path: this.#path,
      ...TABLE_OPTIONS,
      noSubdir: false,
      mapSize: MAP_BYTES,
      pageSize: PAGE_SIZE_BYTES,
      maxDbs: 16,
      maxReaders: STORE_READERS_MAX,
      overlappingSync: false,
      noSync: this.#durability === "relaxed",
      eventTurnBatching: false,
      cache: false,
    } as Parameters<typeof open>[0]) as unknown as Environment;
  }

  #openTable(name: string, options: object = TABLE_OPTIONS): SealedTable {
    return this.#sealed(name, this.#environment.openDB(name, options));
  }

  #sealed(name: string, table: Table): SealedTable {
    return new SealedTable(table, `${name} of ${this.#path}`);
  }

  #openQueue(): QueueStore {
    return new QueueStore((name) => this.#openTable(name), this.#meta);
  }

  /** What has changed, as long as it is kept. */
  get log(): ChangeLog {
    return this.#log;
  }

  /** Messages, and in which state they are. */
  get queue(): QueueStore {
    return this.#queue;
  }

  // ── snapshots ────────────────────────────────────────────────────────────────────────────────────

  /** Lets the next read see the newest commit. Held snapshots keep theirs. */
  renew(): void {
    this.#environment.resetReadTxn();
  }

  /** A read transaction on the newest commit of this moment, which stays until `done`. */
  hold(): HeldSnapshot {
    this.#environment.resetReadTxn();
    const snapshot = this.#environment.useReadTransaction();
    // The binding would leave it to the first read, whenever that is.
    snapshot.renew();
    return snapshot;
  }

  /** Whether a snapshot of this shard is held, by any thread of the process. */
  get isHeld(): boolean {
    this.renew();
    return this.#heldTransactions().length > 0;
  }

  /** Commits since the oldest snapshot that anybody in the process holds: pages that were freed meanwhile can't be used again. */
  oldestReaderLag(): number {
    const { lastTxnId } = this.#environment.getStats();
    return lastTxnId - Math.min(lastTxnId, ...this.#heldTransactions());
  }

  #heldTransactions(): number[] {
    // A line for each reader: process, thread, transaction, or "-" where it holds none. The first line names the columns.
    const lines = this.#environment.readerList().split("\n").slice(1);
    return lines.map((line) => Number(line.trim().split(/\s+/)[2])).filter(Number.isFinite);
  }

  // ── entries ──────────────────────────────────────────────────────────────────────────────────────

  /** The entry's bytes, borrowed; `undefined` where there is none. Inside a transaction it sees that transaction's writes. */
  readEntry(key: Uint8Array, snapshot?: HeldSnapshot): Uint8Array | undefined {
    return this.#entries.getBinaryFast(key, snapshot && { transaction: snapshot });
  }

  /** Entries in `[start, end)`, in key order or its reverse, with private bytes. The cursor closes when the iteration ends. */
  *rangeEntries(
    start: Uint8Array,
    end: Uint8Array,
    reverse: boolean,
    snapshot: HeldSnapshot,
  ): Generator<Row, void> {
    for (const { key, value } of this.#entries.getRange(rangeOptions(start, end, reverse, snapshot)))
      yield { key, value: value.slice() };
  }

  /**
   * Shows the same entries to `visit` until it says `false`. A value is borrowed for the call, in which nothing else may be read; the key
   * is private.
   */
  visitEntries(
    start: Uint8Array,
    end: Uint8Array,
    reverse: boolean,
    snapshot: HeldSnapshot,
    visit: (key: Uint8Array, value: Uint8Array) => boolean,
  ): void {
    this.#entries.visitRange(rangeOptions(start, end, reverse, snapshot), visit);
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

  // ── where it stands ─────────────────────────────────────────────────────────────────────────────────────────

  /** Where the shard stands; `undefined` in a new one. */
  head(snapshot?: HeldSnapshot): ShardHead | undefined {
    const bytes = this.#main.getBinary(HEAD, snapshot && { transaction: snapshot });
    return bytes && decodeHead(bytes);
  }

  putHead(head: ShardHead): void {
    this.#main.put(HEAD, encodeHead(head));
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
    return this.#meta.getBinary(META.redo);
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

  /** Writes a copy without free pages into the existing directory `target`. */
  copyCompact(target: string): Promise<void> {
    return this.#environment.backup(target, true);
  }

  /**
   * Lets `replace` put another file in the place of the data file, and opens that. It happens at once, so this thread reads the one or the
   * other. No other thread may have the shard open, and no snapshot may be held.
   */
  replaceFile(replace: () => void): void {
    // Nothing was written through this one, so it closes before the call returns.
    void this.#environment.close();
    if (this.#environment.status !== "closed")
      throw new Error(`the shard in ${this.#path} was written by the thread that replaces its file`);
    try {
      replace();
    } finally {
      this.#environment = this.#openEnvironment();
      this.#entries = this.#openTable("entries", ENTRY_TABLE_OPTIONS);
      this.#main = this.#sealed("main tree", this.#environment);
      this.#log = new ChangeLog(this.#openTable("log"), this.#main);
      this.#expiry = this.#openTable("expiry");
      this.#meta = this.#openTable("meta");
      this.#queue = this.#openQueue();
    }
  }

  /** Bytes that the file system under it has left for us. */
  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#path);
    return bavail * bsize;
  }

  close(): Promise<void> {
    return this.#environment.close();
  }
}

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
