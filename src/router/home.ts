/**
 * Owns the directory of an open store: made or found, locked for this process, its manifest read or written.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { KvCorruptError, KvStorageError } from "../errors.js";
import { PARTITION_DEPTH_DEFAULT } from "../limits.js";
import { checkAddressSpace } from "../store/address-space.js";
import { hasCheckpoint, removeCheckpoint, restoreCheckpoint } from "../store/checkpoint.js";
import { clearCompaction } from "../store/compaction.js";
import { PageDamage } from "../store/data-file.js";
import { flushShards } from "../store/flush.js";
import {
  createManifest,
  finishCreation,
  type Manifest,
  type ManifestWish,
  readManifest,
  shardDirectory,
} from "../store/manifest.js";
import { OwnerLock } from "../store/owner-lock.js";
import { checkBeforeOpening } from "../store/page-check.js";

/** More threads than this are seldom worth their memory; whoever knows better says so. */
const SHARDS_DEFAULT_MAX = 8;

export class Home {
  readonly path: string;
  readonly manifest: Manifest;
  /** Each shard's directory. */
  readonly directories: readonly string[];
  /** Nobody has opened it before. */
  readonly isNew: boolean;
  /** Nobody else will ever open it: it goes when the engine does. */
  readonly isPrivate: boolean;
  readonly #lock: OwnerLock;

  /** Takes possession of `path`, or (`null`) of a new temporary directory. What is refused is left as it was. */
  static async take(path: string | null, wish: ManifestWish): Promise<Home> {
    try {
      return await Home.#take(path, wish);
    } catch (error) {
      throw asStorageError(path, error);
    }
  }

  static async #take(path: string | null, wish: ManifestWish): Promise<Home> {
    const directory = path ?? mkdtempSync(join(tmpdir(), "belfry-"));
    if (path !== null) mkdirSync(directory, { recursive: true });
    const real = realpathSync(directory);
    // Before the lock, so that a directory which is no store stays untouched.
    readManifest(real, wish);
    const lock = await OwnerLock.acquire(real);
    try {
      return new Home(real, lock, readManifest(real, wish), wish, path === null);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(
    path: string,
    lock: OwnerLock,
    found: Manifest | null,
    wish: ManifestWish,
    isPrivate: boolean,
  ) {
    const manifest = found ?? newManifest(path, wish);
    this.path = path;
    this.#lock = lock;
    this.manifest = manifest;
    this.isNew = found === null;
    this.isPrivate = isPrivate;
    this.directories = Array.from({ length: manifest.shards }, (_, shard) => shardDirectory(path, shard));
  }

  /**
   * Before LMDB maps the data files: puts a checkpoint back if the power has gone, and looks at each file for what would end the process.
   *
   * @throws KvCorruptError when a file is cut off or its first pages are damaged; KvStorageError when it can't be mapped.
   */
  prepareShards(): void {
    checkAddressSpace(this.path, this.directories.length);
    if (this.isPrivate) return;
    try {
      restoreCheckpoint(this.path, this.directories);
      for (const directory of this.directories) {
        clearCompaction(directory);
        checkFile(directory);
      }
    } catch (error) {
      throw asStorageError(this.path, error);
    }
  }

  /**
   * The shards are open. Makes what they are durable where every commit is flushed from now on. Only a store that is new, or was relaxed and did not come to its
   * close, is not on the disk already; the latter has a checkpoint.
   */
  shardsReady(isSync: boolean): void {
    if (this.isPrivate) return;
    if (isSync && (this.isNew || hasCheckpoint(this.path))) {
      flushShards(this.directories);
      removeCheckpoint(this.path);
    }
    finishCreation(this.path);
  }

  /** Gives it up; a private one is removed. Idempotent. */
  leave(): void {
    if (this.isPrivate) rmSync(this.path, { recursive: true, force: true });
    else this.#lock.release();
  }
}

function checkFile(directory: string): void {
  try {
    checkBeforeOpening(directory);
  } catch (error) {
    if (!(error instanceof PageDamage)) throw error;
    throw new KvCorruptError(
      `the data file of ${directory} is damaged: ${error.message}; nothing was touched, restore the store from a backup`,
      { cause: error },
    );
  }
}

function newManifest(path: string, wish: ManifestWish): Manifest {
  // One core is the callers'.
  const shards = wish.shards ?? Math.min(Math.max(1, availableParallelism() - 1), SHARDS_DEFAULT_MAX);
  return createManifest(path, shards, wish.partitionDepth ?? PARTITION_DEPTH_DEFAULT);
}

/** An error of the system, as ours. */
function asStorageError(path: string | null, error: unknown): unknown {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (typeof code !== "string" || syscall === undefined) return error;
  return new KvStorageError(`can't open the store in ${path}: ${message}`, { cause: error });
}
