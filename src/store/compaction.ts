/**
 * Owns the rewriting of a shard's data file without its free pages. Nobody else may have the shard open.
 *
 * A file is copied by LMDB, which leaves out what is free, flushed, and renamed over the old one; so at any moment the shard has one whole
 * file or the other, and both hold the same.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { dataFileOf } from "./data-file.js";
import { flushDirectory, flushFile } from "./flush.js";
import { ShardStore } from "./shard-store.js";

const TEMPORARY = "compact";

export async function compactShard(directory: string): Promise<void> {
  const temporary = join(directory, TEMPORARY);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary);
  const store = ShardStore.open(directory, "sync");
  try {
    await store.copyCompact(temporary);
  } finally {
    await store.close();
  }
  flushFile(dataFileOf(temporary));
  renameSync(dataFileOf(temporary), dataFileOf(directory));
  rmSync(temporary, { recursive: true });
  flushDirectory(directory);
}
