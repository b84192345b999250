/**
 * Owns the diagnostics channels of the watching side. Nothing is made or published where nobody has subscribed.
 *
 * - `belfry:lag`: a feed's buffer was full. `{ overflow, bufferedChanges, bufferedBytes }`
 * - `belfry:catch-up`: a feed has caught up and is live again. `{ catchUps, lagMs, versionstamp }`
 * - `belfry:lap`: a shard's change ring has overtaken this thread, which goes on from the log. `{ shard }`
 */
import { channel } from "node:diagnostics_channel";
import type { OverflowPolicy } from "./kv-change.js";

const lag = channel("belfry:lag");
const catchUp = channel("belfry:catch-up");
const lap = channel("belfry:lap");

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

export function publishLag(message: () => LagMessage): void {
  if (lag.hasSubscribers) lag.publish(message());
}

export function publishCatchUp(message: () => CatchUpMessage): void {
  if (catchUp.hasSubscribers) catchUp.publish(message());
}

export function publishLap(shard: number): void {
  if (lap.hasSubscribers) lap.publish({ shard });
}
