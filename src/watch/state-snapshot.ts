/**
 * Owns what a feed that begins with the state needs of the store. Types only: the store's side of it is made where the stores are.
 */
import type { Stamp } from "./stamp.js";

/** A stored entry, in private bytes. */
export interface StateRow {
  readonly key: Uint8Array;
  readonly entry: Uint8Array;
}

/** A cut of the whole store, held by whoever took it until `done`. */
export interface StateSnapshot {
  /** Of each shard, the last stamp whose changes its snapshot holds. */
  readonly lastStamps: readonly Stamp[];
  /** Entries of `[start, end)` that have not expired, in key order, at most `limit`. */
  read(start: Uint8Array, end: Uint8Array, limit: number): readonly StateRow[];
  /** The time that decides what has expired, in milliseconds since 1970. */
  nowMs(): number;
  done(): void;
}
