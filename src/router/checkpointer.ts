/**
 * Owns the background flush of a store that is not flushed with every commit: one checkpoint after the other (store/checkpoint.ts says
 * why, and what one is). Runs on the thread that opened the store, off its event loop where it waits for the disk.
 *
 * How the states of one moment are found: pin the newest state of every shard, load `finishedRound`, read all metas, read them again,
 * and look at every shard's `roundEntered`. If no meta has moved between the two readings there was a moment at which all were the
 * newest, and if none had entered a round that was unfinished, no commit is half in them. Otherwise let go, and once more. A pin is
 * never newer than the meta that is read after it, and so protects its pages.
 *
 * Invariants
 * 1. The pins of the checkpoint on the disk are let go only when the next one is on the disk.
 * 2. One checkpoint at a time. A failed one changes nothing; the next try comes an interval later.
 */
import { open } from "node:fs/promises";
import { CUT_TRIES_MAX } from "../limits.js";
import type { Control } from "../ring/control.js";
import { isLaterRound } from "../ring/round-ring.js";
import { removeCheckpoint, type ShardState, StateReader, writeCheckpoint } from "../store/checkpoint.js";
import { dataFileOf } from "../store/data-file.js";
import { flushShards } from "../store/flush.js";
import type { HeldSnapshot, ShardStore } from "../store/shard-store.js";

/** The gate is held for no longer than this, in milliseconds: shards pause before their next commit meanwhile. */
const GATED_MS_MAX = 4;

export interface CheckpointerOptions {
  readonly path: string;
  readonly directories: readonly string[];
  readonly stores: readonly ShardStore[];
  readonly control: Control;
  /** This thread's number, for the gate. */
  readonly caller: number;
  readonly intervalMs: number;
}

interface Moment {
  readonly pins: readonly HeldSnapshot[];
  readonly states: readonly ShardState[];
}

export class Checkpointer {
  readonly #options: CheckpointerOptions;
  readonly #readers: readonly StateReader[];
  #pins: readonly HeldSnapshot[] = [];
  #named = "";
  #timer: NodeJS.Timeout;
  #running: Promise<void> | null = null;
  #state: "open" | "closing" | "closed" = "open";

  /** Writes the first checkpoint, before anything is written to the store. Blocks for one flush. */
  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#readers = options.directories.map((directory) => new StateReader(directory));
    const pins = options.stores.map((store) => store.hold());
    const states = this.#readers.map((reader) => reader.read());
    flushShards(options.directories);
    this.#finish({ pins, states });
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

  /** The same, without a promise. */
  closeSync(flush = true): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#timer);
    if (flush) flushShards(this.#options.directories);
    removeCheckpoint(this.#options.path);
    for (const pin of this.#pins) pin.done();
    for (const reader of this.#readers) reader.close();
  }

  #plan(): NodeJS.Timeout {
    return setTimeout(async () => {
      await this.tick();
      if (this.#state === "open") this.#timer = this.#plan();
    }, this.#options.intervalMs).unref();
  }

  async #tick(): Promise<void> {
    const moment = this.#take();
    if (moment === null) return;
    try {
      if (namesOf(moment.states) === this.#named) {
        letGo(moment.pins);
        return;
      }
      await this.#flush();
      this.#finish(moment);
    } catch (error) {
      letGo(moment.pins);
      if (this.#state === "closed") return;
      // Acknowledged writes are safe from the death of the process still, and the last checkpoint from power loss.
      process.emitWarning(
        `${this.#options.path} could not be flushed: ${(error as Error).message}`,
        "BelfryWarning",
      );
    }
  }

  #finish({ pins, states }: Moment): void {
    writeCheckpoint(this.#options.path, states);
    letGo(this.#pins);
    this.#pins = pins;
    this.#named = namesOf(states);
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

  /** The newest states of one moment; `null` when the shards do not stand still for long enough, which an interval later they will. */
  #take(): Moment | null {
    for (let tries = 0; tries < CUT_TRIES_MAX; tries++) {
      const moment = this.#try();
      if (moment !== null) return moment;
    }
    const { control, caller } = this.#options;
    control.closeCutGate(caller);
    try {
      const deadlineMs = Date.now() + GATED_MS_MAX;
      for (;;) {
        const moment = this.#try();
        if (moment !== null || Date.now() > deadlineMs) return moment;
      }
    } finally {
      control.openCutGate(caller);
    }
  }

  #try(): Moment | null {
    const { control, stores } = this.#options;
    const pins = stores.map((store) => store.hold());
    const finished = control.finishedRound;
    const states = this.#readers.map((reader) => reader.read());
    const again = this.#readers.map((reader) => reader.read());
    const isStill = namesOf(states) === namesOf(again);
    const holdsUnfinished = stores.some((_, shard) => isLaterRound(control.roundEntered(shard), finished));
    if (isStill && !holdsUnfinished) return { pins, states };
    letGo(pins);
    return null;
  }
}

function letGo(pins: readonly HeldSnapshot[]): void {
  for (const pin of pins) pin.done();
}

/** Which states these are, to be compared. */
function namesOf(states: readonly ShardState[]): string {
  return states.map(({ meta }) => Buffer.from(meta).toString("latin1")).join();
}
