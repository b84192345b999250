/**
 * Owns the requests that touch this shard alone, commits and commands of the queue: drains them from the request rings and executes them,
 * many in one transaction.
 * Shard thread only.
 *
 * Invariants
 * 1. Each request gets exactly one answer, after the commit. A request that fails costs itself only; when the transaction fails, all
 *    its requests are told so, and none has changed anything.
 * 2. Nobody hears of a commit before the round that it comes after has finished.
 *
 * Of much it takes half: had it all that its callers have under way, they would wait for it, then it for them, and one of two cores would
 * always be idle. That was so with 1,000 sets in flight, and half of the speed.
 */
import { type CommitFields, readCommitFrame } from "../codec/commit-frame.js";
import { decodeQueueCommand, type QueueCommand } from "../codec/queue-command.js";
import { type Reply, ReplyStatus, readRequestId } from "../codec/reply-frame.js";
import { REQUEST_HEADER_BYTES, RequestKind, readRequestKind } from "../codec/request-frame.js";
import { BATCH_BYTES_MAX, BATCH_COMMITS_MAX, QUEUE_MOVES_MAX } from "../limits.js";
import { ROUND_WORDS } from "../ring/control.js";
import { FrameBatch } from "../ring/frame-ring.js";
import { isLaterRound, type RoundRing } from "../ring/round-ring.js";
import type { AttachedCaller, CallerLinks } from "./caller-links.js";
import type { ChangeBatch } from "./change-batch.js";
import { CommitExecutor } from "./commit-executor.js";
import { FaultPoint } from "./faults.js";
import { idName, type QueueBatch } from "./queue-batch.js";
import { type ShardWriter, TransactionFailure } from "./shard-writer.js";

/** Between two looks whether a round can finish still, in milliseconds; that it has is told at once. */
const ROUND_LOOK_MS = 20;

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

/** What it works with. */
export interface SingleCommitsParts {
  readonly links: CallerLinks;
  readonly writer: ShardWriter;
  readonly queue: QueueBatch;
  readonly ring: RoundRing;
  readonly partitionDepth: number;
  /** Bytes of requests up to which all that waits goes into one transaction; of more, half does. */
  readonly wholeBytesMax: number;
}

const UNKNOWN: Reply = { status: ReplyStatus.unknown };

export class SingleCommits {
  readonly #links: CallerLinks;
  readonly #writer: ShardWriter;
  readonly #ring: RoundRing;
  readonly #queue: QueueBatch;
  readonly #executor: CommitExecutor;
  readonly #wholeBytesMax: number;
  readonly #frames = new FrameBatch();
  /** Leases that were there when this thread began. */
  readonly #inherited: ReadonlySet<string>;

  constructor({ links, writer, queue, ring, partitionDepth, wholeBytesMax }: SingleCommitsParts) {
    this.#inherited = new Set(writer.store.queue.leases().map(({ id }) => idName(id)));
    this.#links = links;
    this.#writer = writer;
    this.#ring = ring;
    this.#queue = queue;
    this.#executor = new CommitExecutor(writer, queue, partitionDepth);
    this.#wholeBytesMax = wholeBytesMax;
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
    this.#awaitRound();
    for (const { caller, requestId, reply } of requests) caller.reply(requestId, reply);
    for (const caller of this.#links.all) caller.requests.release();
    this.#links.publishReplies();
    return true;
  }

  /**
   * What was executed here after this shard's part of a round stands on that round, and says so: by the versionstamp of a check that did
   * not hold, by its own place in the order. So nobody is told of it before the round has finished in all its shards, which it has, as a
   * rule, by now. A round that never will, because a shard that owes its part is lost, is waited for by its readers alone.
   */
  #awaitRound(): void {
    const { control, shard } = this.#writer;
    for (;;) {
      const finished = control.finishedRound;
      if (!isLaterRound(control.roundEntered(shard), finished)) return;
      if (control.stopping || (this.#ring.participants & this.#ring.lostShards) !== 0) return;
      Atomics.wait(control.words, ROUND_WORDS.finished, finished, ROUND_LOOK_MS);
    }
  }

  #drain(): Request[] {
    const requests: Request[] = [];
    this.#frames.reset();
    const bytesMax = this.#batchBytesMax();
    for (const caller of this.#links.inTurn()) {
      const first = this.#frames.count;
      const bytesLeft = bytesMax - this.#frames.usedBytes;
      const framesLeft = BATCH_COMMITS_MAX - first;
      if (bytesLeft <= 0 || framesLeft <= 0) break;
      const count = this.#links.take(caller, bytesLeft, framesLeft, this.#frames);
      for (let index = first; index < first + count; index++) requests.push(this.#readRequest(caller, index));
    }
    return requests;
  }

  #batchBytesMax(): number {
    const half = Math.ceil(this.#links.waitingBytes / 2);
    return Math.min(BATCH_BYTES_MAX, Math.max(this.#wholeBytesMax, half));
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
    this.#executor.begin(batch);
    // What is due goes with the transaction that there is anyway, before whoever asks for it.
    if (this.#queue.nextDueMs <= nowMs) this.#queue.moveDue(nowMs, QUEUE_MOVES_MAX);
    for (const request of requests) {
      const { body, caller } = request;
      if (body === null) continue;
      request.reply =
        "kind" in body ? this.#command(body, caller, nowMs) : this.#executor.execute(body, batch, nowMs);
    }
  }

  #command(command: QueueCommand, { link }: AttachedCaller, nowMs: number): Reply {
    const listeners = countBits(this.#writer.control.listening | (1 << link.caller));
    const { holder } = link;
    return this.#queue.run(command, { holder, listeners }, nowMs, this.#inherited);
  }
}

function countBits(word: number): number {
  let count = 0;
  for (let left = word; left !== 0; left &= left - 1) count++;
  return count;
}
