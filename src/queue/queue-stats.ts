/**
 * Owns what an open store tells of its queue: read from the stores, without asking anybody.
 */
import type { ShardStore } from "../store/shard-store.js";

/** How many messages are in which state. */
export interface QueueTally {
  /** Due, and handled by nobody yet. */
  readonly ready: number;
  /** Not due yet: enqueued with a delay, or waiting for another try. */
  readonly delayed: number;
  /** Being handled. */
  readonly leased: number;
  /** Could not be delivered, and kept. */
  readonly dead: number;
  /** Bytes of the dead ones. */
  readonly deadBytes: number;
  /** Dead letters that had to go because there were too many, since the store was created. */
  readonly dropped: number;
  /** When the ready message that waits longest was due, in milliseconds since 1970; `null` when none is ready. */
  readonly oldestReadyMs: number | null;
  /** When the next delayed message is due, in milliseconds since 1970; `null` when none is delayed. */
  readonly nextDueMs: number | null;
}

export interface QueueShardStats extends QueueTally {
  readonly shard: number;
}

/** What {@link Kv.queueStats} tells: all shards together, and each. */
export interface QueueStats extends QueueTally {
  readonly shards: readonly QueueShardStats[];
  /** Listeners of this thread. */
  readonly listeners: number;
  /** Messages that they handle now. */
  readonly running: number;
}

const COUNTS = ["ready", "delayed", "leased", "dead", "deadBytes", "dropped"] as const;

export function queueTallies(stores: readonly ShardStore[]): QueueTally & { shards: QueueShardStats[] } {
  const shards = stores.map((store, shard): QueueShardStats => {
    store.renew();
    const oldestReadyMs = store.queue.firstWaiting("ready", 1)[0]?.dueMs ?? null;
    const nextDueMs = store.queue.firstWaiting("delayed", 1)[0]?.dueMs ?? null;
    return { shard, ...store.queue.counts(), oldestReadyMs, nextDueMs };
  });
  const sums = Object.fromEntries(
    COUNTS.map((name) => [name, shards.reduce((sum, tally) => sum + tally[name], 0)]),
  ) as Record<(typeof COUNTS)[number], number>;
  return {
    ...sums,
    oldestReadyMs: earliest(shards.map(({ oldestReadyMs }) => oldestReadyMs)),
    nextDueMs: earliest(shards.map(({ nextDueMs }) => nextDueMs)),
    shards,
  };
}

function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
}
