/**
 * Owns the commits that a caller makes by itself, on its own thread, while the shard's thread sleeps. Waking that thread and being woken by it
 * costs several times what a small commit does; a caller that has only a few spares both. As soon as the thread is awake, everything goes through it.
 *
 * Invariants
 * 1. It writes with the shard's writer lock, and so never beside the shard's thread. It gets the lock only while that thread sleeps, holds it for one
 *    transaction, and never waits for it.
 * 2. It is one transaction of the shard like any other: the same marks, the same order of commit and publication (shard-writer.ts).
 * 3. While the shard has entered a round that is unfinished elsewhere it commits nothing: nobody may be told of what comes after such a round.
 * 4. Its thread is never ended inside the transaction: it is the process's main thread, on which a transaction is a part of one task.
 */
import type { KvClock } from "../clock.js";
import type { CommitFields } from "../codec/commit-frame.js";
import { type Reply, ReplyStatus } from "../codec/reply-frame.js";
import type { Control } from "../ring/control.js";
import { isLaterRound } from "../ring/round-ring.js";
import type { ShardStore } from "../store/shard-store.js";
import { CommitExecutor } from "./commit-executor.js";
import { Faults } from "./faults.js";
import type { LogBounds } from "./log-trimmer.js";
import { ShardWriter, TransactionFailure } from "./shard-writer.js";

export interface InlineCommitsOptions {
  readonly shard: number;
  readonly control: Control;
  /** The caller on whose thread it runs. */
  readonly caller: number;
  /** Its own, which it closes: a store through which something was written takes a while to close, and those that read must not. */
  readonly store: ShardStore;
  readonly clock: KvClock;
  /** Memory of the shard's change ring. */
  readonly changes: SharedArrayBuffer;
  readonly log: LogBounds;
  readonly partitionDepth: number;
}

export class InlineCommits {
  readonly #control: Control;
  readonly #shard: number;
  readonly #writer: ShardWriter;
  readonly #executor: CommitExecutor;

  constructor({ partitionDepth, ...options }: InlineCommitsOptions) {
    this.#control = options.control;
    this.#shard = options.shard;
    this.#writer = new ShardWriter({ ...options, faults: new Faults(null, options.shard) }, null);
    this.#executor = new CommitExecutor(this.#writer, null, partitionDepth);
  }

  /** Executes commits without messages in one transaction, and gives their answers. `null`: not now; nothing was done. */
  run(commits: readonly CommitFields[]): Reply[] | null {
    const control = this.#control;
    if (!control.tryLockWriter(this.#shard)) return null;
    try {
      return this.#isFree() ? this.#execute(commits) : null;
    } finally {
      control.unlockWriter(this.#shard);
    }
  }

  close(): Promise<void> {
    return this.#writer.store.close();
  }

  #isFree(): boolean {
    const control = this.#control;
    if (isLaterRound(control.roundEntered(this.#shard), control.finishedRound)) return false;
    // What could not be published has to be before what comes after it: the thread's successor does that.
    if (control.isCondemned(this.#shard)) return false;
    return control.isCutGateOpen && !control.stopping && !control.isFarAheadOfDisk(this.#shard);
  }

  #execute(commits: readonly CommitFields[]): Reply[] {
    let replies: Reply[] = [];
    try {
      this.#writer.commitNow(commits.length, (batch) => {
        const nowMs = this.#writer.clock.nowMs();
        this.#executor.begin(batch);
        replies = commits.map((commit) => this.#executor.execute(commit, batch, nowMs));
      });
      return replies;
    } catch (error) {
      if (error instanceof TransactionFailure) {
        const message = `the transaction failed and changed nothing: ${error.message}`;
        return commits.map(() => ({ status: ReplyStatus.storage, message }));
      }
      // Committed, and perhaps not published: what is wrong ends the shard's thread, and the next one takes it from the log.
      this.#control.condemn(this.#shard);
      process.emitWarning(
        `shard ${this.#shard} starts anew, since a commit could not be published: ${(error as Error).message}`,
        "BelfryWarning",
      );
      return commits.map(() => ({ status: ReplyStatus.unknown }));
    }
  }
}
