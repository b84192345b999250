/**
 * Owns the copying of a store's files: of pinned states of its shards, or of a store that nobody has open, into a new directory. Any thread,
 * off its event loop.
 *
 * Invariant: what is copied is no store before all of it is on the disk (the manifest's `creating` mark says so).
 */
import { mkdirSync, readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { KvError } from "../errors.js";
import { COPY_CHUNK_BYTES, PAGE_SIZE_BYTES } from "../limits.js";
import { metaOf, metaPage, type ShardState } from "./checkpoint.js";
import { dataFileOf } from "./data-file.js";
import { flushShards } from "./flush.js";
import { copyManifest, finishCreation, shardDirectory } from "./manifest.js";

/** How far a copy is. */
export interface CopyProgress {
  readonly copiedBytes: number;
  readonly totalBytes: number;
}

export interface StoreCopy {
  readonly from: string;
  readonly to: string;
  /** The state of each shard that is copied. Its pages must not change meanwhile. */
  readonly states: readonly ShardState[];
  /** Called after each chunk. What it throws ends the copying. */
  readonly onProgress: (progress: CopyProgress) => void;
}

/** Throws KvError KV_TARGET_EXISTS unless the directory does not exist, or is empty. */
export function checkTarget(path: string): void {
  mkdirSync(path, { recursive: true });
  const found = readdirSync(path);
  if (found.length > 0 && !found.includes("creating"))
    throw new KvError(
      "KV_TARGET_EXISTS",
      `${path} holds ${found[0]} already: choose a path that does not exist yet or an empty directory`,
    );
}

/** Copies, and returns the bytes that it has copied. */
export async function copyStore({ from, to, states, onProgress }: StoreCopy): Promise<number> {
  checkTarget(to);
  copyManifest(from, to);
  const pages = states.map((state) => metaOf(state).lastPage + 1);
  const totalBytes = pages.reduce((sum, count) => sum + count * PAGE_SIZE_BYTES, 0);
  let copiedBytes = 0;
  const directories = states.map((_, shard) => shardDirectory(to, shard));
  for (const [shard, state] of states.entries()) {
    mkdirSync(directories[shard]!, { recursive: true });
    const source = dataFileOf(shardDirectory(from, shard));
    await copyShard(source, dataFileOf(directories[shard]!), state, (bytes) => {
      copiedBytes += bytes;
      onProgress({ copiedBytes, totalBytes });
    });
  }
  flushShards(directories);
  finishCreation(to);
  return copiedBytes;
}

async function copyShard(
  source: string,
  target: string,
  state: ShardState,
  onCopied: (bytes: number) => void,
): Promise<void> {
  const reading = await open(source, "r");
  const writing = await open(target, "w");
  try {
    const end = (metaOf(state).lastPage + 1) * PAGE_SIZE_BYTES;
    const chunk = new Uint8Array(COPY_CHUNK_BYTES);
    for (let at = 0; at < end; ) {
      const { bytesRead } = await reading.read(chunk, 0, Math.min(chunk.length, end - at), at);
      // The last pages of a file may be free, and not there.
      if (bytesRead === 0) break;
      await writing.write(chunk, 0, bytesRead, at);
      at += bytesRead;
      onCopied(bytesRead);
    }
    // Both meta pages are of the state that is copied: those of the file have gone on.
    for (const transaction of [state.transaction, state.transaction - 1])
      await writing.write(metaPage(state.meta, transaction), 0, null, (transaction % 2) * PAGE_SIZE_BYTES);
  } finally {
    await reading.close();
    await writing.close();
  }
}
