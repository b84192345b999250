/**
 * Owns one open store in this process: puts its parts together and takes them apart again. Every Kv on the path shares one engine.
 *
 * Life: `opening` → `open` → `closing` → `closed`. Opening takes the owner's lock, reads or creates the manifest, opens all shards for
 * reading, finds out what a crash has left (recovery.ts), and starts the threads. Closing ends the watches, waits for what was sent,
 * stops the shards, and gives the lock back. Each step that fails undoes those before it.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type KvClock, ManualClock } from "../clock.js";
import { VERSIONSTAMP_BYTES, writeVersionstamp } from "../codec/versionstamp.js";
import { KvClosedError } from "../errors.js";
import {
  CHANGE_RING_BYTES,
  DRAIN_MS_MAX,
  FLUSH_INTERVAL_MS,
  PARTITION_DEPTH_DEFAULT,
  REPLY_RING_BYTES,
  REQUEST_RING_BYTES,
  STALL_MS_MAX,
  WATCHDOG_INTERVAL_MS,
} from "../limits.js";
import { createChangeRing } from "../ring/change-ring.js";
import { Control, ShardState } from "../ring/control.js";
import { createFrameRing } from "../ring/frame-ring.js";
import { createRoundMemory, RoundRing } from "../ring/round-ring.js";
import { callerHolder } from "../ring/sequencing-lock.js";
import { createManifest, type Manifest, readManifest, shardDirectory } from "../store/manifest.js";
import { OwnerLock } from "../store/owner-lock.js";
import { type Durability, ShardStore } from "../store/shard-store.js";
import { Dispatcher } from "../watch/dispatcher.js";
import type { Stamp } from "../watch/stamp.js";
import { Bell } from "./bell.js";
import { type CommitOwner, CommitRouter } from "./commit-router.js";
import { guardExit, unguardExit } from "./exit-guard.js";
import { Reader } from "./reader.js";
import { recover } from "./recovery.js";
import { ShardClient } from "./shard-client.js";
import { ShardThreads } from "./shard-threads.js";

/** The opening thread's number among the callers. */
const FIRST_CALLER = 0;
const SHARDS_DEFAULT_MAX = 8;

export interface EngineOptions {
  readonly shards?: number | undefined;
  readonly partitionDepth?: number | undefined;
  readonly durability: Durability;
  readonly clock: KvClock;
  /** Bytes of each shard's change ring, a power of two. */
  readonly changeRingBytes?: number | undefined;
  /** Where tests make shard threads die (shard/faults.ts). */
  readonly faults?: SharedArrayBuffer | undefined;
}

/** A directory that this process owns, and what it found in it. */
interface Home {
  readonly path: string;
  readonly lock: OwnerLock;
  readonly manifest: Manifest;
  /** Nobody else will ever open it: it goes when the engine does. */
  readonly isPrivate: boolean;
}

export class Engine {
  readonly manifest: Manifest;
  readonly durability: Durability;
  readonly clock: KvClock;
  readonly reader: Reader;
  readonly router: CommitRouter;
  readonly dispatcher: Dispatcher;
  readonly control: Control;
  readonly #home: Home;
  readonly #stores: readonly ShardStore[];
  readonly #bell: Bell;
  readonly #rounds: RoundRing;
  readonly #threads: ShardThreads;
  readonly #watchdog: NodeJS.Timeout;
  readonly #forgetClock: () => void;
  #closing: Promise<void> | null = null;

  /** Opens the store in `path`, or (`null`) a private one that vanishes when it is closed. */
  static async open(path: string | null, options: EngineOptions): Promise<Engine> {
    const home = await makeHome(path, options);
    let engine: Engine | null = null;
    try {
      engine = new Engine(home, options);
      await engine.#threads.start();
      return engine;
    } catch (error) {
      if (engine !== null) await engine.#dismantle();
      else leaveHome(home);
      throw error;
    }
  }

  private constructor(home: Home, options: EngineOptions) {
    const { manifest } = home;
    this.#home = home;
    this.manifest = manifest;
    this.durability = options.durability;
    this.clock = options.clock;
    const shards = Array.from({ length: manifest.shards }, (_, shard) => shard);
    const directories = shards.map((shard) => shardDirectory(home.path, shard));
    this.#stores = openAll(directories, options.durability);
    const recovery = recover(this.#stores);

    this.control = Control.create(manifest.shards, recovery.counter, recovery.round);
    const roundMemory = createRoundMemory();
    this.#rounds = new RoundRing(this.control, roundMemory, callerHolder(FIRST_CALLER));
    this.reader = new Reader(this.control, this.#stores, manifest.partitionDepth, options.clock);
    this.#bell = new Bell(this.control, FIRST_CALLER, () => this.#onBell());

    const rings = shards.map(() => ({
      requests: createFrameRing(REQUEST_RING_BYTES),
      replies: createFrameRing(REPLY_RING_BYTES),
      changes: createChangeRing(options.changeRingBytes ?? CHANGE_RING_BYTES),
    }));
    const clients = shards.map((shard) => new ShardClient(shard, this.control, rings[shard]!));
    this.router = new CommitRouter({
      control: this.control,
      caller: FIRST_CALLER,
      clients,
      rounds: this.#rounds,
      partitionDepth: manifest.partitionDepth,
      hold: () => this.#bell.hold(),
      release: () => this.#bell.release(),
    });
    this.dispatcher = new Dispatcher({
      shardCount: manifest.shards,
      control: this.control,
      rings: rings.map(({ changes }) => changes),
      readLog: (shard, after, bytesMax) => this.#readLog(shard, after, bytesMax),
      setWatching: (watching) => this.control.setWatching(FIRST_CALLER, watching),
      onActive: () => this.#bell.hold(),
      onIdle: () => this.#bell.release(),
    });
    this.#threads = new ShardThreads({
      control: this.control,
      rounds: this.#rounds,
      redos: recovery.redos,
      plans: shards.map((shard) => ({
        shard,
        shards: manifest.shards,
        partitionDepth: manifest.partitionDepth,
        directories,
        durability: options.durability,
        flushIntervalMs:
          home.isPrivate || options.durability === "sync" ? Number.POSITIVE_INFINITY : FLUSH_INTERVAL_MS,
        control: this.control.buffer,
        rounds: roundMemory,
        changes: rings[shard]!.changes,
        clock: options.clock instanceof ManualClock ? options.clock.handle : null,
        faults: options.faults ?? null,
        links: [{ caller: FIRST_CALLER, requests: rings[shard]!.requests, replies: rings[shard]!.replies }],
      })),
      onPort: (shard, port) => clients[shard]!.setPort(port),
      onRestart: (shard) => {
        this.dispatcher.restart(shard);
        this.router.shardRestarted(shard);
      },
      onFailure: (error, roundsGoOn) => this.router.shardFailed(error, roundsGoOn),
    });
    this.#watchdog = setInterval(() => this.#watch(), WATCHDOG_INTERVAL_MS).unref();
    this.#forgetClock = this.#followClock(options.clock);
    guardExit(this);
  }

  /** Resolves when everything that was sent is answered, the threads have ended and the lock is free. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Gives up what one Kv has pending: it closes, and others on the same engine do not. */
  abandon(owner: CommitOwner): void {
    this.router.abandon(owner, () => new KvClosedError());
  }

  /** Last rites before the process ends: stops the shards where nothing is torn. Blocks the thread, bounded by `deadlineMs`. */
  stopBeforeExit(deadlineMs: number): void {
    this.control.stop();
    for (let shard = 0; shard < this.manifest.shards; shard++) {
      for (;;) {
        const state = this.control.state(shard);
        const isSafe =
          state === ShardState.stopped || state === ShardState.failed || state === ShardState.down;
        const leftMs = deadlineMs - Date.now();
        if (isSafe || leftMs <= 0) break;
        this.control.waitState(shard, state, leftMs);
      }
    }
    leaveHome(this.#home);
  }

  async #close(): Promise<void> {
    this.dispatcher.close();
    const deadlineMs = Date.now() + DRAIN_MS_MAX;
    while ((this.router.pendingCount > 0 || !this.#rounds.isIdle) && Date.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await this.#dismantle();
  }

  async #dismantle(): Promise<void> {
    await this.#threads.stop();
    clearInterval(this.#watchdog);
    this.#forgetClock();
    this.#bell.close();
    await Promise.all(this.#stores.map((store) => store.close()));
    unguardExit(this);
    leaveHome(this.#home);
  }

  #onBell(): boolean {
    this.router.takeReplies();
    return this.dispatcher.poll();
  }

  #readLog(shard: number, after: Stamp, bytesMax: number): Uint8Array[] {
    const store = this.#stores[shard]!;
    const versionstamp = new Uint8Array(VERSIONSTAMP_BYTES);
    writeVersionstamp(versionstamp, 0, after.counter, after.order);
    store.renew();
    return store.readLog(versionstamp, bytesMax).map(({ records }) => records);
  }

  #watch(): void {
    for (let shard = 0; shard < this.manifest.shards; shard++) {
      const sinceMs = this.control.busySinceMs(shard);
      const busyMs = sinceMs === 0 ? 0 : Date.now() - sinceMs;
      this.router.shardStalled(shard, busyMs > STALL_MS_MAX ? busyMs : 0);
    }
  }

  /** A clock that is moved by hand wakes the shards, whose timers follow it. */
  #followClock(clock: KvClock): () => void {
    if (!(clock instanceof ManualClock)) return () => {};
    return clock.onAdvance(() => {
      for (let shard = 0; shard < this.manifest.shards; shard++) this.control.ringDoorbell(shard);
    });
  }
}

async function makeHome(path: string | null, options: EngineOptions): Promise<Home> {
  const directory = path ?? mkdtempSync(join(tmpdir(), "belfry-"));
  if (path !== null) mkdirSync(directory, { recursive: true });
  const real = realpathSync(directory);
  // Before the lock, so that a directory which is no store stays untouched.
  readManifest(real, options);
  const lock = await OwnerLock.acquire(real);
  try {
    const manifest =
      readManifest(real, options) ??
      createManifest(
        real,
        options.shards ?? Math.min(availableParallelism(), SHARDS_DEFAULT_MAX),
        options.partitionDepth ?? PARTITION_DEPTH_DEFAULT,
      );
    return { path: real, lock, manifest, isPrivate: path === null };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function leaveHome(home: Home): void {
  if (home.isPrivate) rmSync(home.path, { recursive: true, force: true });
  else home.lock.release();
}

/** Opens all shards, or none. */
function openAll(directories: readonly string[], durability: Durability): ShardStore[] {
  const stores: ShardStore[] = [];
  try {
    for (const directory of directories) stores.push(ShardStore.open(directory, durability));
    return stores;
  } catch (error) {
    for (const store of stores) void store.close();
    throw error;
  }
}
