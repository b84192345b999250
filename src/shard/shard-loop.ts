/**
 * Owns the loop of a shard's thread: what it does next, when it sleeps, how it ends. One per shard thread.
 *
 * Invariants
 * 1. The doorbell is read before the loop looks for work, and sleeping waits on that value: no wake-up is lost.
 * 2. A round goes before single commits, so that the other participants do not stand still for long.
 * 3. The loop ends only when it is told to stop, and never inside a transaction. An error of the loop itself ends the thread: its
 *    supervisor knows, answers for it, and starts another.
 * 4. It blocks its thread. Callbacks of the event loop (a flush that has ended, timers of the binding) get their turn when it yields.
 */
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { SHARD_SLEEP_MS_MAX } from "../limits.js";
import { ShardState } from "../ring/control.js";
import type { CallerLinks } from "./caller-links.js";
import { FaultPoint } from "./faults.js";
import type { QueueKeeper } from "./queue-keeper.js";
import type { RoundMember } from "./round-member.js";
import type { ShardWriter } from "./shard-writer.js";
import type { SingleCommits } from "./single-commits.js";
import type { Sweeper } from "./sweeper.js";

/** The binding leaves one timer behind for each snapshot that is renewed; letting them run this often keeps them few. */
const TURNS_PER_YIELD = 256;

/** What a shard is put together from. */
export interface ShardParts {
  readonly writer: ShardWriter;
  readonly links: CallerLinks;
  readonly rounds: RoundMember;
  readonly singles: SingleCommits;
  readonly sweeper: Sweeper;
  readonly queue: QueueKeeper;
  /** Time between background flushes; `Infinity` where commits flush themselves, or none is wanted. */
  readonly flushIntervalMs: number;
}

export class ShardLoop {
  readonly #writer: ShardWriter;
  readonly #links: CallerLinks;
  readonly #rounds: RoundMember;
  readonly #singles: SingleCommits;
  readonly #sweeper: Sweeper;
  readonly #queue: QueueKeeper;
  readonly #flushIntervalMs: number;
  #flushing: Promise<void> | null = null;
  #flushDueMs = Number.POSITIVE_INFINITY;
  #turns = 0;

  constructor(parts: ShardParts) {
    this.#writer = parts.writer;
    this.#links = parts.links;
    this.#rounds = parts.rounds;
    this.#singles = parts.singles;
    this.#sweeper = parts.sweeper;
    this.#queue = parts.queue;
    this.#flushIntervalMs = parts.flushIntervalMs;
  }

  /** Runs until the engine stops; resolves outside of any transaction, with everything flushed that was committed. */
  async run(): Promise<void> {
    const { control, shard } = this.#writer;
    // A predecessor may have died with its mark set; its changes are in the log, and the ring has a new epoch.
    control.clearInFlight(shard);
    control.ringWatchers();
    control.ringListeners();
    control.setState(shard, ShardState.running);
    while (!control.stopping) {
      const doorbell = control.doorbell(shard);
      this.#writer.faults.visit(FaultPoint.turn);
      const worked = this.#turn();
      if (++this.#turns % TURNS_PER_YIELD === 0 || (this.#flushing !== null && !worked))
        await yieldToEventLoop();
      if (!worked && !control.stopping) control.sleep(shard, doorbell, this.#sleepMs());
    }
    await this.#flushRest();
  }

  /** Where commits do not flush themselves, the last ones are flushed before the shard says that it has stopped. */
  async #flushRest(): Promise<void> {
    await this.#flushing;
    const hasRest = this.#writer.takeUnflushed() || this.#flushDueMs !== Number.POSITIVE_INFINITY;
    if (hasRest && this.#flushIntervalMs !== Number.POSITIVE_INFINITY) await this.#writer.store.flush();
  }

  #turn(): boolean {
    this.#links.takeMail();
    let worked = this.#rounds.run();
    worked = this.#singles.run() || worked;
    this.#sweeper.notice();
    worked = this.#sweeper.tick(this.#writer.clock.nowMs()) || worked;
    worked = this.#queue.tick(this.#writer.clock.nowMs()) || worked;
    if (!worked) worked = this.#writer.tickTrim(this.#writer.clock.nowMs());
    this.#tickFlush(Date.now());
    return worked;
  }

  #tickFlush(nowMs: number): void {
    if (this.#writer.takeUnflushed())
      this.#flushDueMs = Math.min(this.#flushDueMs, nowMs + this.#flushIntervalMs);
    if (nowMs < this.#flushDueMs || this.#flushing !== null) return;
    this.#flushDueMs = Number.POSITIVE_INFINITY;
    this.#flushing = this.#writer.store
      .flush()
      .catch((error: Error) => {
        // Acknowledged writes are safe from the death of the process still; the next try is one interval away.
        process.emitWarning(`shard ${this.#writer.shard} could not flush: ${error.message}`, "BelfryWarning");
        this.#flushDueMs = Date.now() + this.#flushIntervalMs;
      })
      .finally(() => {
        this.#flushing = null;
      });
  }

  #sleepMs(): number {
    const untilFlushMs = Math.max(1, this.#flushDueMs - Date.now());
    const nowMs = this.#writer.clock.nowMs();
    const untilTickMs = Math.min(this.#sweeper.remainingMs(nowMs), this.#queue.remainingMs(nowMs));
    return Math.min(SHARD_SLEEP_MS_MAX, untilFlushMs, Math.max(1, untilTickMs));
  }
}
