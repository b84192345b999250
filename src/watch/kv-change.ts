/**
 * Owns the shapes in which callers ask for changes and receive them. Types, and the one symbol that callers write in a pattern.
 */
import type { KvKey, KvKeyPart } from "../codec/key.js";

/** Stands for any one part in the pattern of a selector. A symbol: no part of a key can be mistaken for it. */
export const anyPart: unique symbol = Symbol("any part");

/**
 * What `kv.changes` follows.
 *
 * - `{ key }`: one key. `{ prefix }`: every key strictly below it (`["users"]` is not below `["users"]`).
 * - `{ start, end }`: keys from `start` (inclusive) to `end` (exclusive), in the order of keys; `{ prefix, start }` and `{ prefix, end }`:
 *   the part of a prefix from `start` on, or before `end`. As in `kv.list`.
 * - `{ pattern }`: keys of as many parts, each equal to the pattern's part there; {@link anyPart} is equal to every part.
 *
 * @example
 * const selector = { pattern: ["users", anyPart, "status"] }; // ["users", 7, "status"], and not ["users", 7, "status", "old"]
 */
export type ChangeSelector =
  | { readonly key: KvKey }
  | { readonly prefix: KvKey }
  | { readonly start: KvKey; readonly end: KvKey }
  | { readonly prefix: KvKey; readonly start: KvKey }
  | { readonly prefix: KvKey; readonly end: KvKey }
  | { readonly pattern: readonly (KvKeyPart | typeof anyPart)[] };

/** How `kv.changes` follows. */
export interface ChangesOptions {
  /** Aborting it ends the feed: the pending or next `next()` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Bytes of changes that wait in memory for the consumer, from 1. Beyond it the feed is `behind`. Default: 4 MiB. */
  readonly bufferBytesMax?: number;
  /** Changes that wait in memory for the consumer, from 1. Beyond it the feed is `behind`. Default: 10 000. */
  readonly bufferCountMax?: number;
}

/** One key got a value. */
export interface KvSetChange<T = unknown> {
  /** Whether the key had no value before. */
  readonly type: "create" | "update";
  readonly cause: "set";
  readonly key: KvKey;
  readonly value: T;
  readonly versionstamp: string;
}

/** One key lost its value: it was deleted, or its time was up. */
export interface KvDeleteChange {
  readonly type: "delete";
  readonly cause: "delete" | "expired";
  readonly key: KvKey;
  readonly value: null;
  readonly versionstamp: string;
}

/**
 * One change of one key. It is decoded once and shared by all feeds that want it: treat it, and what is in it, as read-only.
 * The changes of one commit have one versionstamp and come one directly after the other.
 */
export type KvChange<T = unknown> = KvSetChange<T> | KvDeleteChange;
