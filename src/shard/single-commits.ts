/**
 * Owns the requests that touch this shard alone, commits and commands of the queue: drains them from the request rings and executes them,
 * many in one transaction.
 * Shard thread only.
 *
 * Invariants
 * 1. All commits of a transaction were sent before its counter value was taken, so numbering them within it agrees with real time:
 *    whatever was acknowledged before one of them was sent has a smaller counter value.
 * 2. Each request gets exactly one answer, after the commit. A request that fails costs itself only; when the transaction fails, all
 *    its requests are told so, and none has changed anything.
 * 3. Commit number i of a transaction has order 2i + 1 or more; the order below it belongs to the expired entries that it sweeps.
 */
import { type CommitFields, type MutationFields, readCommitFrame } from "../codec/commit-frame.js";
import { partitionOf } from "../codec/key.js";
import { decodeQueueCommand, type QueueCommand } from "../codec/queue-command.js";
import { type Reply, ReplyStatus, readRequestId } from "../codec/reply-frame.js";
import { REQUEST_HEADER_BYTES, RequestKind, readRequestKind } from "../codec/request-frame.js";
import { formatVersionstamp } from "../codec/versionstamp.js";
import { BATCH_BYTES_MAX, BATCH_COMMITS_MAX, QUEUE_MOVES_MAX } from "../limits.js";
import { FrameBatch } from "../ring/frame-ring.js";
import type { AttachedCaller, CallerLinks } from "./caller-links.js";
import type { ChangeBatch } from "./change-batch.js";
import { committedReply, planCommit, resolveKey } from "./commit-plan.js";
import { FaultPoint } from "./faults.js";
import { idName } from "./queue-batch.js";
import { type ShardWriter, TransactionFailure } from "./shard-writer.js";

/** The largest order that fits a versionstamp, less what one commit uses. */
const ORDER_MAX = 0xffff - 2;

interface Request {
  readonly caller: AttachedCaller;
  readonly requestId: number;
  /** `null`: its parcel was lost with the thread that it was posted to. */
  readonly body: CommitFields | QueueCommand | null;
  reply: Reply;
}

/** A frame in a batch. */
interface FrameSlice {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly end: number;
}

const UNKNOWN: Reply = { status: ReplyStatus.unknown };

export class SingleCommits {
  readonly #links: CallerLinks;
  readonly #writer: ShardWriter;
  readonly #shards: number;
  readonly #partitionDepth: number;
  readonly #frames = new FrameBatch();
  /** Leases that were there when this thread began. */
  readonly #inherited: ReadonlySet<string>;
  #counter = 0;
  #order = 0;

  constructor(links: CallerLinks, writer: ShardWriter, shards: number, partitionDepth: number) {
    this.#inherited = new Set(writer.store.queue.leases().map(({ id }) => idName(id)));
    this.#links = links;
    this.#writer = writer;
    this.#shards = shards;
    this.#partitionDepth = partitionDepth;
  }

  /** Executes what waits, at most one transaction. Says whether there was anything. */
  run(): boolean {
    const requests = this.#drain();
    if (requests.length === 0) return false;
    this.#writer.faults.visit(FaultPoint.taken);
    try {
      this.#writer.commit(requests.length, (batch) => this.#execute(requests, batch));
    } catch (error) {
      if (!(error instanceof TransactionFailure)) throw error;
      const message = `the transaction failed and changed nothing: ${error.message}`;
      for (const request of requests) request.reply = { status: ReplyStatus.storage, message };
    }
    this.#writer.faults.visit(FaultPoint.published);
    for (const { caller, requestId, reply } of requests) caller.reply(requestId, reply);
    for (const caller of this.#links.all) caller.requests.release();
    this.#links.publishReplies();
    return true;
  }

  #drain(): Request[] {
    const requests: Request[] = [];
    this.#frames.reset();
    for (const caller of this.#links.inTurn()) {
      const first = this.#frames.count;
      const bytesLeft = BATCH_BYTES_MAX - this.#frames.usedBytes;
      const framesLeft = BATCH_COMMITS_MAX - first;
      if (bytesLeft <= 0 || framesLeft <= 0) break;
      const count = this.#links.take(caller, bytesLeft, framesLeft, this.#frames);
      for (let index = first; index < first + count; index++) requests.push(this.#readRequest(caller, index));
    }
    return requests;
  }

  #readRequest(caller: AttachedCaller, index: number): Request {
    const { bytes } = this.#frames;
    const offset = this.#frames.offsets[index]!;
    const end = this.#frames.ends[index]!;
    const requestId = readRequestId(bytes, offset);
    const body = this.#readBody(caller, requestId, { bytes, offset, end });
    return { caller, requestId, body, reply: UNKNOWN };
  }

  #readBody(caller: AttachedCaller, requestId: number, { bytes, offset, end }: FrameSlice): Request["body"] {
    const start = offset + REQUEST_HEADER_BYTES;
    switch (readRequestKind(bytes, offset)) {
      case RequestKind.commit:
        return readCommitFrame(bytes, start, end);
      case RequestKind.queue:
        return decodeQueueCommand(bytes, start, end);
      case RequestKind.parcel: {
        const parcel = this.#links.parcelOf(caller, requestId);
        return parcel ? readCommitFrame(parcel, 0, parcel.length) : null;
      }
    }
  }

  #execute(requests: readonly Request[], batch: ChangeBatch): void {
    const nowMs = this.#writer.clock.nowMs();
    this.#counter = this.#writer.control.takeCounter(this.#writer.shard);
    this.#order = -1;
    // What is due goes with the transaction that there is anyway, before whoever asks for it.
    if (this.#writer.queue.nextDueMs <= nowMs) this.#writer.queue.moveDue(nowMs, QUEUE_MOVES_MAX);
    for (const request of requests) {
      const { body, caller } = request;
      if (body === null) continue;
      request.reply =
        "kind" in body ? this.#command(body, caller, nowMs) : this.#executeOne(body, batch, nowMs);
    }
  }

  #command(command: QueueCommand, { link }: AttachedCaller, nowMs: number): Reply {
    const listeners = countBits(this.#writer.control.listening | (1 << link.caller));
    const { holder } = link;
    return this.#writer.queue.run(command, { holder, listeners }, nowMs, this.#inherited);
  }

  #executeOne(commit: CommitFields, batch: ChangeBatch, nowMs: number): Reply {
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
    if (plan.expired.length > 0) batch.sweep(plan.expired, counter, order - 1);
    batch.apply(plan.effects, counter, order, false);
    if (commit.queue !== undefined) this.#writer.queue.apply(commit.queue, counter, order, nowMs);
    return committedReply(plan, counter, order);
  }

  /**
   * Chooses the order of the next commit. A key that ends in the commit's own versionstamp may be spread by it; then the order is the
   * next one whose versionstamp belongs to this shard, which is as good as any other and makes the commit a single-shard one.
   */
  #nextOrder(commit: CommitFields): void {
    const suffixed = commit.mutations.filter((mutation) => mutation.keyKind !== 0);
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
      return partitionOf(key, this.#partitionDepth, this.#shards) === this.#writer.shard;
    });
  }
}

function countBits(word: number): number {
  let count = 0;
  for (let left = word; left !== 0; left &= left - 1) count++;
  return count;
}
