/**
 * Owns the background flush of a store that is not flushed with every commit: one checkpoint after the other (store/checkpoint.ts says
 * why, and what one is). Runs on the thread that opened the store, off its event loop where it waits for the disk.
 *
 * Invariants
 * 1. The pins of the checkpoint on the disk are let go only when the next one is on the disk.
 * 2. One checkpoint at a time. A failed one changes nothing; the next try comes an interval later.
 * 3. Checkpoints come faster where transactions do, so that few are made while one is pinned; and where they can't come fast enough,
 *    the shards wait for them.
 */
import { open } from "node:fs/promises";
import { KvError } from "../errors.js";
import { DISK_LAG_TRANSACTIONS_MAX, FLUSH_INTERVAL_MS_MIN, FLUSH_TRANSACTIONS } from "../limits.js";
import type { Control } from "../ring/control.js";
import { prepareCheckpoint, removeCheckpoint, StateReader, writeCheckpoint } from "../store/checkpoint.js";
import { dataFileOf } from "../store/data-file.js";
import { flushShards } from "../store/flush.js";
import type { ShardStore } from "../store/shard-store.js";
import { type Moment, nameOfStates, takeMoment } from "./moment.js";

export interface CheckpointerOptions {
  readonly path: string;
  readonly directories: readonly string[];
  readonly stores: readonly ShardStore[];
  readonly control: Control;
  /** This thread's number, for the gate. */
  readonly caller: number;
  /** The longest time from the end of a checkpoint to the next. */
  readonly intervalMs: number;
}

export class Checkpointer {
  readonly #options: CheckpointerOptions;
  readonly #readers: readonly StateReader[];
  /** Of the checkpoint on the disk. */
  #moment: Moment | null = null;
  #named = "";
  #takenMs = 0;
  #delayMs: number;
  #timer: NodeJS.Timeout;
  #running: Promise<void> | null = null;
  #state: "open" | "closing" | "closed" = "open";

  /** Writes the first checkpoint, before anything is written to the store. Blocks for one flush. */
  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#delayMs = options.intervalMs;
    this.#readers = options.directories.map((directory) => new StateReader(directory));
    const moment = this.#take();
    if (moment === null) throw new KvError("KV_STORAGE", `${options.path} is written while it is opened`);
    flushShards(options.directories);
    writeCheckpoint(options.path, moment.states);
    this.#keep(moment, this.#commits());
    options.control.setDiskLagMax(DISK_LAG_TRANSACTIONS_MAX);
    this.#timer = this.#plan();
  }

  /** Makes a checkpoint of what has been committed since the last one, if anything has. Never rejects. */
  tick(): Promise<void> {
    this.#running ??= this.#tick().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Everything is committed that ever will be: flushes it, and removes the checkpoint. Throws what keeps it from that. */
  async close(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closing";
    clearTimeout(this.#timer);
    await this.#running;
    await this.#flush();
    this.closeSync(false);
  }

  /** The same, but when the disk keeps it from that, it throws and goes on as before. */
  async closeUnlessItFails(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closing";
    clearTimeout(this.#timer);
    await this.#running;
    try {
      await this.#flush();
    } catch (error) {
      this.#state = "open";
      this.#timer = this.#plan();
      throw error;
    }
    this.closeSync(false);
  }

  /** Closes it at once. */
  closeSync(flush = true): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#timer);
    this.#options.control.setDiskLagMax(0);
    if (flush) flushShards(this.#options.directories);
    removeCheckpoint(this.#options.path);
    this.#moment?.letGo();
    for (const reader of this.#readers) reader.close();
  }

  #plan(): NodeJS.Timeout {
    return setTimeout(async () => {
      await this.tick();
      if (this.#state === "open") this.#timer = this.#plan();
    }, this.#delayMs).unref();
  }

  async #tick(): Promise<void> {
    let moment: Moment | null = null;
    // Counted first: the moment may have more of them, and none less.
    const commits = this.#commits();
    try {
      moment = this.#take();
      if (moment === null) return;
      if (nameOfStates(moment.states) === this.#named) {
        this.#delayMs = this.#options.intervalMs;
        moment.letGo();
        this.#tellFlushed(commits);
        return;
      }
      this.#pace(moment);
      await this.#flush();
      const putInPlace = await prepareCheckpoint(this.#options.path, moment.states);
      // Closed in between, everything is flushed, and nothing may be put back any more.
      if (this.#state === "closed") return moment.letGo();
      putInPlace();
      this.#keep(moment, commits);
    } catch (error) {
      moment?.letGo();
      if (this.#state === "closed") return;
      this.#delayMs = this.#options.intervalMs;
      // Acknowledged writes are safe from the death of the process still, and the last checkpoint from power loss.
      process.emitWarning(
        `${this.#options.path} could not be flushed: ${(error as Error).message}`,
        "BelfryWarning",
      );
    }
  }

  #take(): Moment | null {
    const { stores, control, caller } = this.#options;
    return takeMoment({ stores, readers: this.#readers, control, caller });
  }

  /** Chooses the time to the next checkpoint by how fast the busiest shard commits. */
  #pace({ states }: Moment): void {
    const nowMs = performance.now();
    const before = this.#moment?.states ?? states;
    const busiest = Math.max(...states.map((state, shard) => state.transaction - before[shard]!.transaction));
    const wantedMs = (FLUSH_TRANSACTIONS * (nowMs - this.#takenMs)) / Math.max(1, busiest);
    this.#delayMs = Math.min(this.#options.intervalMs, Math.max(FLUSH_INTERVAL_MS_MIN, wantedMs));
    this.#takenMs = nowMs;
  }

  /** It is on the disk: the one before it is not needed any more. */
  #keep(moment: Moment, commits: readonly number[]): void {
    this.#moment?.letGo();
    this.#moment = moment;
    this.#named = nameOfStates(moment.states);
    this.#tellFlushed(commits);
  }

  #commits(): number[] {
    const { stores, control } = this.#options;
    return stores.map((_, shard) => control.commits(shard));
  }

  #tellFlushed(commits: readonly number[]): void {
    for (const [shard, count] of commits.entries()) this.#options.control.setFlushed(shard, count);
  }

  async #flush(): Promise<void> {
    await Promise.all(
      this.#options.directories.map(async (directory) => {
        const file = await open(dataFileOf(directory), "r+");
        try {
          await file.datasync();
        } finally {
          await file.close();
        }
      }),
    );
  }
}
