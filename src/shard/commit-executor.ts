/**
 * Owns the execution of single-shard commits within a transaction: their versionstamps, and for each its plan, its effects and its answer.
 * The shard's writer only.
 *
 * Invariants
 * 1. All commits of a transaction were sent before its counter value was taken, so numbering them within it agrees with real time:
 *    whatever was acknowledged before one of them was sent has a smaller counter value.
 * 2. Commit number i of a transaction has order 2i + 1 or more; the order below it belongs to the expired entries that it sweeps.
 */
import type { CommitFields, MutationFields } from "../codec/commit-frame.js";
import { partitionOf } from "../codec/key.js";
import { type Reply, ReplyStatus } from "../codec/reply-frame.js";
import { formatVersionstamp } from "../codec/versionstamp.js";
import type { ChangeBatch } from "./change-batch.js";
import { committedReply, planCommit, resolveKey } from "./commit-plan.js";
import type { QueueBatch } from "./queue-batch.js";
import type { ShardWriter } from "./shard-writer.js";

/** The largest order that fits a versionstamp, less what one commit uses. */
const ORDER_MAX = 0xffff - 2;

const NO_MUTATIONS: readonly MutationFields[] = [];

export class CommitExecutor {
  readonly #writer: ShardWriter;
  readonly #queue: QueueBatch | null;
  readonly #partitionDepth: number;
  #counter = 0;
  #order = 0;

  /** @param queue What takes the messages of commits; `null` where none have any. */
  constructor(writer: ShardWriter, queue: QueueBatch | null, partitionDepth: number) {
    this.#writer = writer;
    this.#queue = queue;
    this.#partitionDepth = partitionDepth;
  }

  /** Begins a transaction: from here on the watermark stays below what it commits. */
  begin(batch: ChangeBatch): void {
    this.#counter = this.#writer.control.takeCounter(this.#writer.shard);
    this.#order = -1;
    batch.noteCounter(this.#counter);
  }

  /** Executes one commit. One that fails has written nothing. */
  execute(commit: CommitFields, batch: ChangeBatch, nowMs: number): Reply {
    const { shard, store } = this.#writer;
    this.#nextOrder(commit);
    const counter = this.#counter;
    const order = this.#order;
    const plan = planCommit(commit, {
      read: (_, key) => store.readEntry(key),
      nowMs,
      versionstamp: () => formatVersionstamp(counter, order),
      shardOf: () => shard,
      holderOf: (_, id) => store.queue.lease(id)?.holder,
      withPrevious: this.#writer.control.previousWanted,
    });
    if (plan.verdict === "refuse") return { status: ReplyStatus.refused, failedChecks: plan.failedChecks };
    if (plan.verdict === "misuse") return { status: ReplyStatus.misuse, message: plan.message };
    if (plan.expired.length > 0) batch.sweep(plan.expired, counter, order - 1, false);
    batch.apply(plan.effects, counter, order, false);
    if (commit.queue !== undefined) this.#queue!.apply(commit.queue, counter, order, nowMs);
    return committedReply(plan, counter, order);
  }

  /**
   * Chooses the order of the next commit. A key that ends in the commit's own versionstamp may be spread by it; then the order is the
   * next one whose versionstamp belongs to this shard, which is as good as any other and makes the commit a single-shard one.
   */
  #nextOrder(commit: CommitFields): void {
    const suffixed = hasSuffixed(commit)
      ? commit.mutations.filter(({ keyKind }) => keyKind !== 0)
      : NO_MUTATIONS;
    do {
      this.#order += 2;
      if (this.#order > ORDER_MAX) {
        this.#counter = this.#writer.control.takeFurtherCounter();
        this.#order = 1;
      }
    } while (suffixed.length > 0 && !this.#suits(suffixed));
  }

  #suits(suffixed: readonly MutationFields[]): boolean {
    const versionstamp = formatVersionstamp(this.#counter, this.#order);
    return suffixed.every((mutation) => {
      const key = resolveKey(mutation, versionstamp);
      return partitionOf(key, this.#partitionDepth, this.#writer.control.shardCount) === this.#writer.shard;
    });
  }
}

/** Whether a key of the commit ends in its versionstamp. Hot path: once for every write. */
function hasSuffixed({ mutations }: CommitFields): boolean {
  for (let index = 0; index < mutations.length; index++) if (mutations[index]!.keyKind !== 0) return true;
  return false;
}
