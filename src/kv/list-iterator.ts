/**
 * Owns the iteration of `kv.list`. Each batch is a consistent read of its own; between batches no snapshot is held, so a slow
 * consumer pins nothing, and later batches see what was written meanwhile.
 */
import {
  applyCursor,
  checkRange,
  decodeCursor,
  encodeCursor,
  type KeyRange,
  type KvListSelector,
  type SelectorRange,
} from "../codec/key-range.js";
import type { KeyRun } from "../codec/key-run.js";
import type { KvEntry } from "../codec/kv-entry.js";
import { KvError, KvTypeError } from "../errors.js";
import { LIST_BATCH_DEFAULT, LIST_BATCH_IMPLICIT_MAX, LIST_BATCH_MAX } from "../limits.js";
import { shown } from "../shown.js";

/** How consistent a read is asked to be. Every read of an embedded store is strongly consistent; the word is accepted. */
export type KvConsistencyLevel = "strong" | "eventual";

export interface KvListOptions {
  /** Entries in all, an integer from 1. Default: no limit. */
  readonly limit?: number;
  /** Where to go on: the `cursor` of an earlier iteration with the same selector and direction. */
  readonly cursor?: string;
  /** From the last key to the first. Default: false. */
  readonly reverse?: boolean;
  readonly consistency?: KvConsistencyLevel;
  /** Entries that are read at once, 1 to 1000. Default: `limit`, or 100. */
  readonly batchSize?: number;
}

/** Entries, and the bytes of their keys. */
export interface ListedEntries<T> {
  readonly entries: readonly KvEntry<T>[];
  readonly keys: KeyRun;
}

/** What the iterator needs of the store. */
export interface ListSource<T> {
  /** Throws what is wrong with the content of the selector's keys. */
  readonly range: () => SelectorRange;
  readonly read: (range: KeyRange, limit: number, reverse: boolean) => Promise<ListedEntries<T>>;
}

/** Refuses bad counts at the call; what else may be wrong is found at the first entry, as in Deno. */
export function checkListOptions(options: KvListOptions): void {
  if (typeof options !== "object" || options === null)
    throw new KvTypeError("KV_INVALID_OPTION", `options must be an object: received ${shown(options)}`);
  checkCount("Limit", options.limit);
  checkCount("batchSize", options.batchSize ?? undefined);
}

/** The caller may change its arrays while it iterates. */
export function copySelector(selector: KvListSelector): KvListSelector {
  const copied = Object.entries(selector).map(([name, key]) => [name, Array.isArray(key) ? [...key] : key]);
  return Object.fromEntries(copied) as KvListSelector;
}

export function checkConsistency(consistency: string | null | undefined): void {
  if (
    consistency === undefined ||
    consistency === null ||
    consistency === "strong" ||
    consistency === "eventual"
  )
    return;
  throw new KvTypeError(
    "KV_INVALID_OPTION",
    `unknown variant \`${shown(consistency)}\`, expected \`strong\` or \`eventual\``,
  );
}

function checkCount(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value > 0)) return;
  throw new KvError("KV_INVALID_OPTION", `${name} must be a positive integer: received ${shown(value)}`);
}

/**
 * The entries that `kv.list` found, in key order, and the cursor behind the last one that was taken.
 *
 * @see Source: Deno KV's KvListIterator.
 */
export class KvListIterator<T> implements AsyncIterableIterator<KvEntry<T>> {
  readonly #source: ListSource<T>;
  readonly #options: KvListOptions;
  readonly #batchSize: number;
  #range: SelectorRange | null = null;
  #left: number;
  #batch: readonly KvEntry<T>[] = [];
  #keys: KeyRun | null = null;
  #next = 0;
  /** The key of the last entry that was taken before this batch. */
  #behind: Uint8Array | null = null;
  #isLastBatch = false;
  #isDone = false;

  /** Made by `kv.list()`. */
  constructor(source: ListSource<T>, options: KvListOptions) {
    this.#source = source;
    this.#options = options;
    this.#left = options.limit ?? Number.POSITIVE_INFINITY;
    this.#batchSize =
      options.batchSize ?? Math.min(options.limit ?? LIST_BATCH_DEFAULT, LIST_BATCH_IMPLICIT_MAX);
  }

  /**
   * Where to go on later, with the `cursor` option: behind the last entry that was taken; empty when there are no more,
   * unless it was the limit that ended the iteration.
   *
   * @throws KvError before the first entry, unless the iteration began at a cursor itself.
   */
  get cursor(): string {
    if (this.#isDone) return "";
    const lastKey = this.#lastKey();
    if (lastKey !== null) return encodeCursor(lastKey, this.#range!.cursorBase);
    if (this.#options.cursor) return this.#options.cursor;
    throw new KvError("KV_CURSOR_TOO_EARLY", "Cannot get cursor before first iteration");
  }

  /** Hot path: an entry that has been read costs one promise. */
  next(): Promise<IteratorResult<KvEntry<T>, undefined>> {
    return this.#next < this.#batch.length ? Promise.resolve(this.#take()) : this.#nextOfNextBatch();
  }

  #take(): IteratorResult<KvEntry<T>, undefined> {
    this.#left--;
    return { done: false, value: this.#batch[this.#next++]! };
  }

  /** Of the entry that was taken last. */
  #lastKey(): Uint8Array | null {
    return this.#next === 0 ? this.#behind : this.#keys!.bytesOf(this.#next - 1);
  }

  async #nextOfNextBatch(): Promise<IteratorResult<KvEntry<T>, undefined>> {
    if (await this.#readBatch()) return this.#take();
    // As in Deno: an iteration that its limit has ended can go on.
    this.#isDone = this.#left > 0;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** False when there is nothing more. */
  async #readBatch(): Promise<boolean> {
    const range = this.#begin();
    if (this.#isLastBatch || this.#left === 0) return false;
    const limit = Math.min(this.#batchSize, this.#left);
    const reverse = this.#options.reverse === true;
    const lastKey = this.#lastKey();
    const rest = lastKey === null ? range : applyCursor(range, lastKey, reverse);
    const { entries, keys } = await this.#source.read(rest, limit, reverse);
    this.#behind = this.#lastKey();
    this.#batch = entries;
    this.#keys = keys;
    this.#next = 0;
    this.#isLastBatch = entries.length < limit;
    return entries.length > 0;
  }

  /** The range as the selector and the cursor say; found out at the first entry, where Deno reports what is wrong with it. */
  #begin(): SelectorRange {
    if (this.#range !== null) return this.#range;
    if (this.#batchSize > LIST_BATCH_MAX) {
      throw new KvTypeError("KV_LIMIT_EXCEEDED", `Too many entries (max ${LIST_BATCH_MAX})`);
    }
    const { cursor, reverse, consistency } = this.#options;
    checkConsistency(consistency);
    const range = this.#source.range();
    const isResumed = cursor !== undefined && cursor !== "";
    const rest = isResumed
      ? applyCursor(range, decodeCursor(cursor, range.cursorBase), reverse === true)
      : range;
    checkRange(rest);
    this.#range = { ...rest, cursorBase: range.cursorBase };
    return this.#range;
  }
}
