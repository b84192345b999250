/**
 * Owns `checkpoint.json`: which state of each shard is on the disk as a whole, for stores that are not flushed with every commit.
 *
 * The naive way is to flush every now and then. It fails when the power goes: the disk then holds some of the pages that were written
 * since the last flush and not others, in any order, LMDB's newest meta page among the first perhaps, and the pages of the last flushed
 * state may be among those overwritten, since LMDB takes them for free. And the shards would be of different moments, so that a commit
 * over several of them is half there.
 *
 * The way here: a checkpoint names one state of each shard, all of one moment. Its pages are pinned by a read transaction *before* they are
 * flushed, and stay pinned until the next checkpoint is on the disk. So its pages are never overwritten, and when the power has gone the
 * metas of the checkpoint, kept in this file, are put back: the store is as it was at that moment, in all its shards.
 *
 * Invariants
 * 1. While a store is written without a flush for each commit, a checkpoint is on the disk, and the pages of its states are untouched.
 * 2. When the system has run on since (only the process died), nothing is put back: what the system was given, it still has.
 * 3. Putting back may be interrupted anywhere and done again: the file goes last.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { KvCorruptError } from "../errors.js";
import { PAGE_SIZE_BYTES } from "../limits.js";
import { checksum32 } from "./checksum.js";
import { dataFileOf, META_BYTES, type Meta, PAGE_HEADER_BYTES, PageFlag, parseMeta } from "./data-file.js";
import { flushDirectory, prepareFile, replaceFile } from "./flush.js";

const FILE = "checkpoint.json";
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";
/** Where the system does not name its boot, its time is taken, which is read with this much uncertainty. */
const BOOT_TIME_MS = 60_000;
const TRANSACTION_OFFSET = 128;

/** One state of a shard: what its newest meta page says. */
export interface ShardState {
  readonly transaction: number;
  readonly meta: Uint8Array;
}

/** What the file holds besides its checksum. */
export interface Stored {
  /** The running of the system in which it was written. */
  readonly boot: string;
  readonly states: readonly { readonly transaction: number; readonly meta: string }[];
}

/** Reads the newest state of a shard from its data file, again and again, without LMDB. */
export class StateReader {
  readonly #file: number;
  readonly #bytes = new Uint8Array(PAGE_HEADER_BYTES + META_BYTES);

  constructor(directory: string) {
    this.#file = openSync(dataFileOf(directory), "r");
  }

  read(): ShardState {
    const [first, second] = [this.#readMeta(0), this.#readMeta(1)];
    const { transaction, bytes } = first.transaction > second.transaction ? first : second;
    return { transaction, meta: bytes };
  }

  close(): void {
    closeSync(this.#file);
  }

  #readMeta(page: 0 | 1): Meta {
    readSync(this.#file, this.#bytes, 0, this.#bytes.length, page * PAGE_SIZE_BYTES);
    return parseMeta(this.#bytes, page);
  }
}

/** Writes the checkpoint of a store. All its states are on the disk and pinned. */
export function writeCheckpoint(path: string, states: readonly ShardState[]): void {
  replaceFile(path, FILE, textOf(states));
}

/** The same, off the event loop but for the last step: calling the result puts it in place. */
export function prepareCheckpoint(path: string, states: readonly ShardState[]): Promise<() => void> {
  return prepareFile(path, FILE, textOf(states));
}

function textOf(states: readonly ShardState[]): string {
  const stored: Stored = {
    boot: bootOfSystem(),
    states: states.map(({ transaction, meta }) => ({ transaction, meta: Buffer.from(meta).toString("hex") })),
  };
  return `${JSON.stringify(sealed(stored))}\n`;
}

/** With its checksum. */
export function sealed(stored: Stored): Stored & { readonly checksum: number } {
  return { ...stored, checksum: checksumOf(stored) };
}

/** Whether a store has a checkpoint: it was relaxed, and is open, or did not come to its close. */
export function hasCheckpoint(path: string): boolean {
  return existsSync(join(path, FILE));
}

/** Ends the need for a checkpoint: everything is on the disk. */
export function removeCheckpoint(path: string): void {
  if (!hasCheckpoint(path)) return;
  rmSync(join(path, FILE));
  flushDirectory(path);
}

/**
 * Puts the states of the checkpoint back, if there is one and the system has been started anew since. Before LMDB opens the shards.
 * Says whether it did.
 *
 * @throws KvCorruptError when the checkpoint is damaged.
 */
export function restoreCheckpoint(path: string, directories: readonly string[]): boolean {
  const stored = readCheckpoint(path);
  if (stored === null || isSameBoot(stored.boot)) return false;
  if (stored.states.length !== directories.length)
    throw new KvCorruptError(
      `${join(path, FILE)} has ${stored.states.length} shards, the store ${directories.length}`,
    );
  stored.states.forEach((state, shard) => {
    putBack(directories[shard]!, state.transaction, Buffer.from(state.meta, "hex"));
  });
  removeCheckpoint(path);
  return true;
}

/** The states that are to be put back at the next opening, by shard; `null` when none are. Throws KvCorruptError. */
export function pendingStates(path: string): readonly ShardState[] | null {
  const stored = readCheckpoint(path);
  if (stored === null || isSameBoot(stored.boot)) return null;
  return stored.states.map(({ transaction, meta }) => ({ transaction, meta: Buffer.from(meta, "hex") }));
}

/** The meta of a state. Throws PageDamage. */
export function metaOf({ transaction, meta }: ShardState): Meta {
  return parseMeta(metaPage(meta, transaction), (transaction % 2) as 0 | 1);
}

/** The beginning of a meta page. */
export function metaPage(meta: Uint8Array, transaction: number): Uint8Array {
  const bytes = new Uint8Array(PAGE_HEADER_BYTES + META_BYTES);
  bytes.set(meta, PAGE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(transaction % 2), true);
  view.setUint16(18, PageFlag.meta, true);
  view.setBigUint64(PAGE_HEADER_BYTES + TRANSACTION_OFFSET, BigInt(transaction), true);
  return bytes;
}

function putBack(directory: string, transaction: number, meta: Uint8Array): void {
  const file = openSync(dataFileOf(directory), "r+");
  try {
    // Both pages get it, the other one as the transaction before, or LMDB would take what is there for newer.
    for (const number of [transaction, transaction - 1]) {
      const bytes = metaPage(meta, number);
      writeSync(file, bytes, 0, bytes.length, (number % 2) * PAGE_SIZE_BYTES);
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** The checkpoint of a store, `null` when it has none. Throws KvCorruptError. */
export function readCheckpoint(path: string): Stored | null {
  const file = join(path, FILE);
  if (!existsSync(file)) return null;
  try {
    const { checksum, ...stored } = JSON.parse(readFileSync(file, "utf8")) as Stored & { checksum: number };
    if (checksum === checksumOf(stored) && Array.isArray(stored.states)) return stored;
  } catch (error) {
    throw damaged(file, error);
  }
  throw damaged(file);
}

function damaged(file: string, cause?: unknown): KvCorruptError {
  return new KvCorruptError(`${file} is damaged: nothing was touched; restore the store from a backup`, {
    cause,
  });
}

function checksumOf({ boot, states }: Stored): number {
  const bytes = Buffer.from(JSON.stringify({ boot, states }));
  return checksum32(bytes, bytes.length, 0);
}

/** What names the running of the system from its start to its end. */
function bootOfSystem(): string {
  try {
    return readFileSync(BOOT_ID_FILE, "utf8").trim();
  } catch {
    // Another system than Linux: the time of its start has to do.
    return `at ${Math.round(Date.now() - uptime() * 1000)}`;
  }
}

function isSameBoot(boot: string): boolean {
  const now = bootOfSystem();
  if (!now.startsWith("at ") || !boot.startsWith("at ")) return now === boot;
  return Math.abs(Number(now.slice(3)) - Number(boot.slice(3))) < BOOT_TIME_MS;
}
