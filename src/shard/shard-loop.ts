/**
 * Owns the loop of a shard's thread: what it does next, when it sleeps, how it ends. One per shard thread.
 *
 * Invariants
 * 1. The doorbell is read before the loop looks for work, and sleeping waits on that value: no wake-up is lost.
 * 2. A round goes before single commits, so that the other participants do not stand still for long.
 * 3. The loop ends only when it is told to stop, and never inside a transaction. An error of the loop itself ends the thread: its
 *    supervisor knows, answers for it, and starts another.
 * 4. It holds the shard's writer lock but for its sleep, and no snapshot while it sleeps.
 * 5. It blocks its thread. Callbacks of the event loop (timers of the binding) get their turn when it yields.
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
}

export class ShardLoop {
  readonly #writer: ShardWriter;
  readonly #links: CallerLinks;
  readonly #rounds: RoundMember;
  readonly #singles: SingleCommits;
  readonly #sweeper: Sweeper;
  readonly #queue: QueueKeeper;
  #turns = 0;

  constructor(parts: ShardParts) {
    this.#writer = parts.writer;
    this.#links = parts.links;
    this.#rounds = parts.rounds;
    this.#singles = parts.singles;
    this.#sweeper = parts.sweeper;
    this.#queue = parts.queue;
  }

  /** Runs until the engine stops; resolves outside of any transaction. */
  async run(): Promise<void> {
    const { control, shard } = this.#writer;
    // A predecessor may have died with its mark set; its changes are in the log, and the ring has a new epoch.
    control.clearInFlight(shard);
    control.ringWatchers();
    control.ringListeners();
    control.setState(shard, ShardState.running);
    while (!control.stopping) {
      const doorbell = control.doorbell(shard);
      if (control.takeCondemned(shard)) throw new Error("a caller's commit could not be published");
      this.#writer.faults.visit(FaultPoint.turn);
      const worked = this.#turn();
      if (++this.#turns % TURNS_PER_YIELD === 0) await yieldToEventLoop();
      if (!worked && !control.stopping) this.#sleep(doorbell);
    }
  }

  #turn(): boolean {
    this.#links.takeMail();
    let worked = this.#rounds.run();
    worked = this.#singles.run() || worked;
    worked = this.#sweeper.tick(this.#writer.clock.nowMs()) || worked;
    worked = this.#queue.tick(this.#writer.clock.nowMs()) || worked;
    if (!worked) worked = this.#writer.tickTrim(this.#writer.clock.nowMs());
    return worked;
  }

  /** Others may write to the store meanwhile. A snapshot that was held over it would pin the pages that they free. */
  #sleep(doorbell: number): void {
    const { control, shard, store } = this.#writer;
    store.renew();
    control.sleep(shard, doorbell, this.#sleepMs());
  }

  #sleepMs(): number {
    const nowMs = this.#writer.clock.nowMs();
    const untilTickMs = Math.min(this.#sweeper.remainingMs(nowMs), this.#queue.remainingMs(nowMs));
    return Math.min(SHARD_SLEEP_MS_MAX, Math.max(1, untilTickMs));
  }
}
