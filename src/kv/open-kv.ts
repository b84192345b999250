/**
 * Owns the opening of a store by a caller: the meaning of a path, and the options.
 */
import { type KvClock, ManualClock, systemClock } from "../clock.js";
import { KvTypeError } from "../errors.js";
import { HISTORY_BYTES_MAX } from "../limits.js";
import { acquireEngine } from "../router/engine-registry.js";
import { shown } from "../shown.js";
import { checkWish } from "../store/manifest.js";
import type { Durability } from "../store/shard-store.js";
import { backupStore } from "./backup.js";
import { compactEngine } from "./compaction.js";
import { Kv } from "./kv.js";
import { type KvLimits, limitsOf } from "./kv-limits.js";

export interface KvOpenOptions {
  /**
   * Threads and files that the store is spread over, 1 to 31; fixed when it is created. Default: one a core but
   * one, which is for those who call; at least 1, at most 8; for a store that exists: what it has.
   */
  readonly shards?: number;
  /**
   * How many leading parts of a key choose its shard, 1 to 8; fixed at creation. Keys that share them live together: commits and lists
   * among them touch one shard. Default: 2; for a store that exists: what it has.
   */
  readonly partitionDepth?: number;
  /**
   * What an acknowledged write survives. `"sync"` (the default): power loss, it is on disk before the promise resolves. `"relaxed"`:
   * the death of the process; it is on disk about 200 ms later.
   */
  readonly durability?: Durability;
  /** What one call of this Kv may ask for: `"deno"` for exactly Deno KV's limits, or some of {@link KvLimits}. Default: larger ones. */
  readonly limits?: "deno" | Partial<KvLimits>;
  /** Where the time comes from: a {@link ManualClock} in tests of expiry. Default: the system. */
  readonly clock?: KvClock;
  /**
   * How much of the change log is kept, for watchers that lag or come back: `bytesMax` bytes of change records (default 256 MiB) that
   * are not older than `ageMsMax` milliseconds (default: no bound). The oldest go first. What a shard has written last goes with its next
   * write at the earliest, and its newest changes, up to 2,000 bytes or one commit, stay however old they are.
   */
  readonly history?: { readonly bytesMax?: number; readonly ageMsMax?: number };
  /** Every `set` of this Kv writes and announces nothing when the same bytes stand there already. Default: false. */
  readonly ifChanged?: boolean;
  /** Bytes of each shard's change ring, a power of two from 4 KiB to 1 GiB. A watcher that lags further reads the log. Default: 4 MiB. */
  readonly changeRingBytes?: number;
}

const CHANGE_RING_BYTES_MIN = 4096;
const CHANGE_RING_BYTES_CEILING = 2 ** 30;

/**
 * Opens a store, and creates it where there is none. Resolves when it can be read.
 *
 * The shards' threads start behind it: what is written before they run waits for them, and rejects with KvShardFailedError if one can't be started. Where a crash
 * has left a commit over several shards half there, it resolves when the shards have completed that.
 *
 * @param path A directory. `":memory:"`, or no path: a private store that vanishes when it is closed.
 * @throws KvTypeError KV_INVALID_PATH, KV_INVALID_OPTION; KvLockedError (another process owns it); KvManifestError, KvFormatError,
 * KvShardCountError, KvNotAStoreError (what is there was not touched); KvStorageError; KvError KV_OPTIONS_CONFLICT.
 *
 * @example
 * await using kv = await openKv("./data", { durability: "relaxed" });
 * await kv.set(["hello"], "world");
 */
export async function openKv(path?: string, options: KvOpenOptions = {}): Promise<Kv> {
  const directory = checkPath(path);
  checkOptions(options);
  const limits = limitsOf(options.limits);
  const { engine, release } = await acquireEngine(directory, {
    shards: options.shards,
    partitionDepth: options.partitionDepth,
    durability: directory === null ? "relaxed" : (options.durability ?? "sync"),
    clock: options.clock ?? systemClock,
    changeRingBytes: options.changeRingBytes,
    history: {
      bytesMax: options.history?.bytesMax ?? HISTORY_BYTES_MAX,
      ageMsMax: options.history?.ageMsMax ?? Number.POSITIVE_INFINITY,
    },
  });
  return new Kv(engine.caller, {
    limits,
    ifChanged: options.ifChanged ?? false,
    release,
    share: (settings) => engine.share(settings),
    compact: () => compactEngine(engine),
    backup: (target, backupOptions) => backupStore(engine, target, backupOptions),
  });
}

/** The directory of a store; `null` for a private one. */
function checkPath(path: string | undefined): string | null {
  if (path === undefined || path === ":memory:") return null;
  if (typeof path !== "string") {
    throw new KvTypeError("KV_INVALID_PATH", `path must be a string: received ${typeof path}`);
  }
  if (path === "") throw new KvTypeError("KV_INVALID_PATH", "Filename cannot be empty");
  if (path.startsWith(":")) {
    throw new KvTypeError("KV_INVALID_PATH", "Filename cannot start with ':' unless prefixed with './'");
  }
  return path;
}

function checkOptions(options: KvOpenOptions): void {
  checkWish(options);
  const { durability, clock, changeRingBytes } = options;
  if (durability !== undefined && durability !== "sync" && durability !== "relaxed") {
    throw invalid(`durability must be "sync" or "relaxed": received ${shown(durability)}`);
  }
  if (changeRingBytes !== undefined && !isRingSize(changeRingBytes)) {
    throw invalid(
      `changeRingBytes must be a power of two from ${CHANGE_RING_BYTES_MIN} to ${CHANGE_RING_BYTES_CEILING}: received ${shown(changeRingBytes)}`,
    );
  }
  checkBound("history.bytesMax", options.history?.bytesMax);
  checkBound("history.ageMsMax", options.history?.ageMsMax);
  // Shards read the clock in their own threads, so it is one of the two that they can see.
  if (clock !== undefined && clock !== systemClock && !(clock instanceof ManualClock)) {
    throw invalid("clock must be a ManualClock, or left out");
  }
}

function checkBound(name: string, value: number | undefined): void {
  if (value === undefined || (typeof value === "number" && value > 0)) return;
  throw invalid(`${name} must be a number above 0: received ${shown(value)}`);
}

function isRingSize(bytes: number): boolean {
  return isWithin(bytes, CHANGE_RING_BYTES_MIN, CHANGE_RING_BYTES_CEILING) && (bytes & (bytes - 1)) === 0;
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function invalid(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_OPTION", message);
}
