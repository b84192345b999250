/**
 * Owns what an open store tells of its shards: read from shared memory and the stores, without asking anybody.
 */
import { ChangeRingReader } from "../ring/change-ring.js";
import { type Control, ShardState } from "../ring/control.js";
import { RECORD_ALIGNMENT_BYTES } from "../ring/layout.js";
import type { ShardStore } from "../store/shard-store.js";

export interface ShardStats {
  readonly shard: number;
  /** `starting` from the opening on until its thread runs; `stopped` only while the store closes; `failed` when it was given up. */
  readonly state: "down" | "starting" | "running" | "in-transaction" | "stopped" | "failed";
  /** LMDB transactions since the store was opened. */
  readonly transactions: number;
  /** Commits that it has executed, or had its part in, since the store was opened, failed checks included. */
  readonly commits: number;
  /** Commits in one transaction, on average: what group commit makes of the load. */
  readonly meanBatch: number;
  /** Changes that it has published since the store was opened. */
  readonly changes: number;
  /** Bytes that its change ring has carried since the store was opened, padding included. It wraps to 0 at 32 GiB. */
  readonly ringPosition: number;
  /** Commits since the oldest snapshot that is held, by any thread: while one is, freed pages can't be used again and the file may grow. */
  readonly oldestReaderLag: number;
  /** Bytes of change records in its log. */
  readonly logBytes: number;
  /** Milliseconds since its transaction began; 0 when it is in none. */
  readonly busyMs: number;
  /** Times that its thread died and another came. */
  readonly restarts: number;
}

const STATE_NAMES: Readonly<Record<ShardState, ShardStats["state"]>> = {
  [ShardState.down]: "down",
  [ShardState.starting]: "starting",
  [ShardState.running]: "running",
  [ShardState.inTransaction]: "in-transaction",
  [ShardState.stopped]: "stopped",
  [ShardState.failed]: "failed",
};

export function shardStats(
  control: Control,
  stores: readonly ShardStore[],
  rings: readonly SharedArrayBuffer[],
): ShardStats[] {
  return stores.map((store, shard) => {
    store.renew();
    const transactions = control.commits(shard) >>> 0;
    const commits = control.requests(shard);
    const sinceMs = control.busySinceMs(shard);
    return {
      shard,
      state: control.isComingUp(shard) ? "starting" : STATE_NAMES[control.state(shard)],
      transactions,
      commits,
      meanBatch: transactions === 0 ? 0 : commits / transactions,
      changes: control.changes(shard),
      ringPosition: (new ChangeRingReader(rings[shard]!).tail >>> 0) * RECORD_ALIGNMENT_BYTES,
      oldestReaderLag: store.oldestReaderLag(),
      logBytes: store.head()?.logBytes ?? 0,
      busyMs: sinceMs === 0 ? 0 : Math.max(0, Date.now() - sinceMs),
      restarts: control.incarnation(shard),
    };
  });
}
