/**
 * Owns `compactStore`: giving the free pages of a closed store's files back to the file system.
 */
import { KvNotAStoreError } from "../errors.js";
import { compactShard, dataBytes } from "../store/compaction.js";
import { readManifest, shardDirectory } from "../store/manifest.js";
import { OwnerLock } from "../store/owner-lock.js";
import type { Compaction } from "./compaction.js";
import { openKv } from "./open-kv.js";

/**
 * Makes the files of a store as small as what is in them. A file never shrinks by itself: what is deleted leaves free pages, which later
 * writes use again. Needs room for a second copy of the largest shard; a crash at any moment leaves the store as it was or compacted.
 *
 * @param path The directory of a store that nobody has open.
 * @throws KvLockedError when somebody has it open; KvNotAStoreError; KvStorageError; and what `openKv` throws.
 *
 * @example
 * const { bytesBefore, bytesAfter } = await compactStore("./data");
 */
export async function compactStore(path: string): Promise<Compaction> {
  // Opening it completes what a crash has left, which must not be done to half of the shards.
  if (readManifest(path, {}) === null) throw new KvNotAStoreError(path, "it is empty");
  const recovered = await openKv(path);
  await recovered.close();
  const lock = await OwnerLock.acquire(path);
  try {
    const { shards } = readManifest(path, {})!;
    const directories = Array.from({ length: shards }, (_, shard) => shardDirectory(path, shard));
    const bytesBefore = dataBytes(directories);
    for (const directory of directories) await compactShard(directory);
    return { bytesBefore, bytesAfter: dataBytes(directories) };
  } finally {
    lock.release();
  }
}
