/**
 * Owns the shapes in which callers ask for changes and receive them. Types, and the one symbol that callers write in a pattern.
 */
import type { KvKey, KvKeyPart } from "../codec/key.js";

declare const anyPartBrand: unique symbol;

/** The type of {@link anyPart}. Branded, since a unique symbol would widen to any symbol in a pattern that is kept in a variable. */
export type AnyPart = symbol & { readonly [anyPartBrand]: true };

/** Stands for any one part in the pattern of a selector. A symbol: no part of a key can be mistaken for it. */
export const anyPart: AnyPart = Symbol("any part") as AnyPart;

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
  | { readonly pattern: readonly (KvKeyPart | AnyPart)[] };

/** What a feed does when its buffer is full while it is live. */
export type OverflowPolicy = "catch-up" | "latest" | "drop-oldest" | "drop-newest" | "error";

/** How `kv.changes` follows. Options that contradict each other are refused with KV_INVALID_OPTION. */
export interface ChangesOptions<T = unknown> {
  /**
   * Where to begin: a change's `position` (what comes after it, the rest of its commit included), a versionstamp (what comes after
   * that whole commit), `"earliest"` (all that the log still has), or `"now"` (default: what begins after the call).
   */
  readonly since?: string;
  /**
   * Begin with the state: every entry that is selected, at one moment of the store, in key order, as a `create` change marked `initial`;
   * then a progress event; then every change after exactly that moment. The moment is taken when the consumer first asks. Default: false.
   */
  readonly initial?: boolean;
  /** Only changes of these types. Default: all. */
  readonly types?: readonly KvChange["type"][];
  /**
   * Only changes for which it returns true. Called when a change is handed over, on the consumer's side: changes that it refuses do take
   * room in the buffer. If it throws, the feed ends with that error. With `overflow: "latest"` it sees what is left.
   */
  readonly where?: (change: KvChange<T>) => boolean;
  /** The value before each update and delete. Changes of before anybody asked for that do not have it. Default: false. */
  readonly previous?: boolean;
  /** `false`: no value is kept or decoded; `value` is `undefined`, of a delete `null`. Default: true. */
  readonly values?: boolean;
  /**
   * `"commit"` (default): the one order of the store; a change waits until all shards have published what comes before it. `"shard"`:
   * each shard's order, as soon as the shard has published; a commit over several shards comes in parts. A change's `position` says then up
   * to where everything was handed over: continuing from it loses nothing, and may repeat what came ahead of that.
   */
  readonly order?: "commit" | "shard";
  /**
   * What to do when the buffer is full. Default: `"catch-up"`.
   *
   * - `"catch-up"`: nothing is lost; what does not fit is read from the change log later.
   * - `"latest"`: of the changes that wait, only the newest of each key is kept; if that makes no room, as `"catch-up"`.
   * - `"drop-oldest"`, `"drop-newest"`: whole commits are dropped, and a `lagged` event stands in their place.
   * - `"error"`: the feed ends with KvWatchOverflowError, behind what was in the buffer.
   *
   * What is read from the log (from `since` on, or behind the initial state) waits for the consumer, whatever the policy.
   */
  readonly overflow?: OverflowPolicy;
  /**
   * What to do when the log has lost what comes next. `"error"` (default): the feed ends with KvHistoryTrimmedError. `"resync"`: a
   * `lagged` event with an unknown count, then the state as with `initial`, then the changes since.
   */
  readonly onTrimmed?: "error" | "resync";
  /** Time between progress events in milliseconds, from 1. None where nothing has moved. Default: none at all. */
  readonly progressMs?: number;
  /** Aborting it ends the feed: the pending or next `next()` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Bytes of changes that wait in memory for the consumer, from 1. Beyond it `overflow` applies. Default: 4 MiB. */
  readonly bufferBytesMax?: number;
  /** Changes that wait in memory for the consumer, from 1. Beyond it `overflow` applies. Default: 10 000. */
  readonly bufferCountMax?: number;
}

/** Options with which a feed yields changes only, and no progress or lagged event. */
export interface PlainChangesOptions<T = unknown> extends ChangesOptions<T> {
  readonly initial?: false;
  readonly overflow?: "catch-up" | "latest" | "error";
  readonly onTrimmed?: "error";
  readonly progressMs?: never;
}

/** One key got a value. */
export interface KvSetChange<T = unknown> {
  /** Whether the key had no value before. */
  readonly type: "create" | "update";
  readonly cause: "set";
  readonly key: KvKey;
  readonly value: T;
  readonly versionstamp: string;
  /** Where this change stands: `since: position` continues behind it. 24 hex digits that sort as text. */
  readonly position: string;
  /** With `previous: true`: the value before; `null` of a create; left out where it was not recorded. */
  readonly previous?: T | null;
  /** Part of the state that a feed with `initial: true` begins with. */
  readonly initial?: true;
}

/** One key lost its value: it was deleted, or its time was up. */
export interface KvDeleteChange<T = unknown> {
  readonly type: "delete";
  readonly cause: "delete" | "expired";
  readonly key: KvKey;
  readonly value: null;
  readonly versionstamp: string;
  readonly position: string;
  readonly previous?: T | null;
  readonly initial?: never;
}

/**
 * One change of one key. It is decoded once and shared by all feeds that want it: treat it, and what is in it, as read-only.
 * The changes of one commit have one versionstamp and come one directly after the other.
 */
export type KvChange<T = unknown> = KvSetChange<T> | KvDeleteChange<T>;

/** The feed has handed over everything up to here. It stands in line with the changes, and overtakes none. */
export interface KvProgressEvent {
  readonly type: "progress";
  readonly versionstamp: string;
  readonly position: string;
}

/** Changes that the feed's consumer does not get. It stands in their place, and no filter holds it back. */
export interface KvLaggedEvent {
  readonly type: "lagged";
  /** How many selected changes, before `where`; `null` when the log has lost them, and the state follows. */
  readonly count: number | null;
  /** Versionstamp of the first one; with an unknown count, of the last commit before them. */
  readonly from: string;
  /** Versionstamp of the last one; with an unknown count, of the moment of the state that follows. */
  readonly to: string;
  /** Continues behind them. To get them after all, if the log has them, continue from the last position before this event. */
  readonly position: string;
}

/** What a feed yields: changes, and where options ask for them, progress and lagged events. */
export type KvChangeEvent<T = unknown> = KvChange<T> | KvProgressEvent | KvLaggedEvent;
