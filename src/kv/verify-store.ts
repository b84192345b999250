/**
 * Owns `verifyStore`: the walk over everything that a store has on the disk, and the report of it.
 */
import { join } from "node:path";
import { KvError, KvStorageError } from "../errors.js";
import { pendingStates, type ShardState } from "../store/checkpoint.js";
import { PageDamage } from "../store/data-file.js";
import { type Manifest, readManifest, shardDirectory } from "../store/manifest.js";
import { OwnerLock } from "../store/owner-lock.js";
import { checkPages } from "../store/page-check.js";
import { type ShardContents, ShardVerification, TABLE_ORDER } from "./shard-verification.js";

/** Something that is not as it was written. */
export interface StoreProblem {
  /** The file, or the shard's directory. */
  readonly where: string;
  readonly what: string;
}

/** What one shard was found to hold. */
export interface VerifiedShard extends ShardContents {
  readonly shard: number;
  /** Pages of 8 KiB: those that hold something, and those that are free to be used again. */
  readonly usedPages: number;
  readonly freePages: number;
}

/** What {@link verifyStore} found. */
export interface StoreReport {
  readonly path: string;
  /** Whether nothing is wrong. */
  readonly ok: boolean;
  /** At most 100: the first ones tell the most. */
  readonly problems: readonly StoreProblem[];
  /** Those that could be walked to their end. */
  readonly shards: readonly VerifiedShard[];
}

const PROBLEMS_MAX = 100;

/**
 * Walks a store that nobody has open, and says everything that is wrong with it: the manifest, every page of every data file, every row and
 * its checksum, the entries against the change log and against their due times, the order of versionstamps. It changes nothing.
 *
 * It reads the files by itself and trusts nothing in them, so damage that would end a process which opens the store is an answer here.
 * Blocks the thread, for about a second for every 100 MB; run it in a thread of its own where that matters.
 *
 * @param path The store's directory.
 * @throws KvLockedError when somebody has it open; KvStorageError when the directory can't be read.
 *
 * @example
 * const { ok, problems } = await verifyStore("./data");
 * if (!ok) console.error(problems);
 */
export async function verifyStore(path: string): Promise<StoreReport> {
  const lock = await lockOf(path);
  try {
    return verify(path);
  } finally {
    lock.release();
  }
}

async function lockOf(path: string): Promise<OwnerLock> {
  try {
    return await OwnerLock.acquire(path);
  } catch (error) {
    if (error instanceof KvError) throw error;
    throw new KvStorageError(`can't verify ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function verify(path: string): StoreReport {
  const problems: StoreProblem[] = [];
  const shards: VerifiedShard[] = [];
  const found = <T>(where: string, read: () => T): T | null => attempt(problems, where, read);
  const manifest = found(join(path, "manifest.json"), () => readManifest(path, {}));
  const states = found(path, () => pendingStates(path));
  if (manifest === null) {
    if (problems.length === 0)
      add(problems, path, "there is no store, or one whose creation was not finished");
  } else {
    for (let shard = 0; shard < manifest.shards; shard++) {
      const where = shardDirectory(path, shard);
      const verified = found(where, () =>
        verifyShard(manifest, shard, where, states?.[shard] ?? null, (what) => add(problems, where, what)),
      );
      if (verified !== null) shards.push(verified);
    }
  }
  return { path, ok: problems.length === 0, problems, shards };
}

function verifyShard(
  { shards, partitionDepth }: Manifest,
  shard: number,
  directory: string,
  state: ShardState | null,
  report: (what: string) => void,
): VerifiedShard {
  const verification = new ShardVerification({ shard, shards, partitionDepth }, report);
  const pages = checkPages(
    directory,
    TABLE_ORDER,
    (table, key, row) => verification.row(table, key, row),
    state,
  );
  return { shard, ...verification.finish(), usedPages: pages.usedPages, freePages: pages.freePages };
}

/** What `read` gives; where it is damaged or not there, that is a problem. */
function attempt<T>(problems: StoreProblem[], where: string, read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!(error instanceof KvError) && !(error instanceof PageDamage) && code === undefined) throw error;
    add(problems, where, message);
    return null;
  }
}

function add(problems: StoreProblem[], where: string, what: string): void {
  if (problems.length < PROBLEMS_MAX) problems.push({ where, what });
}
