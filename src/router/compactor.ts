/**
 * Owns the compaction of a store that is open: its files are rewritten without their free pages while reads go on and writes wait. Runs on the
 * thread that opened the store.
 *
 * The naive way, a copy that is renamed over the file while everybody has it mapped, loses whatever is written after the copy, and leaves
 * readers on a file that has no name. Here nothing is written between the copy and the rename, and nobody else has the file mapped:
 *
 *   1. Commits wait in the backlog; those that were sent are answered, and no round is under way.
 *   2. The shards stop, and close their stores. Their threads stay.
 *   3. Everything is on the disk, and no checkpoint stands: it would name pages of the old files.
 *   4. Each shard is copied and the copy flushed. Reads go on, by this thread, which alone has the stores open.
 *   5. In one turn of the event loop each store is closed, its file replaced, and opened again. No read comes in between.
 *   6. A checkpoint of the new files, where the store has them; then the shards start, and the commits go on.
 *
 * Invariants
 * 1. At any moment each shard has one whole data file, old or new, and both hold the same: so it may be killed anywhere.
 * 2. Whatever fails, the steps before it are undone: the store takes writes again, with the old files or the new ones.
 */
import { setTimeout as delay } from "node:timers/promises";
import { KvError, KvShardFailedError, KvStorageError } from "../errors.js";
import { COMPACTION_WAIT_MS_MAX, DRAIN_MS_MAX } from "../limits.js";
import { ShardState } from "../ring/control.js";
import { clearCompaction, copyCompacted, putCompacted } from "../store/compaction.js";
import type { Caller } from "./caller.js";
import type { ShardThreads } from "./shard-threads.js";

export interface CompactorParts {
  readonly caller: Caller;
  readonly threads: ShardThreads;
  /** Runs `action` while everything is on the disk and there are no checkpoints; the shards stand still. */
  readonly withoutCheckpoints: (action: () => Promise<void>) => Promise<void>;
}

/** Compacts the store, which no other thread shares. Throws KvError KV_IN_USE, KvShardFailedError, KvStorageError; the store is as it was then. */
export async function compactOpen(parts: CompactorParts): Promise<void> {
  const { caller, threads } = parts;
  refuseFailed(caller);
  caller.router.pause();
  try {
    await untilQuiet(caller);
    await threads.pause();
    try {
      await parts.withoutCheckpoints(() => rewrite(caller));
    } finally {
      await threads.resume();
    }
  } catch (error) {
    if (error instanceof KvError) throw error;
    throw new KvStorageError(
      `the store could not be compacted: ${(error as Error).message}; it is as it was`,
      { cause: error },
    );
  } finally {
    caller.router.resume();
  }
}

function refuseFailed({ control }: Caller): void {
  for (let shard = 0; shard < control.shardCount; shard++) {
    if (control.state(shard) === ShardState.failed)
      throw new KvShardFailedError(shard, "the store is not compacted; close it and open it again first");
  }
}

async function untilQuiet({ router, rounds }: Caller): Promise<void> {
  const deadlineMs = Date.now() + DRAIN_MS_MAX;
  while (router.isAwaiting || !rounds.isIdle) {
    if (Date.now() > deadlineMs)
      throw new KvError("KV_IN_USE", `commits are not answered for ${DRAIN_MS_MAX} ms: is a shard stuck?`);
    await delay(1);
  }
}

async function rewrite(caller: Caller): Promise<void> {
  const { directories } = caller.shared;
  const { stores } = caller;
  await caller.closeInline();
  const untilMs = Date.now() + COMPACTION_WAIT_MS_MAX;
  while (stores.some(({ isHeld }) => isHeld)) await waitForReaders(untilMs);
  try {
    for (const [shard, store] of stores.entries()) await copyCompacted(store, directories[shard]!);
    const swapUntilMs = Date.now() + COMPACTION_WAIT_MS_MAX;
    while (stores.some(({ isHeld }) => isHeld)) await waitForReaders(swapUntilMs);
    // From here to the end of the loop nothing else runs on this thread, and no other has the stores open.
    for (const [shard, store] of stores.entries()) store.replaceFile(() => putCompacted(directories[shard]!));
  } finally {
    for (const directory of directories) clearCompaction(directory);
  }
}

async function waitForReaders(untilMs: number): Promise<void> {
  if (Date.now() > untilMs)
    throw new KvError(
      "KV_IN_USE",
      "a snapshot, a backup or a feed that reads its initial state holds the files: end it first",
    );
  await delay(5);
}
