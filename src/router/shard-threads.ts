/**
 * Owns the threads of the shards: starts them, starts another when one dies, gives one up that keeps dying, ends them. Runs on the
 * thread that opened the store. This file alone imports `piscina`: one pool of one thread for each shard.
 *
 * The pool's one task starts the shard and returns; the shard's loop then has the thread. So a running shard is no running task, the
 * pool keeps no process alive for it, and its death is the worker's.
 *
 * Invariants
 * 1. A thread is never terminated while its shard may be inside a transaction: that wedges LMDB for the whole process. It is asked to
 *    stop through shared memory, and its pool is closed when it has.
 * 2. Every death is answered: the lock it may have held is broken, its round mended, its state corrected, and those who
 *    wait for it are told.
 */
import { fileURLToPath } from "node:url";
import { debuglog } from "node:util";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import { KvShardFailedError } from "../errors.js";
import { SHARD_RESTART_WINDOW_MS, SHARD_RESTARTS_MAX } from "../limits.js";
import { ChangeRingWriter } from "../ring/change-ring.js";
import { type Control, ShardState } from "../ring/control.js";
import type { RoundRing } from "../ring/round-ring.js";
import { SequencingLock, shardHolder } from "../ring/sequencing-lock.js";
import type { CallerLink, ShardBoot } from "../shard/boot.js";

const debug = debuglog("belfry:router");

const SHARD_THREAD = fileURLToPath(new URL("../../workers/shard-thread.js", import.meta.url));

/** A shard's boot, less what each of its threads gets anew. */
export type ShardPlan = Omit<ShardBoot, "links" | "redo">;

export interface ShardThreadsOptions {
  readonly control: Control;
  readonly rounds: RoundRing;
  readonly plans: readonly ShardPlan[];
  readonly redos: readonly (Uint8Array | null)[];
  /** The rings of all callers of a shard at this moment. */
  readonly ringsOf: (shard: number) => readonly Omit<CallerLink, "port">[];
  /** A caller's end of the port to a shard's new thread. */
  readonly onPort: (shard: number, caller: number, port: MessagePort) => void;
  /** A running thread has died, and another will come. */
  readonly onDeath: (shard: number) => void;
  /** A shard is given up; `roundsGoOn` says whether commits over several other shards are possible still. */
  readonly onFailure: (error: KvShardFailedError, roundsGoOn: boolean) => void;
}

export class ShardThreads {
  readonly #options: ShardThreadsOptions;
  readonly #threads: ShardThread[];

  constructor(options: ShardThreadsOptions) {
    this.#options = options;
    this.#threads = options.plans.map((plan) => new ShardThread(plan, options));
  }

  /** Resolves when every shard is ready. Throws what keeps one from starting; then all are stopped. */
  async start(): Promise<void> {
    const starts = await Promise.allSettled(
      this.#threads.map((thread, shard) => thread.start(this.#options.redos[shard]!)),
    );
    const failed = starts.find((start) => start.status === "rejected");
    if (failed === undefined) return;
    await this.stop();
    throw failed.reason;
  }

  /** Asks all shards to stop, and waits until they have let go of their stores. Their threads stay, for {@link resume}. */
  async pause(): Promise<void> {
    this.#options.control.stop();
    await Promise.all(this.#threads.map((thread) => thread.pause()));
  }

  /** Starts them again. One that does not start has died once more, and is treated so. */
  async resume(): Promise<void> {
    this.#options.control.goOn();
    await Promise.all(this.#threads.map((thread) => thread.resume()));
  }

  /** Asks all shards to stop, waits until they have, and ends their threads. */
  async stop(): Promise<void> {
    this.#options.control.stop();
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }
}

class ShardThread {
  readonly #plan: ShardPlan;
  readonly #options: ShardThreadsOptions;
  readonly #pool: Piscina;
  #state: "idle" | "starting" | "running" | "failed" | "stopped" = "idle";
  #deathsMs: number[] = [];
  #lastError: unknown = null;

  constructor(plan: ShardPlan, options: ShardThreadsOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#pool = new Piscina({
      filename: SHARD_THREAD,
      name: "startShard",
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: "disabled",
      recordTiming: false,
    });
    // The error says why; that the thread is gone comes separately, with or without an error.
    this.#pool.on("error", (error) => {
      this.#lastError = error;
    });
    this.#pool.on("workerDestroy", () => this.#onDeath());
  }

  async start(redo: Uint8Array | null): Promise<void> {
    this.#state = "starting";
    const { shard } = this.#plan;
    const links = this.#options.ringsOf(shard).map((rings): CallerLink => {
      const { port1, port2 } = new MessageChannel();
      port1.unref();
      this.#options.onPort(shard, rings.caller, port1);
      return { ...rings, port: port2 };
    });
    const boot: ShardBoot = { ...this.#plan, redo, links };
    await this.#pool.run(boot, { transferList: links.map(({ port }) => port) });
    if (this.#state === "starting") this.#state = "running";
  }

  async stop(): Promise<void> {
    await this.pause();
    await this.#pool.close();
  }

  async pause(): Promise<void> {
    const { control } = this.#options;
    const { shard } = this.#plan;
    const hasThread = this.#state === "running" || this.#state === "starting";
    this.#state = "stopped";
    if (hasThread) await this.#untilStopped(control, shard);
  }

  async resume(): Promise<void> {
    try {
      await this.start(null);
    } catch (error) {
      this.#lastError = error;
      this.#restart();
    }
  }

  /** The wait has no bound: ending a thread inside a transaction would wedge more than waiting for it does. */
  async #untilStopped(control: Control, shard: number): Promise<void> {
    for (;;) {
      const state = control.state(shard);
      if (state === ShardState.stopped || state === ShardState.failed || state === ShardState.down) return;
      await control.stateMoved(shard, state);
    }
  }

  #onDeath(): void {
    if (this.#state === "failed") return;
    const { control, rounds, onDeath } = this.#options;
    const { shard } = this.#plan;
    const wasRunning = this.#state === "running";
    if (this.#state !== "stopped") debug("the thread of shard %d died while it was %s", shard, this.#state);
    control.setState(shard, ShardState.down);
    // It was asked to stop and died on the way: whoever waits for that has to know.
    if (this.#state === "stopped") return;
    control.setBusySince(shard, 0);
    SequencingLock.breakFor(control.words, shardHolder(shard));
    rounds.mend();
    // While it starts, its start rejects and says so.
    if (!wasRunning) return;
    control.raiseIncarnation(shard);
    onDeath(shard);
    // Not before the pool has forgotten the dead worker: it would be given the task, refuse it, and that would count as a death.
    queueMicrotask(() => this.#restart());
  }

  #restart(): void {
    if (this.#state === "stopped") return;
    const nowMs = Date.now();
    this.#deathsMs = this.#deathsMs.filter((atMs) => nowMs - atMs < SHARD_RESTART_WINDOW_MS);
    this.#deathsMs.push(nowMs);
    if (this.#deathsMs.length > SHARD_RESTARTS_MAX) {
      this.#fail();
      return;
    }
    this.start(null).catch((error) => {
      this.#lastError = error;
      this.#restart();
    });
  }

  #fail(): void {
    this.#state = "failed";
    const { control, rounds, onFailure } = this.#options;
    const { shard } = this.#plan;
    const reason = this.#lastError instanceof Error ? this.#lastError.message : String(this.#lastError);
    control.setState(shard, ShardState.failed);
    const roundsGoOn = rounds.loseShard(shard);
    // What it has committed and not published is in its log. A new writer's epoch sends readers there, before the mark that it left
    // is taken away: otherwise no watcher would ever hear of anything above it, of any shard.
    new ChangeRingWriter(this.#plan.changes);
    control.clearInFlight(shard);
    control.ringWatchers();
    const text = `its thread died ${this.#deathsMs.length} times in ${SHARD_RESTART_WINDOW_MS} ms, last of: ${reason}`;
    debug("shard %d is given up: %s", shard, text);
    onFailure(new KvShardFailedError(shard, text, { cause: this.#lastError }), roundsGoOn);
  }
}
