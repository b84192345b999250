/**
 * Owns the rewriting of a shard's data file without its free pages: the copy, and its taking the file's place.
 *
 * A file is copied by LMDB, which leaves out what is free, flushed, and renamed over the old one; so at any moment the shard has one whole
 * file or the other, and both hold the same. What a crash has left of a copy is removed when the store is opened.
 */
import { mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { dataFileOf } from "./data-file.js";
import { flushDirectory } from "./flush.js";
import { ShardStore } from "./shard-store.js";

const TEMPORARY = "compact";

/** Compacts a shard that nobody has open. */
export async function compactShard(directory: string): Promise<void> {
  const store = ShardStore.open(directory, "sync");
  try {
    await copyCompacted(store, directory);
  } finally {
    await store.close();
  }
  putCompacted(directory);
  clearCompaction(directory);
}

/** Makes a compact copy of a shard that nobody writes to, on the disk, beside its file. */
export async function copyCompacted(store: ShardStore, directory: string): Promise<void> {
  clearCompaction(directory);
  const target = join(directory, TEMPORARY);
  mkdirSync(target);
  await store.copyCompact(target);
  const file = await open(dataFileOf(target), "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Puts the copy in the place of the file, which nobody may have open. */
export function putCompacted(directory: string): void {
  renameSync(dataFileOf(join(directory, TEMPORARY)), dataFileOf(directory));
  flushDirectory(directory);
}

/** Removes what a compaction has left. */
export function clearCompaction(directory: string): void {
  rmSync(join(directory, TEMPORARY), { recursive: true, force: true });
}

/** Bytes of the data files of shards. */
export function dataBytes(directories: readonly string[]): number {
  return directories.reduce((sum, directory) => sum + statSync(dataFileOf(directory)).size, 0);
}
