/**
 * Owns a shard's part in the rounds of multi-shard commits. Shard thread only.
 *
 * The life of a round
 *   gathering  Each participant ends its transaction, sets its in-flight mark, arrives, and stands still.
 *   deciding   The last to arrive decides for all (round-plan.ts): one counter value for the round, a verdict for each commit.
 *   decided    Each participant applies its part in one transaction that also holds the redo record of the whole round, commits,
 *              publishes, and goes on with other work. They do so in parallel, so a round costs one flush.
 *   finished   The last one to commit raises `finishedRound`. Now readers, watchers and the callers are told, not before.
 *
 * Invariants
 * 1. From its arrival to the decision a participant starts no transaction, so the decider reads a fixed state.
 * 2. A participant applies a decided round before any later single commit of its own: later ones have larger versionstamps.
 * 3. `roundEntered` is raised before the LMDB commit that holds the round (readers then wait for `finishedRound`).
 * 4. Once any participant has committed, the round can't be lost: its redo record holds all of it, and the next round does not
 *    start before all have committed. So after a crash only the last round can be incomplete.
 * 5. Whoever decides a round has given the answers of the one that it decided before.
 * 6. A thread that dies at any point of this is replaced by one that looks at the round's words and goes on where they say.
 */
import type { CommitFields } from "../codec/commit-frame.js";
import { readCommitFrame } from "../codec/commit-frame.js";
import { partitionOf } from "../codec/key.js";
import type { Reply } from "../codec/reply-frame.js";
import { formatVersionstamp } from "../codec/versionstamp.js";
import { PAGE_SIZE_BYTES } from "../limits.js";
import { isLaterRound, type RoundEntry, RoundPhase, type RoundRing, Verdict } from "../ring/round-ring.js";
import type { CallerLinks } from "./caller-links.js";
import type { ChangeBatch } from "./change-batch.js";
import { planCommit } from "./commit-plan.js";
import { FaultPoint } from "./faults.js";
import type { QueueBatch } from "./queue-batch.js";
import { commitOf, type DecidedCommit, type DecidedRound, encodeRedo } from "./redo.js";
import { decideRound, roundOrder } from "./round-plan.js";
import { type ShardWriter, TransactionFailure } from "./shard-writer.js";
import type { Siblings } from "./siblings.js";

/** A parked participant looks around this often, in case the one it waits for has died. */
const PARKED_MS_MAX = 50;

/** Between two tries of a part that the disk refused. */
const STORAGE_RETRY_MS = 200;
/** Pages that a part of a round may take beside its own bytes: the branches and leaves that it changes, the log, the free list. */
const ROUND_PAGES = 64;

/** Something to sleep on that nobody wakes. */
const PAUSE = new Int32Array(new SharedArrayBuffer(4));

/** Answers that wait for their round to finish. They are given before the next round is joined. */
interface OwedReplies {
  readonly round: number;
  readonly entries: readonly RoundEntry[];
  readonly replies: readonly Reply[];
}

export class RoundMember {
  readonly #writer: ShardWriter;
  readonly #queue: QueueBatch;
  readonly #ring: RoundRing;
  readonly #links: CallerLinks;
  readonly #siblings: Siblings;
  readonly #partitionDepth: number;
  #owed: OwedReplies | null = null;
  #appliedRound: number;

  constructor(
    writer: ShardWriter,
    queue: QueueBatch,
    ring: RoundRing,
    links: CallerLinks,
    siblings: Siblings,
    partitionDepth: number,
  ) {
    this.#writer = writer;
    this.#queue = queue;
    this.#ring = ring;
    this.#links = links;
    this.#siblings = siblings;
    this.#partitionDepth = partitionDepth;
    this.#appliedRound = writer.store.appliedRound();
  }

  /** Takes part in the active round if it waits for this shard. Says whether it did. */
  run(): boolean {
    const { shard, control } = this.#writer;
    const isAwaited = this.#ring.awaits(shard);
    this.#writer.faults.visit(FaultPoint.looked);
    // After that look: where a round waits, the one before has finished, and this shard may decide the new one, with answers of its own.
    this.#payReplies();
    if (!isAwaited) return false;
    const round = this.#ring.active;
    // A predecessor of this thread may have committed it and died before it could say so.
    if (isLaterRound(round, this.#appliedRound) && !this.#takePart(round)) return false;
    control.clearInFlight(shard);
    this.#ring.markCommitted(shard);
    this.#payReplies();
    return true;
  }

  /** False when the engine stops first. */
  #takePart(round: number): boolean {
    const { shard, control } = this.#writer;
    this.#writer.pause();
    control.announceInFlight(shard);
    this.#ring.arrive(shard);
    this.#writer.faults.visit(FaultPoint.arrived);
    const entries = this.#ring.entries().map((entry) => ({ ...entry, frame: this.#frameOf(entry) }));
    if (!this.#awaitDecision(entries)) return false;
    this.#writer.faults.visit(FaultPoint.decided);
    const decided = this.#decidedRound(round, entries) ?? this.#awaitRedo(round);
    if (decided === null) return false;
    return this.#apply(decided);
  }

  /** Applies a round that other shards had committed when the store went down. Before anything else. */
  redo(round: DecidedRound): void {
    if (!isLaterRound(round.round, this.#appliedRound)) return;
    this.#writer.control.announceInFlight(this.#writer.shard);
    this.#apply(round);
  }

  /** False when the engine stops first: then the round is not decided, and nothing has happened. */
  #awaitDecision(entries: readonly RoundEntry[]): boolean {
    while (this.#ring.phase !== RoundPhase.decided) {
      if (this.#writer.control.stopping) return false;
      if (this.#ring.claimDecision(this.#writer.shard)) this.#decide(entries);
      else this.#ring.waitDecision(PARKED_MS_MAX);
    }
    return true;
  }

  #decide(entries: readonly RoundEntry[]): void {
    const { control, clock } = this.#writer;
    const nowMs = clock.nowMs();
    const counter = control.takeRoundCounter(nowMs);
    this.#siblings.renew();
    this.#writer.faults.visit(FaultPoint.deciding);
    const { verdicts, replies } = decideRound({
      counter,
      nowMs,
      commits: entries.map(({ frame, participants }) => {
        const isPossible = frame !== null && (participants & this.#ring.lostShards) === 0;
        return isPossible ? readCommitFrame(frame, 0, frame.length) : null;
      }),
      read: this.#siblings.read,
      holderOf: this.#siblings.holderOf,
      shardOf: (key) => this.#shardOf(key),
      refusal: this.#lackOfRoom(entries),
    });
    if (this.#ring.decide(verdicts)) this.#owed = { round: this.#ring.active, entries, replies };
  }

  /**
   * Why the disk would not take the round; `null` when it has room. A round that one shard has committed and another can't would be owed by
   * it, and unreadable, for as long as the disk is full; so it is not begun then.
   */
  #lackOfRoom(entries: readonly RoundEntry[]): string | null {
    const bytes = entries.reduce((sum, { frame }) => sum + (frame?.length ?? 0), 0);
    // Each participant writes its entries, their log and the redo record.
    const neededBytes = this.#writer.control.shardCount * (3 * bytes + ROUND_PAGES * PAGE_SIZE_BYTES);
    const freeBytes = this.#writer.store.freeBytes();
    if (freeBytes >= neededBytes) return null;
    return `the disk has ${freeBytes} bytes left, a commit over several shards may need ${neededBytes}: nothing was changed`;
  }

  /** The round as decided; `null` when a parcel of it was posted to a predecessor of this thread that died. */
  #decidedRound(round: number, entries: readonly RoundEntry[]): DecidedRound | null {
    const { roundCounter: counter, roundNowMs: nowMs } = this.#writer.control;
    const verdicts = this.#ring.verdicts();
    const commits: DecidedCommit[] = [];
    for (const [index, { frame }] of entries.entries()) {
      if (verdicts[index] !== Verdict.apply) continue;
      if (frame === null) return null;
      commits.push({ index, frame });
    }
    return { round, counter, nowMs, participants: this.#ring.participants, commits };
  }

  /** Takes the round from another participant, who has all of it once it has committed. `null` when the engine stops first. */
  #awaitRedo(round: number): DecidedRound | null {
    const participants = this.#ring.participants;
    while (!this.#writer.control.stopping) {
      const redo = this.#siblings.redoOf(round, participants);
      if (redo !== null) return redo;
      Atomics.wait(PAUSE, 0, 0, PARKED_MS_MAX);
    }
    return null;
  }

  /** False when the engine stops before it could: then it is redone when the store is opened again. */
  #apply(round: DecidedRound): boolean {
    const { control, shard, store } = this.#writer;
    control.setRoundEntered(shard, round.round);
    for (;;) {
      try {
        this.#writer.commitNow(round.commits.length, (batch) => {
          batch.noteCounter(round.counter);
          for (const decided of round.commits)
            this.#applyCommit(round, commitOf(decided), decided.index, batch);
          store.putRound(round.round, encodeRedo(round));
        });
        break;
      } catch (error) {
        if (!(error instanceof TransactionFailure) || !isOfStorage(error.cause)) throw error;
        // Others may have committed their parts, so this one has to follow: it is owed until there is room again.
        process.emitWarning(
          `shard ${shard} owes its part of a commit over several shards: ${error.message}; it tries again`,
          "BelfryWarning",
        );
        if (control.stopping) return false;
        control.announceInFlight(shard);
        Atomics.wait(PAUSE, 0, 0, STORAGE_RETRY_MS);
      }
    }
    this.#appliedRound = round.round;
    return true;
  }

  #applyCommit(round: DecidedRound, commit: CommitFields, index: number, batch: ChangeBatch): void {
    const { shard, store } = this.#writer;
    const order = roundOrder(index);
    const plan = planCommit(commit, {
      read: (_, key) => store.readEntry(key),
      nowMs: round.nowMs,
      versionstamp: () => formatVersionstamp(round.counter, order),
      shardOf: (key) => this.#shardOf(key),
      holderOf: (_, id) => store.queue.lease(id)?.holder,
      onlyShard: shard,
      withPrevious: this.#writer.control.previousWanted,
      checked: true,
    });
    if (plan.verdict !== "apply")
      throw new Error(`commit ${index} of round ${round.round} was decided and can't be applied`);
    if (plan.expired.length > 0) batch.sweep(plan.expired, round.counter, order - 1, true);
    batch.apply(plan.effects, round.counter, order, true);
    if (commit.queue?.shard === shard) this.#queue.apply(commit.queue, round.counter, order, round.nowMs);
  }

  /** Gives the answers of the round that this shard decided, once it has finished. */
  #payReplies(): void {
    const owed = this.#owed;
    if (owed === null || isLaterRound(owed.round, this.#writer.control.finishedRound)) return;
    this.#owed = null;
    owed.entries.forEach((entry, index) => {
      this.#links.get(entry.caller)?.reply(entry.requestId, owed.replies[index]!);
    });
    this.#links.publishReplies();
  }

  /** The entry's frame, from the round's memory or its parcel; `null` when the parcel went to a thread that has died. */
  #frameOf(entry: RoundEntry): Uint8Array | null {
    if (entry.frame !== null) return entry.frame;
    const caller = this.#links.get(entry.caller);
    return (caller && this.#links.parcelOf(caller, entry.requestId)) ?? null;
  }

  #shardOf(key: Uint8Array): number {
    return partitionOf(key, this.#partitionDepth, this.#writer.control.shardCount);
  }
}

/** Whether it was LMDB, or the system under it, that refused: their errors have numbers. */
function isOfStorage(error: unknown): boolean {
  return typeof (error as { code?: unknown } | null)?.code === "number";
}
