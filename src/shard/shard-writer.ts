/**
 * Owns the one way in which a shard changes its store: a transaction, seen from outside. Whoever holds the shard's writer lock only: its thread,
 * or a caller (inline-commits.ts).
 *
 * Invariants, in the order in which they are established
 * 1. `lowestInFlight` is set before a counter value is taken, and cleared after the records are in the ring, or after the transaction
 *    has failed: the watermark never passes a change that may still come.
 * 2. The state says "in transaction" from before the first to after the last call into LMDB's transaction: nobody ends the thread then.
 * 3. The commit counter is raised before the state says that the transaction is over, and before anybody is told of the commit; the records are published after it. So nobody hears of
 *    a write that a crash could take back, and nobody who heard of it reads an older state.
 */
import type { KvClock } from "../clock.js";
import { CUT_PAUSE_MS_MAX, DISK_PAUSE_MS_MAX } from "../limits.js";
import { ChangeRingWriter } from "../ring/change-ring.js";
import { type Control, NO_CALLER, ShardState } from "../ring/control.js";
import { capacityOf } from "../ring/ring-memory.js";
import type { ShardStore } from "../store/shard-store.js";
import { ChangeBatch } from "./change-batch.js";
import { FaultPoint, type Faults } from "./faults.js";
import { type LogBounds, LogTrimmer } from "./log-trimmer.js";
import type { QueueBatch } from "./queue-batch.js";

/** The transaction failed, and changed nothing. The cause says why. */
export class TransactionFailure extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

export interface ShardWriterOptions {
  readonly shard: number;
  readonly control: Control;
  readonly store: ShardStore;
  readonly clock: KvClock;
  /** Memory of the shard's change ring. */
  readonly changes: SharedArrayBuffer;
  readonly faults: Faults;
  readonly log: LogBounds;
  /** The caller on whose thread this is, where it is not the shard's own: it hears of its commits without its bell. */
  readonly caller?: number;
}

export class ShardWriter {
  readonly shard: number;
  readonly control: Control;
  readonly store: ShardStore;
  readonly clock: KvClock;
  readonly faults: Faults;
  readonly #batch: ChangeBatch;
  readonly #queue: QueueBatch | null;
  readonly #trimmer: LogTrimmer;
  readonly #ring: ChangeRingWriter;
  readonly #caller: number;

  /** @param queue What moves the shard's messages; `null` where none are moved. */
  constructor(options: ShardWriterOptions, queue: QueueBatch | null) {
    const { shard, control, store, clock, changes, faults, log, caller = NO_CALLER } = options;
    this.shard = shard;
    this.control = control;
    this.store = store;
    this.clock = clock;
    this.faults = faults;
    this.#queue = queue;
    this.#caller = caller;
    this.#trimmer = new LogTrimmer(store, log);
    this.#batch = new ChangeBatch(store, this.#trimmer, capacityOf(changes));
    this.#ring = new ChangeRingWriter(changes, caller === NO_CALLER);
    if (queue !== null) control.setQueueReady(shard, queue.readyCount);
  }

  /**
   * Runs `write` in one transaction, commits it, and publishes what it put into the batch and did to the queue. The caller has set, or lets `write` set, the
   * in-flight mark. While a cut is taken, or the disk is far behind, it waits, for a bounded time, before it begins.
   *
   * @param requests How many requests it executes.
   * @throws TransactionFailure: nothing has changed, nothing was published. Anything else came after the commit, and the shard's thread
   * must die of it: another one then takes what was committed from the log.
   */
  commit(requests: number, write: (batch: ChangeBatch) => void): void {
    this.pause();
    this.commitNow(requests, write);
  }

  /**
   * Waits while a cut is taken, or the disk is far behind, for a bounded time. Before a transaction, or before a round is joined: whoever
   * stood still between the two would leave the round half committed, and no cut can be taken of that.
   */
  pause(): void {
    this.control.awaitDisk(this.shard, DISK_PAUSE_MS_MAX);
    this.control.passCutGate(CUT_PAUSE_MS_MAX);
  }

  /** The same as {@link commit}, but it waits for nobody: for a part of a round that others may have committed, and on a thread that must not stand still. */
  commitNow(requests: number, write: (batch: ChangeBatch) => void): void {
    const { control, shard, store } = this;
    const batch = this.#batch;
    const queue = this.#queue;
    batch.reset(this.clock.nowMs());
    queue?.reset();
    this.#enter();
    try {
      store.transaction(() => {
        write(batch);
        this.faults.visit(FaultPoint.inTransaction);
        batch.finish();
        queue?.finish();
      });
    } catch (error) {
      this.#leave();
      this.#liftMark();
      store.renew();
      queue?.discard();
      throw new TransactionFailure(error);
    }
    control.raiseCommits(shard);
    this.#leave();
    this.faults.visit(FaultPoint.committed);
    control.addDone(shard, requests, batch.changeCount);
    this.#ring.resume();
    batch.publish(this.#ring);
    if (queue?.isTouched) this.#publishQueue(queue);
    this.#planSweep(batch.earliestDueMs);
    this.#liftMark();
  }

  /** Trims the log when nothing else writes. Says whether there was anything to trim. */
  tickTrim(nowMs: number): boolean {
    if (!this.#trimmer.isDue(nowMs)) return false;
    this.commit(0, () => {});
    return true;
  }

  /** One more message than `readyCount` is as good as ready: whoever asks for it gets it. */
  announceMessage(readyCount: number): void {
    this.control.setQueueReady(this.shard, readyCount + 1);
    this.control.ringListeners();
  }

  /** Says how much is ready, then rings who could take it: whoever says later that it could, looks after that (invariant 5 of the control block). */
  #publishQueue({ readyCount }: QueueBatch): void {
    this.control.setQueueReady(this.shard, readyCount);
    if (readyCount > 0) this.control.ringListeners();
  }

  /** Something expires earlier than the sweeper knew. It runs in the shard's thread, which may be asleep while a caller writes. */
  #planSweep(dueMs: number): void {
    if (dueMs >= this.control.dueMs(this.shard)) return;
    this.control.setDueMs(this.shard, dueMs);
    if (this.#caller !== NO_CALLER) this.control.ringDoorbell(this.shard);
  }

  /** The watermark may move now, with or without changes of this shard: whoever waits for it hears. */
  #liftMark(): void {
    this.control.clearInFlight(this.shard);
    this.control.ringWatchers(this.#caller);
  }

  #enter(): void {
    this.control.setBusySince(this.shard, Date.now());
    this.control.setState(this.shard, ShardState.inTransaction);
  }

  #leave(): void {
    this.control.setState(this.shard, ShardState.running);
    this.control.setBusySince(this.shard, 0);
  }
}
