/**
 * Owns the store as bytes: what stands between it and an edge that carries encoded keys and values, such as a server.
 *
 * A value that came in encoded goes out encoded as it came, so a program in another runtime reads back what it wrote, whatever this
 * runtime's V8 would have made of it. Runs on the caller's thread.
 *
 * Invariants:
 * 1. What is committed can be read back: keys and values are decoded once before they are written, and refused if that fails.
 * 2. Bytes that are returned are private; bytes that are given are borrowed until the promise settles.
 */
import type { ReadableStream } from "node:stream/web";
import type { KvClock } from "../clock.js";
import { KeyKind, MutationType } from "../codec/commit-frame.js";
import { entryEncoding, entryValue, entryVersionstamp } from "../codec/entry.js";
import { checkReadKey, checkWriteKey, decodeKey, type EncodedKey } from "../codec/key.js";
import { decodeValue, type EncodedValue, Encoding } from "../codec/value.js";
import { KvCorruptError, KvRangeError, KvTypeError } from "../errors.js";
import { LIST_BATCH_MAX } from "../limits.js";
import type { KvEnqueueOptions } from "../queue/enqueue-options.js";
import type { RangeRead, Reader } from "../router/reader.js";
import type { CommitSource } from "../watch/dispatcher.js";
import { watchKeys } from "../watch/level-watch.js";
import type { CommitContext, CommitDrafts, DraftMutation } from "./commit-builder.js";
import type { KvCommitError, KvCommitResult } from "./commit-result.js";
import type { EncodedSetKey } from "./commit-versionstamp.js";
import { draftEncodedEnqueue } from "./enqueue-builder.js";

/** An entry as it is stored. */
export interface KvEncodedEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** 1: V8's structured clone; 2: a KvU64, little-endian; 3: the bytes themselves. KV Connect's numbers. */
  readonly encoding: number;
  readonly versionstamp: string;
}

/** Entries from `start` (inclusive) to `end` (exclusive), any bytes. */
export interface KvEncodedRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  /** From 1 to 1000. */
  readonly limit: number;
  readonly reverse: boolean;
  /** The range ends early, behind the entry with which the stored entries have this many bytes. Default: no bound. */
  readonly bytesMax?: number;
}

export interface KvEncodedCheck {
  readonly key: Uint8Array;
  readonly versionstamp: string | null;
}

export type KvEncodedMutation =
  | {
      readonly type: "set";
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      readonly encoding: number;
      /** Milliseconds since 1970. Default: never. */
      readonly expireAtMs?: number;
      /** The commit's versionstamp becomes the last part of the key. Default: false. */
      readonly versionstamped?: boolean;
    }
  | { readonly type: "delete"; readonly key: Uint8Array }
  | { readonly type: "sum" | "min" | "max"; readonly key: Uint8Array; readonly value: bigint };

/** A message for the queue. */
export interface KvEncodedEnqueue extends KvEnqueueOptions {
  readonly value: Uint8Array;
  readonly encoding: number;
}

export interface KvEncodedCommit {
  readonly checks: readonly KvEncodedCheck[];
  readonly mutations: readonly KvEncodedMutation[];
  readonly enqueues?: readonly KvEncodedEnqueue[];
}

/** What the store lends. */
export interface EncodedKvMakings {
  readonly storeId: string;
  readonly reader: Reader;
  readonly dispatcher: CommitSource;
  readonly context: CommitContext;
  readonly commit: (drafts: CommitDrafts) => Promise<KvCommitResult | KvCommitError>;
  readonly checkOpen: () => void;
}

const ARITHMETIC = { sum: MutationType.SUM, min: MutationType.MIN, max: MutationType.MAX } as const;

/**
 * The open store as bytes; made by `kv.encoded()`. It sees what the Kv sees, and ends with it.
 */
export class EncodedKv {
  readonly #makings: EncodedKvMakings;

  /** Made by `kv.encoded()`. */
  constructor(makings: EncodedKvMakings) {
    this.#makings = makings;
  }

  /** The identity that the store got when it was created: a lower-case UUID. */
  get storeId(): string {
    return this.#makings.storeId;
  }

  /**
   * The entries of some ranges, all at one moment of the store.
   *
   * @throws KvTypeError KV_LIMIT_EXCEEDED (a bound is too long), KvRangeError KV_INVALID_OPTION (a limit), KvClosedError.
   */
  async read(ranges: readonly KvEncodedRange[]): Promise<KvEncodedEntry[][]> {
    this.#makings.checkOpen();
    for (const range of ranges) checkRange(range);
    const { reader } = this.#makings;
    if (ranges.length === 1) return [await reader.list(rangeRead(ranges[0]!), encodedEntry)];
    const cut = await reader.snapshot();
    try {
      return ranges.map((range) => reader.readRange(rangeRead(range), cut, encodedEntry));
    } finally {
      cut.done();
    }
  }

  /**
   * Makes a commit, as {@link AtomicOperation.commit} does.
   *
   * @throws as that; KvTypeError KV_INVALID_KEY or KV_INVALID_VALUE for bytes that could not be read back.
   */
  async commit(commit: KvEncodedCommit): Promise<KvCommitResult | KvCommitError> {
    this.#makings.checkOpen();
    const { context, commit: make } = this.#makings;
    return make({
      checks: commit.checks.map(({ key, versionstamp }) => {
        checkKey(key);
        return { key: plainKey(key), versionstamp };
      }),
      mutations: commit.mutations.map((mutation) => mutationDraft(mutation, context)),
      messages: (commit.enqueues ?? []).map(({ value, encoding, ...options }) =>
        draftEncodedEnqueue(checkedValue(encoding, value), options),
      ),
    });
  }

  /**
   * The states of some keys, as `kv.watch` tells them; `null` where there is no entry.
   *
   * @throws KvTypeError KV_INVALID_KEY, KV_LIMIT_EXCEEDED; KvClosedError; the signal's reason.
   */
  watch(
    keys: readonly Uint8Array[],
    options: { readonly signal?: AbortSignal } = {},
  ): ReadableStream<(KvEncodedEntry | null)[]> {
    this.#makings.checkOpen();
    for (const key of keys) {
      decodedKey(key);
      checkReadKey(key);
    }
    const { reader, dispatcher } = this.#makings;
    return watchKeys<KvEncodedEntry | null>({
      dispatcher,
      keys: keys as readonly EncodedKey[],
      read: () =>
        reader.getManySoon(keys, (bytes, index) =>
          bytes === null ? null : encodedEntry(keys[index]!, bytes),
        ),
      versionstampOf: (entry) => entry?.versionstamp ?? null,
      signal: options.signal,
    });
  }
}

function mutationDraft(mutation: KvEncodedMutation, context: CommitContext): DraftMutation {
  const { key, type } = mutation;
  checkKey(key);
  const plain = { key: plainKey(key), expireIn: undefined, ifChanged: undefined };
  if (type === "delete") return { ...plain, type: MutationType.DELETE, value: null };
  if (type === "set") {
    const isVersionstamped = mutation.versionstamped === true;
    return {
      ...plain,
      type: MutationType.SET,
      key: isVersionstamped ? { key, keyKind: KeyKind.VERSIONSTAMPED } : plain.key,
      value: checkedValue(mutation.encoding, mutation.value),
      expireIn: expireIn(mutation.expireAtMs, context.clock),
    };
  }
  const value = { encoding: Encoding.LE64, bytes: u64Bytes(mutation.value) };
  return { ...plain, type: ARITHMETIC[type], value };
}

function plainKey(key: Uint8Array): EncodedSetKey {
  return { key, keyKind: KeyKind.PLAIN };
}

function expireIn(expireAtMs: number | undefined, clock: KvClock): number | undefined {
  if (expireAtMs === undefined) return undefined;
  if (!Number.isSafeInteger(expireAtMs) || expireAtMs < 1) {
    throw new KvTypeError(
      "KV_INVALID_OPTION",
      `expireAtMs must be a whole number from 1, found ${expireAtMs}`,
    );
  }
  return Math.max(0, expireAtMs - clock.nowMs());
}

function u64Bytes(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

function checkKey(key: Uint8Array): void {
  checkWriteKey(key);
  decodedKey(key);
}

function decodedKey(key: Uint8Array): void {
  try {
    decodeKey(key);
  } catch (cause) {
    if (!(cause instanceof KvCorruptError)) throw cause;
    throw new KvTypeError("KV_INVALID_KEY", cause.message);
  }
}

/** The value, if it can be read back. */
function checkedValue(encoding: number, bytes: Uint8Array): EncodedValue {
  const value = { encoding: encoding as Encoding, bytes };
  if (encoding === Encoding.BYTES) return value;
  try {
    decodeValue(encoding, bytes);
  } catch (cause) {
    if (!(cause instanceof KvCorruptError)) throw cause;
    throw new KvTypeError("KV_INVALID_VALUE", cause.message);
  }
  return value;
}

function checkRange({ start, end, limit }: KvEncodedRange): void {
  checkReadKey(start);
  checkReadKey(end);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LIST_BATCH_MAX) return;
  throw new KvRangeError("KV_INVALID_OPTION", `limit is ${limit}, must be from 1 to ${LIST_BATCH_MAX}`);
}

function rangeRead({ start, end, limit, reverse, bytesMax }: KvEncodedRange): RangeRead {
  return { range: { start, end }, limit, reverse, bytesMax };
}

/** Copies: what the reader lends is gone after the call. */
function encodedEntry(key: Uint8Array, bytes: Uint8Array): KvEncodedEntry {
  return {
    key: new Uint8Array(key),
    value: new Uint8Array(entryValue(bytes)),
    encoding: entryEncoding(bytes),
    versionstamp: entryVersionstamp(bytes),
  };
}
