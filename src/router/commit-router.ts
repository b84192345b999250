/**
 * Owns the way of a commit from a caller to its shards and of the answer back. Runs on the caller's thread.
 *
 * A commit whose keys are all of one shard goes into that shard's request ring. One that touches several goes into the next round
 * (ring/round-ring.ts). What has no room now waits in order in a backlog that is bounded in bytes; nobody blocks. Small commits to a shard that
 * has nothing of this caller's wait there, too, until the microtask ends: if they are few, the caller makes them by itself (inline-path.ts).
 *
 * Invariants
 * 1. Commits of one caller to one shard are executed in the order in which they were made; so are its multi-shard ones.
 * 2. Each commit settles exactly once: with its answer, or with the error for which nobody will know its answer.
 * 3. Room for the answer is reserved with every shard that may give it, until it has come.
 */
import { type CommitFields, KeyKind } from "../codec/commit-frame.js";
import { countParts, partitionOf } from "../codec/key.js";
import { encodeQueueCommand, type QueueCommand } from "../codec/queue-command.js";
import {
  decodeReply,
  queueReplyBytesMax,
  type Reply,
  readRequestId,
  replyBytesMax,
} from "../codec/reply-frame.js";
import {
  KvOverloadedError,
  KvShardFailedError,
  KvShardStalledError,
  KvUnknownOutcomeError,
} from "../errors.js";
import { CALLER_BACKLOG_BYTES_MAX, INLINE_COMMITS_MAX, STALL_MS_MAX } from "../limits.js";
import type { Control } from "../ring/control.js";
import { FrameBatch } from "../ring/frame-ring.js";
import { isLaterRound, ROUND_FRAME_BYTES_MAX, type RoundEntry, type RoundRing } from "../ring/round-ring.js";
import type { InlinePath } from "./inline-path.js";
import { RequestTable } from "./request-table.js";
import { bodyBytes, encodeCommit, type RequestBody, type ShardClient } from "./shard-client.js";
import type { ShardFailure } from "./shard-threads.js";

/** Time between two looks at the commits of a round that lost one of its threads, in milliseconds. */
const ORPHAN_LOOK_MS = 50;
/** Looks after the end of the round in which another shard, that decided it, may still answer: a second, as for a slow flush. */
const LATE_ANSWER_LOOKS = 20;

/** On whose behalf commits are made: they can be given up together when it closes. */
export type CommitOwner = object;

interface Pending {
  readonly requestId: number;
  readonly body: RequestBody;
  /** Bit i: shard i takes part. */
  readonly participants: number;
  readonly replyBytes: number;
  /** What it holds while it waits; 0 where it never had to. */
  bytes: number;
  readonly owner: CommitOwner;
  resolve(reply: Reply): void;
  reject(error: Error): void;
  /** Nobody waits for the answer any more; its room is still to be given back. */
  settled: boolean;
  /** The caller may make it by itself. */
  readonly isSmall: boolean;
  /** It has left the backlog, and room for its answer is reserved. */
  isStarted: boolean;
}

/** What the router is told by, and tells, the engine. */
export interface CommitRouterOptions {
  readonly control: Control;
  readonly caller: number;
  readonly clients: readonly ShardClient[];
  readonly rounds: RoundRing;
  readonly partitionDepth: number;
  /** How this thread makes commits by itself; `null` where it doesn't. */
  readonly inline: InlinePath | null;
  /** A call is pending, or none is any more: the process must live, or may end. */
  readonly hold: () => void;
  readonly release: () => void;
}

export class CommitRouter {
  readonly #options: CommitRouterOptions;
  readonly #clients: readonly ShardClient[];
  /** Each client in a list of its own, for commits that have one participant. */
  readonly #alone: readonly (readonly ShardClient[])[];
  readonly #pending = new RequestTable<Pending>();
  /** Commits without room, by shard; the last queue is that of the rounds. */
  readonly #backlogs: Pending[][];
  readonly #frames = new FrameBatch();
  readonly #roundEntries: { pending: Pending; entry: RoundEntry }[] = [];
  #backlogBytes = 0;
  /** Whose turn it is to take what any shard can. */
  #appendTurn = 0;
  #flushScheduled = false;
  /** Commits that were started since the last flush, for which the process is to be kept alive. */
  #unheld = 0;
  /** Whose turn it is to keep a message that belongs to no key. */
  #queueTurn: number;
  /** Why a shard takes no writes, by shard; `null` when it does. */
  readonly #refusals: (Error | null)[];
  #isPaused = false;
  /** Why no commit over several shards is taken. */
  #roundRefusal: Error | null = null;

  constructor(options: CommitRouterOptions) {
    this.#options = options;
    this.#queueTurn = options.caller;
    this.#clients = options.clients;
    this.#alone = options.clients.map((client) => [client]);
    this.#backlogs = Array.from({ length: options.clients.length + 1 }, () => []);
    this.#refusals = options.clients.map(() => null);
  }

  /** The shard of an encoded key. */
  shardOf(key: Uint8Array): number {
    return partitionOf(key, this.#options.partitionDepth, this.#clients.length);
  }

  /** Sends a commit. The promise settles with what `read` makes of the answer, or throws, or rejects when nobody can answer. */
  commit<T>(
    fields: CommitFields,
    owner: CommitOwner,
    read: (reply: Reply, fields: CommitFields) => T,
  ): Promise<T> {
    const route = {
      participants: this.#participantsOf(fields),
      replyBytes: replyBytesMax(fields.checks.length),
    };
    return this.#send(fields, route, owner, (reply) => read(reply, fields));
  }

  /** Sends a command to a shard's queue. It is no commit, but travels and settles like one. */
  command(shard: number, command: QueueCommand, owner: CommitOwner): Promise<Reply> {
    const replyBytes = queueReplyBytesMax(command.kind === "turn" ? command.want : 0);
    return this.#send(
      encodeQueueCommand(command),
      { participants: 1 << shard, replyBytes },
      owner,
      (reply) => reply,
    );
  }

  /** The shard that keeps the messages of a commit: that of its first key. Commits of messages alone take turns over the shards that take writes. */
  queueShardOf({ checks, mutations }: CommitFields): number {
    const first =
      checks[0] ?? mutations.find(({ key, keyKind }) => keyKind === KeyKind.PLAIN || !this.#isSpread(key));
    if (first !== undefined) return first.shard;
    const count = this.#clients.length;
    const turn = this.#queueTurn++;
    for (let step = 0; step < count; step++) {
      const shard = (turn + step) % count;
      if (this.#refusals[shard] === null) return shard;
    }
    return turn % count;
  }

  #send<T>(
    body: RequestBody,
    route: { readonly participants: number; readonly replyBytes: number },
    owner: CommitOwner,
    read: (reply: Reply) => T,
  ): Promise<T> {
    const { participants, replyBytes } = route;
    return new Promise((resolve, reject) => {
      const refusal = this.#refusalOf(participants);
      if (refusal !== null) return reject(refusal);
      const pending: Pending = {
        requestId: this.#pending.takeId(),
        body,
        participants,
        replyBytes,
        bytes: 0,
        owner,
        resolve: (reply) => {
          try {
            resolve(read(reply));
          } catch (error) {
            reject(error);
          }
        },
        reject,
        settled: false,
        isSmall: this.#isSmall(body, participants),
        isStarted: false,
      };
      const queue = this.#queueOf(participants);
      const backlog = this.#backlogs[queue]!;
      if (pending.isSmall && backlog.length < INLINE_COMMITS_MAX && this.#clients[queue]!.isIdle) {
        backlog.push(pending);
      } else if (!this.#startInTurn(pending, backlog)) {
        pending.bytes = bodyBytes(body);
        if (this.#backlogBytes + pending.bytes > CALLER_BACKLOG_BYTES_MAX) {
          return reject(new KvOverloadedError(this.#backlogBytes, CALLER_BACKLOG_BYTES_MAX));
        }
        this.#backlogBytes += pending.bytes;
        backlog.push(pending);
      }
      this.#pending.add(pending);
      this.#scheduleFlush();
    });
  }

  /** Commits that are not answered yet. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Whether a shard still owes an answer. */
  get isAwaiting(): boolean {
    return this.#pending.all().some(({ isStarted }) => isStarted);
  }

  /** Lets what is sent from now on wait in the backlog, until {@link resume}. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#pump();
  }

  /** Takes the answers that are there, settles their commits, and sends what has room now. */
  takeReplies(): void {
    for (const client of this.#clients) {
      this.#frames.reset();
      const count = client.takeReplies(this.#frames);
      for (let index = 0; index < count; index++) this.#settle(index);
    }
    this.#pump();
  }

  /** Gives up the commits of one owner: they may or may not be applied. */
  abandon(owner: CommitOwner, error: () => Error): void {
    for (const pending of this.#pending.all()) {
      if (pending.owner === owner) this.#giveUp(pending, error());
    }
  }

  /**
   * A shard's thread has died. The new one answers for what it had taken from the ring. A round goes on, too, so what becomes of
   * its commits is open until it has finished: whoever was told "unknown" before, and read, would see them applied after that. When it has
   * finished they are answered, unless the dead thread had decided it and took the answers with it; also to commits that had nothing
   * to do with its shard but shared the round.
   */
  shardRestarted(shard: number): void {
    const orphans = this.#pending
      .all()
      .filter((pending) => isMulti(pending.participants) && !this.#isWaiting(pending));
    if (orphans.length === 0) return;
    const { rounds, control } = this.#options;
    // Each of them is in the active round, or in the next.
    const last = (rounds.active + 1) | 0;
    let looksLeft = LATE_ANSWER_LOOKS;
    const timer = setInterval(() => {
      const isOpen = !rounds.isIdle && isLaterRound(last, control.finishedRound);
      const unanswered = orphans.filter((pending) => this.#pending.get(pending.requestId) === pending);
      if (unanswered.length > 0 && (isOpen || --looksLeft > 0)) return;
      clearInterval(timer);
      for (const pending of unanswered) this.#forget(pending, new KvUnknownOutcomeError(shard));
    }, ORPHAN_LOOK_MS).unref();
  }

  /**
   * A shard is given up: its commits can't be answered, and no more are taken; nor are any over several shards, if the rounds can't
   * go on without it. What was sent may have been applied, unless no thread of the shard has ever run.
   */
  shardFailed({ error, roundsGoOn, hasRun }: ShardFailure): void {
    const { shard } = error;
    this.#refusals[shard] = error;
    if (!roundsGoOn) this.#roundRefusal = error;
    for (const pending of this.#pending.all()) {
      const isHit =
        ((pending.participants >>> shard) & 1) === 1 || (!roundsGoOn && isMulti(pending.participants));
      if (!isHit) continue;
      this.#forget(
        pending,
        this.#isWaiting(pending) || !hasRun ? error : new KvUnknownOutcomeError(shard, { cause: error }),
      );
    }
    for (const queue of this.#backlogs) {
      const kept = queue.filter((pending) => this.#pending.get(pending.requestId) === pending);
      for (const pending of queue) if (!kept.includes(pending)) this.#backlogBytes -= pending.bytes;
      queue.length = 0;
      queue.push(...kept);
    }
  }

  /** The watchdog's word: a shard is stuck since `stalledMs`, or (0) is well. */
  shardStalled(shard: number, stalledMs: number): void {
    const refusal = this.#refusals[shard];
    if (refusal instanceof KvShardFailedError) return;
    this.#refusals[shard] = stalledMs > 0 ? new KvShardStalledError(shard, stalledMs, STALL_MS_MAX) : null;
  }

  // ── sending ──────────────────────────────────────────────────────────────────────────────────────

  #participantsOf(fields: CommitFields): number {
    let participants = 0;
    let spread = 0;
    if (fields.queue !== undefined) participants |= 1 << fields.queue.shard;
    for (const check of fields.checks) participants |= 1 << check.shard;
    for (const mutation of fields.mutations) {
      if (mutation.keyKind === KeyKind.PLAIN || !this.#isSpread(mutation.key))
        participants |= 1 << mutation.shard;
      else spread++;
    }
    // One key that its own versionstamp spreads goes where the rest goes: the shard chooses a versionstamp that suits it.
    if (spread === 0) return participants === 0 ? 1 : participants;
    if (spread === 1 && !isMulti(participants))
      return participants === 0 ? 1 << this.#anyShard() : participants;
    return (1 << this.#clients.length) - 1;
  }

  /** Whether the shard of a key depends on the versionstamp that its commit will append. */
  #isSpread(prefix: Uint8Array): boolean {
    return this.#clients.length > 1 && countParts(prefix) < this.#options.partitionDepth;
  }

  /** Appending commits take turns over the shards. */
  #anyShard(): number {
    return this.#appendTurn++ % this.#clients.length;
  }

  #queueOf(participants: number): number {
    return isMulti(participants) ? this.#clients.length : 31 - Math.clz32(participants);
  }

  #refusalOf(participants: number): Error | null {
    if (this.#roundRefusal !== null && isMulti(participants)) return this.#roundRefusal;
    for (let shard = 0; shard < this.#refusals.length; shard++) {
      if (((participants >>> shard) & 1) === 1 && this.#refusals[shard]) return this.#refusals[shard]!;
    }
    return null;
  }

  #isSmall(body: RequestBody, participants: number): boolean {
    const { inline } = this.#options;
    return inline !== null && !isMulti(participants) && !(body instanceof Uint8Array) && inline.suits(body);
  }

  /** Hands a commit on if what came before it could be. */
  #startInTurn(pending: Pending, backlog: Pending[]): boolean {
    if (backlog.length > 0) this.#startAll(backlog);
    return backlog.length === 0 && this.#start(pending);
  }

  /** Hands a commit on if there is room for it and its answer. */
  #start(pending: Pending): boolean {
    if (this.#isPaused) return false;
    const clients = this.#clientsOf(pending);
    for (const client of clients) if (!client.hasReplyRoom(pending.replyBytes)) return false;
    if (isMulti(pending.participants)) this.#startRound(pending);
    else if (!clients[0]!.trySend(pending.requestId, pending.body)) return false;
    for (const client of clients) client.reserveReply(pending.replyBytes);
    pending.isStarted = true;
    this.#unheld++;
    return true;
  }

  #startRound(pending: Pending): void {
    const frame = encodeCommit(pending.body as CommitFields);
    const inside = frame.length <= ROUND_FRAME_BYTES_MAX;
    if (!inside) {
      for (const client of this.#clientsOf(pending)) client.postParcel(pending.requestId, frame);
    }
    const { requestId, participants } = pending;
    const entry = { caller: this.#options.caller, requestId, participants, frame: inside ? frame : null };
    this.#roundEntries.push({ pending, entry });
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      for (const client of this.#clients) this.#runInline(client);
      this.#pump();
    });
  }

  #flush(): void {
    while (this.#unheld > 0) {
      // Counted first: holding may look for answers, and so come here again.
      this.#unheld--;
      this.#options.hold();
    }
    for (const client of this.#clients) client.flush();
    if (this.#roundEntries.length === 0) return;
    const { rounds, control, caller } = this.#options;
    const entries = this.#roundEntries.map(({ entry }) => entry);
    let count = rounds.append(entries);
    if (count < entries.length) {
      // Said before the second try, so that a round that finishes in between rings.
      control.setStarved(caller);
      count += rounds.append(entries.slice(count));
    }
    this.#roundEntries.splice(0, count);
  }

  /** Makes what waits for an idle shard, if it is little and the shard's thread sleeps. */
  #runInline({ shard, isIdle }: ShardClient): void {
    const backlog = this.#backlogs[shard]!;
    const { inline, control } = this.#options;
    if (
      inline === null ||
      // Its thread has the writer lock from the beginning, so this would only open another store.
      control.isComingUp(shard) ||
      this.#isPaused ||
      !isIdle ||
      backlog.length === 0 ||
      backlog.length > INLINE_COMMITS_MAX
    )
      return;
    if (!backlog.every(({ isSmall, settled }) => isSmall && !settled)) return;
    const commits = backlog.slice();
    const bodies = commits.map(({ body }) => body as CommitFields);
    const isMade = inline.run(shard, bodies, (replies) => {
      for (let index = 0; index < commits.length; index++) commits[index]!.resolve(replies[index]!);
    });
    if (!isMade) return;
    backlog.length = 0;
    // From here on nobody can give them up: their answers are on the way.
    for (const pending of commits) {
      this.#backlogBytes -= pending.bytes;
      this.#remove(pending);
    }
  }

  #pump(): void {
    for (const backlog of this.#backlogs) if (backlog.length > 0) this.#startAll(backlog);
    this.#flush();
  }

  #startAll(backlog: Pending[]): void {
    let started = 0;
    while (started < backlog.length && this.#startWaiting(backlog[started]!)) started++;
    if (started > 0) backlog.splice(0, started);
  }

  /** Takes a commit out of its backlog, sent or (given up meanwhile) not. False: it has to stay. */
  #startWaiting(pending: Pending): boolean {
    if (pending.settled) this.#remove(pending);
    else if (!this.#start(pending)) return false;
    this.#backlogBytes -= pending.bytes;
    return true;
  }

  /** Whether no shard has seen it yet. */
  #isWaiting(pending: Pending): boolean {
    return !pending.isStarted || this.#roundEntries.some((waiting) => waiting.pending === pending);
  }

  // ── settling ─────────────────────────────────────────────────────────────────────────────────────

  #settle(index: number): void {
    const offset = this.#frames.offsets[index]!;
    const pending = this.#pending.get(readRequestId(this.#frames.bytes, offset));
    // Answered twice: by a thread that died after it had, and by the one that came in its place.
    if (pending === undefined) return;
    for (const client of this.#clientsOf(pending)) client.releaseReply(pending.replyBytes);
    this.#remove(pending);
    if (!pending.settled) pending.resolve(decodeReply(this.#frames.bytes, offset, this.#frames.ends[index]!));
  }

  /** Rejects a commit whose answer is still to come. */
  #giveUp(pending: Pending, error: Error): void {
    if (pending.settled) return;
    pending.settled = true;
    pending.reject(error);
  }

  /** Rejects a commit whose answer will not come. */
  #forget(pending: Pending, error: Error): void {
    if (pending.isStarted) {
      for (const client of this.#clientsOf(pending)) client.releaseReply(pending.replyBytes);
    }
    this.#giveUp(pending, error);
    this.#remove(pending);
  }

  #remove(pending: Pending): void {
    this.#pending.delete(pending.requestId);
    if (this.#roundEntries.length > 0) {
      const unsent = this.#roundEntries.findIndex((waiting) => waiting.pending === pending);
      if (unsent >= 0) this.#roundEntries.splice(unsent, 1);
    }
    if (pending.isStarted) this.#options.release();
  }

  #clientsOf(pending: Pending): readonly ShardClient[] {
    if (!isMulti(pending.participants)) return this.#alone[31 - Math.clz32(pending.participants)]!;
    return this.#clients.filter((client) => ((pending.participants >>> client.shard) & 1) === 1);
  }
}

function isMulti(participants: number): boolean {
  return (participants & (participants - 1)) !== 0;
}
