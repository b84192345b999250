/**
 * Owns backups as callers see them: making one of an open store, and making a store of one.
 */
import { KvClosedError, KvCorruptError } from "../errors.js";
import type { Engine } from "../router/engine.js";
import { type ShardState, StateReader } from "../store/checkpoint.js";
import { readManifest, shardDirectory } from "../store/manifest.js";
import { type CopyProgress, checkTarget, copyStore } from "../store/store-copy.js";
import { type StoreReport, verifyStore } from "./verify-store.js";

export interface KvBackupOptions {
  /** Called after each chunk of 1 MiB, on this thread. What it throws ends the backup, and `backup` rejects with it. */
  readonly onProgress?: (progress: CopyProgress) => void;
}

/** What {@link Kv.backup} and {@link restoreBackup} have made. */
export interface KvBackup {
  readonly path: string;
  /** Bytes that were copied. */
  readonly bytes: number;
  /** What verifying the copy has found in it. Nothing is wrong with it. */
  readonly report: StoreReport;
}

/** See `Kv.backup`. */
export async function backupStore(engine: Engine, path: string, options: KvBackupOptions): Promise<KvBackup> {
  checkTarget(path);
  const { moment, from } = await engine.holdMoment();
  try {
    const bytes = await copyStore({
      from,
      to: path,
      states: moment.states,
      onProgress: (progress) => {
        if (engine.isClosing) throw new KvClosedError();
        options.onProgress?.(progress);
      },
    });
    return await verified(path, bytes);
  } finally {
    moment.letGo();
  }
}

/**
 * Makes a store of a backup (or of any store that nobody has open): verifies it, copies it, verifies the copy. The backup stays as it is;
 * it can be opened by itself, too, but then it is written to.
 *
 * @param path Where the store is to be: a directory that does not exist, or is empty.
 * @throws KvCorruptError when the backup is damaged; KvError KV_TARGET_EXISTS; KvLockedError when somebody has the backup open.
 *
 * @example
 * await restoreBackup("./backups/monday", "./data");
 * const kv = await openKv("./data");
 */
export async function restoreBackup(
  backup: string,
  path: string,
  options: KvBackupOptions = {},
): Promise<KvBackup> {
  refuseDamaged(await verifyStore(backup));
  checkTarget(path);
  const manifest = readManifest(backup, {})!;
  const states = Array.from({ length: manifest.shards }, (_, shard) =>
    stateOf(shardDirectory(backup, shard)),
  );
  const bytes = await copyStore({
    from: backup,
    to: path,
    states,
    onProgress: (progress) => options.onProgress?.(progress),
  });
  return verified(path, bytes);
}

function stateOf(directory: string): ShardState {
  const reader = new StateReader(directory);
  try {
    return reader.read();
  } finally {
    reader.close();
  }
}

async function verified(path: string, bytes: number): Promise<KvBackup> {
  const report = await verifyStore(path);
  refuseDamaged(report);
  return { path, bytes, report };
}

function refuseDamaged({ path, problems }: StoreReport): void {
  const [first] = problems;
  if (first === undefined) return;
  throw new KvCorruptError(
    `${path} is damaged, ${problems.length} problems, the first in ${first.where}: ${first.what}`,
  );
}
