/**
 * Owns the shapes in which callers ask for changes and receive them. Types only.
 */
import type { KvKey } from "../codec/key.js";

/** What `kv.changes` follows: one key, or every key strictly below a prefix (`["users"]` is not below `["users"]`). */
export type ChangeSelector = { readonly key: KvKey } | { readonly prefix: KvKey };

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
