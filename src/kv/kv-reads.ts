/**
 * Owns the reading of an open Kv: keys, lists and watches of keys, from what the caller gives to what it gets. Each call is checked in the
 * order in which Deno does it: what is wrong with the arguments first, then whether the store is open, then its limits.
 */
import type { ReadableStream } from "node:stream/web";
import {
  borrowKey,
  checkPointKey,
  checkReadKey,
  type EncodedKey,
  encodeKey,
  type KvKey,
} from "../codec/key.js";
import { checkSelectorShape, type KeyRange, type KvListSelector, selectorRange } from "../codec/key-range.js";
import { KeyRun } from "../codec/key-run.js";
import type { KvEntryMaybe } from "../codec/kv-entry.js";
import { KvTypeError } from "../errors.js";
import type { Reader } from "../router/reader.js";
import type { DispatcherScope } from "../watch/dispatcher-scope.js";
import { watchKeys } from "../watch/level-watch.js";
import { entryMaybe, entryOf } from "./entries.js";
import type { KvLimits } from "./kv-limits.js";
import {
  checkConsistency,
  checkListOptions,
  copySelector,
  type KvConsistencyLevel,
  KvListIterator,
  type KvListOptions,
  type ListedEntries,
} from "./list-iterator.js";

export interface KvGetOptions {
  readonly consistency?: KvConsistencyLevel;
}

export interface KvWatchOptions {
  /** Aborting it ends the stream with its reason as the error. */
  readonly signal?: AbortSignal;
  /** An item for every commit that touches a key, also when no versionstamp has moved. Default: false. */
  readonly raw?: boolean;
}

/** What reading needs of the Kv. */
export interface KvReadsMakings {
  readonly reader: Reader;
  readonly scope: DispatcherScope;
  readonly limits: KvLimits;
  /** Throws KvClosedError when it is closed. */
  readonly checkOpen: () => void;
}

export class KvReads {
  readonly #reader: Reader;
  readonly #scope: DispatcherScope;
  readonly #limits: KvLimits;
  readonly #checkOpen: () => void;

  constructor({ reader, scope, limits, checkOpen }: KvReadsMakings) {
    this.#reader = reader;
    this.#scope = scope;
    this.#limits = limits;
    this.#checkOpen = checkOpen;
  }

  /** A promise only where the read has to wait. */
  get<T>(key: KvKey, options: KvGetOptions | undefined): Promise<KvEntryMaybe<T>> | KvEntryMaybe<T> {
    // Reading an option may run the caller's code, which may read a key.
    const encoded = options === undefined ? borrowKey(key) : encodeKey(key);
    checkConsistency(options?.consistency);
    this.#checkOpen();
    checkPointKey(encoded);
    return this.#reader.get(encoded, (bytes) => entryMaybe<T>(key, bytes));
  }

  getSync<T>(key: KvKey): KvEntryMaybe<T> {
    const encoded = borrowKey(key);
    this.#checkOpen();
    checkPointKey(encoded);
    return this.#reader.getSync(encoded, (bytes) => entryMaybe<T>(key, bytes));
  }

  getMany(
    keys: readonly KvKey[],
    options: KvGetOptions | undefined,
  ): Promise<readonly KvEntryMaybe<unknown>[]> {
    const wanted = [...checkKeys(keys)];
    const encoded = wanted.map(encodeKey);
    checkConsistency(options?.consistency);
    this.#checkOpen();
    const { getManyKeysMax } = this.#limits;
    if (wanted.length > getManyKeysMax) {
      throw new KvTypeError("KV_LIMIT_EXCEEDED", `Too many ranges (max ${getManyKeysMax})`);
    }
    encoded.forEach(checkPointKey);
    return this.#readMany(wanted, encoded);
  }

  list<T>(selector: KvListSelector, options: KvListOptions): KvListIterator<T> {
    checkSelectorShape(selector);
    checkListOptions(options);
    const copy = copySelector(selector);
    return new KvListIterator<T>(
      {
        range: () => selectorRange(copy),
        read: (range, limit, reverse) => this.#readRange<T>(range, limit, reverse),
      },
      { ...options },
    );
  }

  watch(
    keys: readonly KvKey[],
    { signal, raw }: KvWatchOptions,
  ): ReadableStream<readonly KvEntryMaybe<unknown>[]> {
    const wanted = [...checkKeys(keys)];
    const encoded = wanted.map(encodeKey);
    this.#checkOpen();
    const { watchedKeysMax } = this.#limits;
    if (wanted.length > watchedKeysMax) {
      throw new KvTypeError("KV_LIMIT_EXCEEDED", `Too many keys (max ${watchedKeysMax})`);
    }
    encoded.forEach(checkReadKey);
    return watchKeys<KvEntryMaybe<unknown>>({
      dispatcher: this.#scope,
      keys: encoded,
      read: () => this.#reader.getManySoon(encoded, (bytes, index) => entryMaybe(wanted[index]!, bytes)),
      versionstampOf: (entry) => entry.versionstamp,
      signal,
      raw,
    });
  }

  #readMany(keys: readonly KvKey[], encoded: readonly EncodedKey[]): Promise<KvEntryMaybe<unknown>[]> {
    return this.#reader.getMany(encoded, (bytes, index) => entryMaybe<unknown>(keys[index]!, bytes));
  }

  async #readRange<T>(range: KeyRange, limit: number, reverse: boolean): Promise<ListedEntries<T>> {
    this.#checkOpen();
    const keys = new KeyRun(range);
    const entries = await this.#reader.list({ range, limit, reverse }, (key, bytes) =>
      entryOf<T>(keys.decode(key), bytes),
    );
    return { entries, keys };
  }
}

function checkKeys(keys: unknown): readonly KvKey[] {
  if (Array.isArray(keys)) return keys;
  throw new KvTypeError("KV_INVALID_KEY", `keys must be an array of keys: received ${typeof keys}`);
}
