/**
 * Owns what a shard's thread is given when it starts, and the messages on its callers' ports. Plain data, posted between threads.
 */
import type { MessagePort } from "node:worker_threads";
import type { ClockHandle } from "../clock.js";
import type { RoundMemory } from "../ring/round-ring.js";
import type { Durability } from "../store/shard-store.js";
import type { LogBounds } from "./log-trimmer.js";

/** One caller's way to one shard. */
export interface CallerLink {
  readonly caller: number;
  /** Names the caller as a holder of leases. No other has or had the same, in this process or an earlier one. */
  readonly holder: number;
  readonly requests: SharedArrayBuffer;
  readonly replies: SharedArrayBuffer;
  /** Carries {@link PortMessage}s; the shard's mail flag says that there are some. */
  readonly port: MessagePort;
}

/** Everything that a shard's thread needs to know. */
export interface ShardBoot {
  readonly shard: number;
  readonly shards: number;
  readonly partitionDepth: number;
  /** Directories of all shards, by index: a shard that decides a round reads those of the others. */
  readonly directories: readonly string[];
  readonly durability: Durability;
  /** Time between background flushes in milliseconds; `Infinity`: none. */
  readonly flushIntervalMs: number;
  readonly control: SharedArrayBuffer;
  readonly rounds: RoundMemory;
  readonly changes: SharedArrayBuffer;
  readonly clock: ClockHandle;
  readonly links: readonly CallerLink[];
  /** Bounds of this shard's change log. */
  readonly log: LogBounds;
  /** Where tests make this thread die (faults.ts); `null` outside of tests. */
  readonly faults: SharedArrayBuffer | null;
  /** A round that other shards have committed and this one has not: applied before anything else. */
  readonly redo: Uint8Array | null;
}

/** A commit frame that is too large for a ring. */
export interface Parcel {
  readonly type: "parcel";
  readonly requestId: number;
  readonly frame: Uint8Array;
}

/** Another caller joins, or one leaves. Sent by the first caller. */
export type PortMessage =
  | Parcel
  | { readonly type: "attach"; readonly link: CallerLink }
  | { readonly type: "detach"; readonly caller: number };
