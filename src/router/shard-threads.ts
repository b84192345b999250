/**
 * Owns the threads of the shards: starts them, starts another when one dies, gives one up that keeps dying, ends them. Runs on the
 * thread that opened the store. This file alone imports `piscina`: one pool of one thread for each shard.
 *
 * The pool's one task starts the shard and returns; the shard's loop then has the thread. So a running shard is no running task, the
 * pool keeps no process alive for it, and its death is the worker's.
 *
 * A store can be read without its shards, so as a rule they start behind whoever opens it, in the next turn of the event loop: a program that opens, reads and
 * ends starts none. What is sent before they run waits in the rings and on the ports, which are there from the beginning.
 *
 * Invariants
 * 1. A thread is never terminated while its shard may be inside a transaction: that wedges LMDB for the whole process. Nor while it loads its modules: Node aborts
 *    the process then, now and again. It is asked to stop through shared memory, and its pool is closed when it has.
 * 2. Every death is answered: the lock it may have held is broken, its round mended, its state corrected, and those who
 *    wait for it are told. A start that fails is a death, too.
 * 3. No promise of a start is nobody's: who waits for one is told, and of those that nobody waits for, `onFailure` tells.
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
  readonly onFailure: (failure: ShardFailure) => void;
}

/** A shard is given up. */
export interface ShardFailure {
  readonly error: KvShardFailedError;
  /** Whether commits over several other shards are possible still. */
  readonly roundsGoOn: boolean;
  /** Whether any thread of it has run. Otherwise nothing that was sent to it has been begun. */
  readonly hasRun: boolean;
}

export class ShardThreads {
  readonly #options: ShardThreadsOptions;
  readonly #threads: ShardThread[];
  /** The turn of the event loop in which they start. */
  #planned: NodeJS.Immediate | null = null;

  constructor(options: ShardThreadsOptions) {
    this.#options = options;
    this.#threads = options.plans.map((plan) => new ShardThread(plan, options));
  }

  /**
   * Starts them behind the caller. Until then commits can be sent all the same. One that does not start is tried again, and given up after some tries, like one
   * that dies.
   */
  startBehind(): void {
    for (const thread of this.#threads) thread.linkAhead();
    // Unref'd: a program that has nothing to do but this may end.
    this.#planned = setImmediate(() => this.startNow()).unref();
  }

  /** Starts what {@link startBehind} has left for later. From here on they come up even if this thread blocks. */
  startNow(): void {
    if (!this.#cancelPlan()) return;
    for (const thread of this.#threads) void thread.resume();
  }

  /** Starts them, and resolves when every shard is ready. Throws KvShardFailedError when one does not start; then all are stopped. */
  async start(): Promise<void> {
    const starts = await Promise.allSettled(
      this.#threads.map((thread, shard) => thread.start(this.#options.redos[shard]!)),
    );
    const shard = starts.findIndex(({ status }) => status === "rejected");
    if (shard < 0) return;
    await this.stop();
    // What came from another thread has lost its class and its code.
    const { reason } = starts[shard] as PromiseRejectedResult;
    const message = reason instanceof Error ? reason.message : String(reason);
    throw new KvShardFailedError(shard, `its thread did not start: ${message}`, { cause: reason });
  }

  /** Asks all shards to stop, and waits until they have let go of their stores. Their threads stay, for {@link resume}. */
  async pause(): Promise<void> {
    this.#cancelPlan();
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
    this.#cancelPlan();
    this.#options.control.stop();
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }

  /** Says whether there was a plan. */
  #cancelPlan(): boolean {
    if (this.#planned === null) return false;
    clearImmediate(this.#planned);
    this.#planned = null;
    return true;
  }
}

class ShardThread {
  readonly #plan: ShardPlan;
  readonly #options: ShardThreadsOptions;
  /** Made with the first start, since it starts its thread at once. */
  #pool: Piscina | null = null;
  /** The links of the first thread, where callers use them before it starts. */
  #links: readonly CallerLink[] | null = null;
  /** The pool's task. */
  #starting: Promise<unknown> = Promise.resolve();
  #hasRun = false;
  #state: "idle" | "starting" | "running" | "failed" | "stopped" = "idle";
  #deathsMs: number[] = [];
  #lastError: unknown = null;

  constructor(plan: ShardPlan, options: ShardThreadsOptions) {
    this.#plan = plan;
    this.#options = options;
  }

  #makePool(): Piscina {
    const pool = new Piscina({
      filename: SHARD_THREAD,
      name: "startShard",
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: "disabled",
      recordTiming: false,
    });
    // The error says why; that the thread is gone comes separately, with or without an error.
    pool.on("error", (error) => {
      this.#lastError = error;
    });
    pool.on("workerDestroy", () => this.#onDeath());
    return pool;
  }

  /** Gives the callers their ports now. Those who join later are made known through these. */
  linkAhead(): void {
    this.#links = this.#link();
  }

  async start(redo: Uint8Array | null): Promise<void> {
    const { control } = this.#options;
    const { shard } = this.#plan;
    this.#state = "starting";
    // Said before there is a thread: whoever ends the process waits for it from now on (invariant 1).
    control.setState(shard, ShardState.starting);
    this.#starting = this.#run(redo);
    try {
      await this.#starting;
    } catch (error) {
      control.setState(shard, ShardState.down);
      throw error;
    }
    this.#hasRun = true;
    if (this.#state === "starting") this.#state = "running";
  }

  /** Gives the thread its task, which ends when its loop begins. */
  async #run(redo: Uint8Array | null): Promise<void> {
    this.#pool ??= this.#makePool();
    const links = this.#links ?? this.#link();
    this.#links = null;
    const boot: ShardBoot = { ...this.#plan, redo, links };
    await this.#pool.run(boot, { transferList: links.map(({ port }) => port) });
  }

  #link(): CallerLink[] {
    const { shard } = this.#plan;
    return this.#options.ringsOf(shard).map((rings): CallerLink => {
      const { port1, port2 } = new MessageChannel();
      port1.unref();
      this.#options.onPort(shard, rings.caller, port1);
      return { ...rings, port: port2 };
    });
  }

  async stop(): Promise<void> {
    await this.pause();
    await this.#pool?.close();
  }

  async pause(): Promise<void> {
    const { control } = this.#options;
    const { shard } = this.#plan;
    const hasThread = this.#state === "running" || this.#state === "starting";
    this.#state = "stopped";
    if (!hasThread) return;
    await this.#untilStopped(control, shard);
    // How a start ends that this has overtaken is told to who began it.
    await this.#starting.catch(() => {});
  }

  /** Never rejects. */
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
    const hadStarted = this.#state === "running";
    // Whether it came to its loop, which may be before this thread knows that it has started.
    const wasRunning = hadStarted || isInLoop(control.state(shard));
    if (this.#state !== "stopped") debug("the thread of shard %d died while it was %s", shard, this.#state);
    // First, so that nobody takes it for one that is still to come up.
    if (wasRunning) control.raiseIncarnation(shard);
    control.setState(shard, ShardState.down);
    // It was asked to stop and died on the way: whoever waits for that has to know.
    if (this.#state === "stopped") return;
    control.setBusySince(shard, 0);
    SequencingLock.breakFor(control.words, shardHolder(shard));
    rounds.mend();
    if (wasRunning) {
      this.#hasRun = true;
      onDeath(shard);
    }
    // While it starts, its start rejects and says so.
    if (!hadStarted) return;
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
    const error = new KvShardFailedError(shard, text, { cause: this.#lastError });
    onFailure({ error, roundsGoOn, hasRun: this.#hasRun });
  }
}

function isInLoop(state: ShardState): boolean {
  return state === ShardState.running || state === ShardState.inTransaction;
}
