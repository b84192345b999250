/**
 * Owns the channels of `node:diagnostics_channel` on which a store tells what happens to its feeds and shards. Nothing is made or published
 * where nobody has subscribed. A channel belongs to a thread: each that shares the store hears what happens to its own feeds.
 *
 * - `belfry:lag`: a feed's buffer was full. `{ overflow, bufferedChanges, bufferedBytes }`
 * - `belfry:catch-up`: a feed has caught up and is live again. `{ catchUps, lagMs, versionstamp }`
 * - `belfry:lap`: a shard's change ring has overtaken this thread, which goes on from the log. `{ shard }`
 * - `belfry:trim`: the change log has lost its oldest rows. Only on the thread that opened the store, at most once a second.
 *   `{ oldest, bytes }`
 * - `belfry:shard-restart`: a shard's thread has died and another takes its place. `{ shard, restarts }`
 */
import { channel } from "node:diagnostics_channel";
import type { OverflowPolicy } from "./kv-change.js";

const lag = channel("belfry:lag");
const catchUp = channel("belfry:catch-up");
const lap = channel("belfry:lap");
const trim = channel("belfry:trim");
const shardRestart = channel("belfry:shard-restart");

export interface LagMessage {
  readonly overflow: OverflowPolicy;
  readonly bufferedChanges: number;
  readonly bufferedBytes: number;
}

export interface CatchUpMessage {
  readonly catchUps: number;
  readonly lagMs: number;
  readonly versionstamp: string;
}

export interface LapMessage {
  readonly shard: number;
}

export interface TrimMessage {
  /** The oldest versionstamp after which every change is still there. */
  readonly oldest: string;
  /** Bytes of change records that are left. */
  readonly bytes: number;
}

export interface ShardRestartMessage {
  readonly shard: number;
  /** Times that this shard's thread has died since the store was opened. */
  readonly restarts: number;
}

export function publishLag(message: () => LagMessage): void {
  if (lag.hasSubscribers) lag.publish(message());
}

export function publishCatchUp(message: () => CatchUpMessage): void {
  if (catchUp.hasSubscribers) catchUp.publish(message());
}

export function publishLap(message: LapMessage): void {
  if (lap.hasSubscribers) lap.publish(message);
}

/** Whether anybody wants to know of trims: finding out costs a look at every shard. */
export function isTrimWanted(): boolean {
  return trim.hasSubscribers;
}

export function publishTrim(message: TrimMessage): void {
  trim.publish(message);
}

export function publishShardRestart(message: ShardRestartMessage): void {
  if (shardRestart.hasSubscribers) shardRestart.publish(message);
}
