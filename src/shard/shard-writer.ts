/**
 * Owns the one way in which a shard changes its store: a transaction, seen from outside. Shard thread only.
 *
 * Invariants, in the order in which they are established
 * 1. `lowestInFlight` is set before a counter value is taken, and cleared after the records are in the ring, or after the transaction
 *    has failed: the watermark never passes a change that may still come.
 * 2. The state says "in transaction" from before the first to after the last call into LMDB's transaction: nobody ends the thread then.
 * 3. The commit counter is raised before the state says that the transaction is over, and before anybody is told of the commit; the records are published after it. So nobody hears of
 *    a write that a crash could take back, and nobody who heard of it reads an older state.
 */
import type { KvClock } from "../clock.js";
import { CUT_PAUSE_MS_MAX, DEAD_LETTERS_BYTES_MAX, DEAD_LETTERS_MAX } from "../limits.js";
import { ChangeRingWriter } from "../ring/change-ring.js";
import { type Control, ShardState } from "../ring/control.js";
import { capacityOf } from "../ring/ring-memory.js";
import type { ShardStore } from "../store/shard-store.js";
import { ChangeBatch } from "./change-batch.js";
import { FaultPoint, type Faults } from "./faults.js";
import { type LogBounds, LogTrimmer } from "./log-trimmer.js";
import { QueueBatch } from "./queue-batch.js";

/** The transaction failed, and changed nothing. The cause says why. */
export class TransactionFailure extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

export class ShardWriter {
  readonly batch: ChangeBatch;
  readonly queue: QueueBatch;
  readonly #trimmer: LogTrimmer;
  readonly #ring: ChangeRingWriter;

  constructor(
    readonly shard: number,
    readonly control: Control,
    readonly store: ShardStore,
    readonly clock: KvClock,
    changes: SharedArrayBuffer,
    readonly faults: Faults,
    bounds: LogBounds,
  ) {
    this.#trimmer = new LogTrimmer(store, bounds);
    this.batch = new ChangeBatch(store, this.#trimmer, capacityOf(changes));
    this.#ring = new ChangeRingWriter(changes);
    this.queue = new QueueBatch(store.queue, {
      countMax: Math.ceil(DEAD_LETTERS_MAX / control.shardCount),
      bytesMax: DEAD_LETTERS_BYTES_MAX / control.shardCount,
    });
    control.setQueueReady(shard, this.queue.readyCount);
  }

  /**
   * Runs `write` in one transaction, commits it, and publishes what it put into the batch and did to the queue. The caller has set, or lets `write` set, the
   * in-flight mark. While a cut is taken it waits, for a bounded time, before it begins.
   *
   * @param requests How many requests it executes.
   * @throws TransactionFailure: nothing has changed, nothing was published. Anything else came after the commit, and the thread
   * must die of it: another one then takes what was committed from the log.
   */
  commit(requests: number, write: (batch: ChangeBatch) => void): void {
    this.pauseForCut();
    this.commitPart(requests, write);
  }

  /**
   * Waits while a cut is taken, for a bounded time. Before a transaction, or before a round is joined: whoever stood still between the two
   * would leave the round half committed, and no cut can be taken of that.
   */
  pauseForCut(): void {
    this.control.passCutGate(CUT_PAUSE_MS_MAX);
  }

  /** The same as {@link commit} for a part of a round that others may have committed: it waits for nobody. */
  commitPart(requests: number, write: (batch: ChangeBatch) => void): void {
    const { batch, queue, control, shard, store } = this;
    batch.reset(this.clock.nowMs());
    queue.reset();
    this.#enter();
    try {
      store.transaction(() => {
        write(batch);
        this.faults.visit(FaultPoint.inTransaction);
        batch.finish();
        queue.finish();
      });
    } catch (error) {
      this.#leave();
      this.#liftMark();
      store.renew();
      queue.discard();
      throw new TransactionFailure(error);
    }
    control.raiseCommits(shard);
    this.#leave();
    this.faults.visit(FaultPoint.committed);
    control.addDone(shard, requests, batch.changeCount);
    batch.publish(this.#ring);
    if (queue.isTouched) this.#publishQueue();
    this.#liftMark();
  }

  /** Trims the log when nothing else writes. Says whether there was anything to trim. */
  tickTrim(nowMs: number): boolean {
    if (!this.#trimmer.isDue(nowMs)) return false;
    this.commit(0, () => {});
    return true;
  }

  /** One more message is as good as ready: whoever asks for it gets it. */
  announceMessage(): void {
    this.control.setQueueReady(this.shard, this.queue.readyCount + 1);
    this.control.ringListeners();
  }

  /** Says how much is ready, then rings who could take it: whoever says later that it could, looks after that (invariant 5 of the control block). */
  #publishQueue(): void {
    const { readyCount } = this.queue;
    this.control.setQueueReady(this.shard, readyCount);
    if (readyCount > 0) this.control.ringListeners();
  }

  /** The watermark may move now, with or without changes of this shard: whoever waits for it hears. */
  #liftMark(): void {
    this.control.clearInFlight(this.shard);
    this.control.ringWatchers();
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
