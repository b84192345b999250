/**
 * Owns one open store in this process: the directory, the shards' threads, and the opening thread's own way to them. Every Kv on the
 * path shares one engine.
 *
 * Life: opening takes the directory, opens all shards for reading, and finds out what a crash has left (recovery.ts). Then it can be read, and the threads start
 * behind it; only where a commit over several shards is half there are they waited for, since they complete it. Closing ends the watches, waits for what was sent, stops the shards, and gives the directory back. Each step that fails
 * undoes those before it.
 */

import { randomInt } from "node:crypto";
import { debuglog } from "node:util";
import { isMainThread } from "node:worker_threads";
import { type KvClock, ManualClock } from "../clock.js";
import { KvError } from "../errors.js";
import {
  CHANGE_RING_BYTES,
  FLUSH_INTERVAL_MS,
  MOMENT_WAIT_MS_MAX,
  ROUND_WAIT_MS_MAX,
  STALL_MS_MAX,
  WATCHDOG_INTERVAL_MS,
} from "../limits.js";
import { createChangeRing } from "../ring/change-ring.js";
import { Control, ShardState } from "../ring/control.js";
import { createRoundMemory } from "../ring/round-ring.js";
import type { LogBounds } from "../shard/log-trimmer.js";
import { StateReader } from "../store/checkpoint.js";
import { dataBytes } from "../store/compaction.js";
import type { ManifestWish } from "../store/manifest.js";
import type { Durability, ShardStore } from "../store/shard-store.js";
import { isTrimWanted, publishTrim } from "../watch/watch-diagnostics.js";
import { Caller, handleOf, openStores, type SharedStore } from "./caller.js";
import { Checkpointer } from "./checkpointer.js";
import { compactOpen } from "./compactor.js";
import { guardExit, unguardExit } from "./exit-guard.js";
import { Home } from "./home.js";
import { type Moment, takeMoment } from "./moment.js";
import { type Recovery, recover } from "./recovery.js";
import { createCallerRings } from "./shard-client.js";
import { ShardThreads, type ShardThreadsOptions } from "./shard-threads.js";
import { Sharing, type StoreHandle, type StoreSettings } from "./sharing.js";

const debug = debuglog("belfry:router");

/** The opening thread's number among the callers. */
const FIRST_CALLER = 0;

/** Names of holders of one opening: they begin at a random multiple of this, so that no two openings share one. */
const HOLDERS_PER_OPENING = 2 ** 20;

export interface EngineOptions extends ManifestWish {
  readonly durability: Durability;
  readonly clock: KvClock;
  /** Bytes of each shard's change ring, a power of two. */
  readonly changeRingBytes?: number | undefined;
  /** Bounds of the change log of the whole store. */
  readonly history: LogBounds;
  /** Where tests make shard threads die (shard/faults.ts). */
  readonly faults?: SharedArrayBuffer | undefined;
  /** Whether the opening thread makes small commits by itself, where it can. Default: unless there are faults, which the shards' threads meet. */
  readonly inline?: boolean | undefined;
}

export class Engine {
  /** The opening thread's own way to the shards. */
  readonly caller: Caller;
  readonly #home: Home;
  readonly #stores: readonly ShardStore[];
  /** The other threads that use the store. */
  readonly sharing: Sharing;
  readonly #threads: ShardThreads;
  /** A shard lacks its part of the last round: nobody may read before its thread has made up for it. */
  readonly #isHalf: boolean;
  /** `null` where every commit is flushed, or none needs to be. */
  #checkpointer: Checkpointer | null;
  readonly #durability: Durability;
  readonly #watchdog: NodeJS.Timeout;
  readonly #forgetClock: () => void;
  /** The log's horizon as the watchdog saw it last. */
  #oldest: string | null = null;
  #compacting: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  /** Opens the store in `path`, or (`null`) a private one that vanishes when it is closed. */
  static async open(path: string | null, options: EngineOptions): Promise<Engine> {
    const home = await Home.take(path, options);
    let engine: Engine;
    try {
      engine = await Engine.#openIn(home, options);
    } catch (error) {
      home.leave();
      throw error;
    }
    try {
      if (engine.#isHalf) await engine.#threads.start();
      else engine.#threads.startBehind();
      debug("opened %s: %d shards, %s", home.path, home.manifest.shards, options.durability);
      return engine;
    } catch (error) {
      await engine.#dismantle();
      throw error;
    }
  }

  static async #openIn(home: Home, options: EngineOptions): Promise<Engine> {
    const { directories } = home;
    home.prepareShards();
    const stores = openStores(directories, options.durability);
    try {
      return new Engine(home, directories, stores, recover(stores, home.isNew), options);
    } catch (error) {
      // Open stores without the lock would be another process's trouble.
      await Promise.all(stores.map((store) => store.close()));
      throw error;
    }
  }

  private constructor(
    home: Home,
    directories: readonly string[],
    stores: readonly ShardStore[],
    recovery: Recovery,
    options: EngineOptions,
  ) {
    const { shards } = home.manifest;
    this.#home = home;
    this.#stores = stores;
    this.#durability = options.durability;
    const store: SharedStore = {
      manifest: home.manifest,
      directories,
      durability: options.durability,
      control: Control.create(shards, recovery.counter, recovery.round).buffer,
      rounds: createRoundMemory(),
      changes: perShard(shards, () => createChangeRing(options.changeRingBytes ?? CHANGE_RING_BYTES)),
      clock: handleOf(options.clock),
    };
    const rings = createCallerRings(shards);
    const holder = randomInt(2 ** 32) * HOLDERS_PER_OPENING;
    const { clock } = options;
    const inlineLog = isInlineAllowed(options) ? logBoundsOf(options, shards) : undefined;
    this.caller = new Caller({ store, caller: FIRST_CALLER, holder, rings, stores, clock, inlineLog });
    this.sharing = new Sharing(this.caller);
    this.#checkpointer = this.#planCheckpoints();
    home.shardsReady(options.durability === "sync");
    this.#isHalf = recovery.redos.some((redo) => redo !== null);
    this.#threads = this.#planThreads(options, recovery.redos, (shard) => [
      { caller: FIRST_CALLER, holder, ...rings[shard]! },
      ...this.sharing.ringsOf(shard),
    ]);
    this.#watchdog = setInterval(() => this.#watch(), WATCHDOG_INTERVAL_MS).unref();
    this.#forgetClock = this.#followClock(options.clock);
    guardExit(this);
  }

  get isClosing(): boolean {
    return this.#closing !== null;
  }

  /** Lets another thread join (sharing.ts). It may be waited for by blocking this one, so the shards' threads must not need it to come up. */
  share(settings: StoreSettings): StoreHandle {
    const handle = this.sharing.share(settings);
    this.#threads.startNow();
    return handle;
  }

  /** Bytes of the data files. */
  get dataBytes(): number {
    return dataBytes(this.#home.directories);
  }

  /** One moment of all shards, as their files have it, and where they are. Its holder lets it go. */
  async holdMoment(): Promise<{ readonly moment: Moment; readonly from: string }> {
    const { control, number: caller } = this.caller;
    const readers = this.#home.directories.map((directory) => new StateReader(directory));
    try {
      const deadlineMs = Date.now() + MOMENT_WAIT_MS_MAX;
      for (;;) {
        const moment = takeMoment({ stores: this.#stores, readers, control, caller });
        if (moment !== null) return { moment, from: this.#home.path };
        if (Date.now() > deadlineMs)
          throw new KvError(
            "KV_SHARD_FAILED",
            `the shards do not stand still within ${MOMENT_WAIT_MS_MAX} ms: is one stuck?`,
          );
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    } finally {
      for (const reader of readers) reader.close();
    }
  }

  /** Rewrites the files without their free pages (compactor.ts). One at a time: who comes meanwhile gets the same. */
  compact(): Promise<void> {
    this.#compacting ??= this.#compact().finally(() => {
      this.#compacting = null;
    });
    return this.#compacting;
  }

  /** Resolves when everything that was sent is answered, the threads have ended and the lock is free. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Last rites before the process ends: stops the shards where nothing is torn. Blocks the thread, bounded by `deadlineMs`. */
  stopBeforeExit(deadlineMs: number): void {
    const { control } = this.caller;
    control.stop();
    for (let shard = 0; shard < control.shardCount; shard++) {
      for (;;) {
        const state = control.state(shard);
        const leftMs = deadlineMs - Date.now();
        if (isSafeToEnd(state) || leftMs <= 0) break;
        control.waitState(shard, state, leftMs);
      }
    }
    this.#checkpointer?.closeSync();
    this.#home.leave();
  }

  #planCheckpoints(): Checkpointer | null {
    if (this.#durability === "sync" || this.#home.isPrivate) return null;
    const { path, directories } = this.#home;
    const { control, number: caller } = this.caller;
    const stores = this.#stores;
    return new Checkpointer({ path, directories, stores, control, caller, intervalMs: FLUSH_INTERVAL_MS });
  }

  async #compact(): Promise<void> {
    this.sharing.refuseGuests();
    try {
      await compactOpen({
        caller: this.caller,
        threads: this.#threads,
        withoutCheckpoints: (action) => this.#withoutCheckpoints(action),
      });
    } finally {
      this.sharing.admitGuests();
    }
  }

  async #withoutCheckpoints(action: () => Promise<void>): Promise<void> {
    await this.#checkpointer?.closeUnlessItFails();
    try {
      await action();
    } finally {
      await this.#checkpointAgain();
    }
  }

  /** Nothing may be written before there is a checkpoint, so it is tried until there is one. */
  async #checkpointAgain(): Promise<void> {
    for (;;) {
      try {
        this.#checkpointer = this.#planCheckpoints();
        return;
      } catch (error) {
        if (this.isClosing) throw error;
        process.emitWarning(
          `writes wait, since no checkpoint can be made: ${(error as Error).message}`,
          "BelfryWarning",
        );
        await new Promise((resolve) => setTimeout(resolve, WATCHDOG_INTERVAL_MS));
      }
    }
  }

  #planThreads(
    options: EngineOptions,
    redos: readonly (Uint8Array | null)[],
    ringsOf: ShardThreadsOptions["ringsOf"],
  ): ShardThreads {
    const { shared, control, rounds } = this.caller;
    const { manifest, directories, durability } = shared;
    return new ShardThreads({
      control,
      rounds,
      redos,
      plans: perShard(manifest.shards, (shard) => ({
        shard,
        shards: manifest.shards,
        partitionDepth: manifest.partitionDepth,
        directories,
        durability,
        control: shared.control,
        rounds: shared.rounds,
        changes: shared.changes[shard]!,
        clock: shared.clock,
        log: logBoundsOf(options, manifest.shards),
        faults: options.faults ?? null,
      })),
      ringsOf,
      onPort: (shard, caller, port) => {
        if (caller === FIRST_CALLER) this.caller.clients[shard]!.setPort(port);
        else this.sharing.restarted(shard, caller, port);
      },
      onDeath: (shard) => this.caller.shardRestarted(shard),
      onFailure: (failure) => {
        this.caller.router.shardFailed(failure);
        this.sharing.failed(failure);
      },
    });
  }

  async #close(): Promise<void> {
    // What it comes to is told to who has asked for it.
    await this.#compacting?.catch(() => {});
    await this.sharing.close();
    await this.caller.drain();
    await this.#untilRoundsIdle();
    await this.#dismantle();
  }

  /** A round that runs is let finish. One that can't (a lost shard owes its part) is redone when the store is opened again. */
  async #untilRoundsIdle(): Promise<void> {
    const deadlineMs = Date.now() + ROUND_WAIT_MS_MAX;
    while (!this.caller.rounds.isIdle && Date.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #dismantle(): Promise<void> {
    await this.#threads.stop();
    clearInterval(this.#watchdog);
    this.#forgetClock();
    await this.#checkpointer?.close().catch(warnUnflushed);
    await this.caller.close();
    unguardExit(this);
    this.#home.leave();
    debug("closed %s", this.#home.path);
  }

  #watch(): void {
    const { control, router } = this.caller;
    if (isTrimWanted()) this.#tellTrim();
    for (let shard = 0; shard < control.shardCount; shard++) {
      const sinceMs = control.busySinceMs(shard);
      const busyMs = sinceMs === 0 ? 0 : Date.now() - sinceMs;
      const stalledMs = busyMs > STALL_MS_MAX ? busyMs : 0;
      router.shardStalled(shard, stalledMs);
      this.sharing.stalled(shard, stalledMs);
    }
  }

  /** The first look after somebody has subscribed only notes where the horizon is. */
  #tellTrim(): void {
    const { oldest, bytes } = this.caller.history();
    if (this.#oldest !== null && oldest > this.#oldest) publishTrim({ oldest, bytes });
    this.#oldest = oldest;
  }

  /** A clock that is moved by hand wakes the shards, whose timers follow it. */
  #followClock(clock: KvClock): () => void {
    if (!(clock instanceof ManualClock)) return () => {};
    const { control } = this.caller;
    return clock.onAdvance(() => {
      for (let shard = 0; shard < control.shardCount; shard++) control.ringDoorbell(shard);
    });
  }
}

/** Whether the opening thread makes small commits by itself. Not where each waits for the disk, and not on a thread that can be ended at any moment. */
function isInlineAllowed({ durability, faults, inline = faults === undefined }: EngineOptions): boolean {
  return inline && durability === "relaxed" && isMainThread;
}

function logBoundsOf({ history: { bytesMax, ageMsMax } }: EngineOptions, shards: number): LogBounds {
  return { bytesMax: bytesMax / shards, ageMsMax };
}

function perShard<T>(shards: number, make: (shard: number) => T): T[] {
  return Array.from({ length: shards }, (_, shard) => make(shard));
}

/** What is not on the disk yet is the system's, which writes it when it can; the last checkpoint stays beside it. */
function warnUnflushed(error: Error): void {
  process.emitWarning(`the store could not be flushed when it was closed: ${error.message}`, "BelfryWarning");
}

function isSafeToEnd(state: ShardState): boolean {
  return state === ShardState.stopped || state === ShardState.failed || state === ShardState.down;
}
