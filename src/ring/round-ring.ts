/**
 * Owns the rounds: the shared memory in which multi-shard commits wait, are decided, and are released together.
 * Callers append; shards take part; the life of a round is told in `shard/round.ts`.
 *
 * Rounds are strictly one after the other. Round r lives in half r & 1 of the memory: while one half is executed, the other
 * gathers the next round. So there is no wrap, and nothing is reclaimed but by the turn of the rounds.
 *
 * Words (control.ts): `active` the round that runs, or that ran last · `finished` the last one that every participant has
 * committed · `phase`, `participants`, `arrived`, `committed`, `decider`, `activeBytes`, `activeCommits` of the active round ·
 * `openBytes`, `openCommits`, `openParticipants` of the next one, which only the holder of the sequencing lock may touch.
 *
 * Invariants
 * 1. active is finished or finished + 1. A round starts only when the one before has finished.
 * 2. What belongs to a round is complete before its participants' doorbells ring: they are rung by whoever activates it.
 * 3. The verdicts are complete before `phase` says decided, and nobody reads them earlier.
 * 4. A shard that is lost takes part in no round: it is taken out of one that is not decided, and of those to come, and the
 *    decider refuses the commits that need it. A decided round that it owes can't be finished any more.
 * 5. Only the shard that put its number into `decider` writes verdicts, and it may do so again if its first thread died.
 *
 * An entry: u32 frame bytes, u32 caller, u32 request id, u32 participants, the commit frame (codec/commit-frame.ts), padded to 8.
 * A frame of 0 bytes stands for one too large for the half: it travels as a parcel (see `port.ts` of the router).
 */
import { ROUND_COMMITS_MAX, ROUND_RING_BYTES } from "../limits.js";
import { type Control, ROUND_WORDS } from "./control.js";
import { SequencingLock } from "./sequencing-lock.js";

export const RoundPhase = { gathering: 1, decided: 2, mending: 3 } as const;
export type RoundPhase = (typeof RoundPhase)[keyof typeof RoundPhase];

export const Verdict = { none: 0, apply: 1, refuse: 2 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Whether round `a` comes after round `b`. Rounds are 32-bit and wrap; two of them are compared by the sign of their difference. */
export function isLaterRound(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

const HEADER_BYTES = 16;
const HALF_BYTES = ROUND_RING_BYTES / 2;

/** The largest frame that travels inside a half. */
export const ROUND_FRAME_BYTES_MAX = HALF_BYTES / 2;

/** One commit of a round. `frame` is `null` when it travels as a parcel. */
export interface RoundEntry {
  readonly caller: number;
  readonly requestId: number;
  /** Bit i: shard i takes part. */
  readonly participants: number;
  readonly frame: Uint8Array | null;
}

/** The memory that the rounds need beside the control block. */
export interface RoundMemory {
  readonly halves: SharedArrayBuffer;
  readonly verdicts: SharedArrayBuffer;
}

export function createRoundMemory(): RoundMemory {
  return {
    halves: new SharedArrayBuffer(ROUND_RING_BYTES),
    verdicts: new SharedArrayBuffer(ROUND_COMMITS_MAX),
  };
}

export class RoundRing {
  readonly #control: Control;
  readonly #words: Int32Array;
  readonly #lock: SequencingLock;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #verdicts: Uint8Array;

  /** @param holder This thread's number in the sequencing lock. */
  constructor(control: Control, memory: RoundMemory, holder: number) {
    this.#control = control;
    this.#words = control.words;
    this.#lock = new SequencingLock(control.words, holder);
    this.#bytes = new Uint8Array(memory.halves);
    this.#view = new DataView(memory.halves);
    this.#verdicts = new Uint8Array(memory.verdicts);
  }

  // ── callers ──────────────────────────────────────────────────────────────────────────────────────

  /** Appends as many of `entries` to the next round as it has room for, in order, and says how many. Never waits for room. */
  append(entries: readonly RoundEntry[]): number {
    return this.#lock.run(() => {
      let count = 0;
      while (count < entries.length && this.#appendOne(entries[count]!)) count++;
      this.#activateNext();
      return count;
    });
  }

  #appendOne(entry: RoundEntry): boolean {
    const words = this.#words;
    const commits = Atomics.load(words, ROUND_WORDS.openCommits);
    const openBytes = Atomics.load(words, ROUND_WORDS.openBytes);
    const frameBytes = entry.frame?.length ?? 0;
    const entryBytes = (HEADER_BYTES + frameBytes + 7) & ~7;
    if (commits === ROUND_COMMITS_MAX || openBytes + entryBytes > HALF_BYTES) return false;
    const offset = this.#halfOffset(this.active + 1) + openBytes;
    this.#view.setUint32(offset, frameBytes, true);
    this.#view.setUint32(offset + 4, entry.caller, true);
    this.#view.setUint32(offset + 8, entry.requestId, true);
    this.#view.setUint32(offset + 12, entry.participants, true);
    if (entry.frame) this.#bytes.set(entry.frame, offset + HEADER_BYTES);
    const participants = Atomics.load(words, ROUND_WORDS.openParticipants);
    Atomics.store(words, ROUND_WORDS.openParticipants, participants | entry.participants);
    Atomics.store(words, ROUND_WORDS.openBytes, openBytes + entryBytes);
    Atomics.store(words, ROUND_WORDS.openCommits, commits + 1);
    return true;
  }

  /** Holder of the lock only: starts the next round if none runs and there is one. */
  #activateNext(): void {
    const words = this.#words;
    const commits = Atomics.load(words, ROUND_WORDS.openCommits);
    if (commits === 0 || this.active !== this.#control.finishedRound) return;
    const participants = Atomics.load(words, ROUND_WORDS.openParticipants) & ~this.lostShards;
    Atomics.store(words, ROUND_WORDS.activeBytes, Atomics.exchange(words, ROUND_WORDS.openBytes, 0));
    Atomics.store(words, ROUND_WORDS.activeCommits, Atomics.exchange(words, ROUND_WORDS.openCommits, 0));
    Atomics.store(words, ROUND_WORDS.openParticipants, 0);
    Atomics.store(words, ROUND_WORDS.arrived, 0);
    Atomics.store(words, ROUND_WORDS.committed, 0);
    Atomics.store(words, ROUND_WORDS.decider, 0);
    Atomics.store(words, ROUND_WORDS.phase, RoundPhase.gathering);
    Atomics.store(words, ROUND_WORDS.participants, participants);
    Atomics.add(words, ROUND_WORDS.active, 1);
    // All that it needs is lost: nobody could finish it.
    if (participants === 0) Atomics.add(words, ROUND_WORDS.finished, 1);
    for (let shard = 0; shard < this.#control.shardCount; shard++) {
      if ((participants >>> shard) & 1) this.#control.ringDoorbell(shard);
    }
  }

  // ── the active round ─────────────────────────────────────────────────────────────────────────────

  /** The round that runs, or that ran last. */
  get active(): number {
    return Atomics.load(this.#words, ROUND_WORDS.active);
  }

  get phase(): RoundPhase {
    return Atomics.load(this.#words, ROUND_WORDS.phase) as RoundPhase;
  }

  get participants(): number {
    return Atomics.load(this.#words, ROUND_WORDS.participants);
  }

  /** Whether a round runs in which `shard` takes part and which it has not committed. */
  awaits(shard: number): boolean {
    const active = this.active;
    if (active === this.#control.finishedRound) return false;
    const owing = this.participants & ~Atomics.load(this.#words, ROUND_WORDS.committed);
    // Unfinished still, so no later round can have changed the words between.
    return ((owing >>> shard) & 1) === 1 && this.#control.finishedRound !== active;
  }

  /** Whether nothing runs and nothing waits. */
  get isIdle(): boolean {
    return (
      this.active === this.#control.finishedRound && Atomics.load(this.#words, ROUND_WORDS.openCommits) === 0
    );
  }

  /** Participant only: outside of any transaction, and staying so until the round is decided. */
  arrive(shard: number): void {
    Atomics.or(this.#words, ROUND_WORDS.arrived, 1 << shard);
  }

  /**
   * Participant only, after arriving: whether `shard` decides. That is one shard for each round, whoever asks first once all
   * have arrived; and the same again when its first thread died before it had decided.
   */
  claimDecision(shard: number): boolean {
    const { participants } = this;
    if ((Atomics.load(this.#words, ROUND_WORDS.arrived) & participants) !== participants) return false;
    const found = Atomics.compareExchange(this.#words, ROUND_WORDS.decider, 0, shard + 1);
    return (found === 0 || found === shard + 1) && this.phase === RoundPhase.gathering;
  }

  /** Participant only: sleeps until the phase may have moved on, at most `timeoutMs`. Pairs with {@link decide}. */
  waitDecision(timeoutMs: number): void {
    Atomics.wait(this.#words, ROUND_WORDS.phase, RoundPhase.gathering, timeoutMs);
  }

  /** Bit i: shard i is given up, and takes part in nothing. */
  get lostShards(): number {
    return Atomics.load(this.#words, ROUND_WORDS.lost);
  }

  /** The round's entries in their order. Frames are private copies. */
  entries(): RoundEntry[] {
    const entries: RoundEntry[] = [];
    const commits = Atomics.load(this.#words, ROUND_WORDS.activeCommits);
    let offset = this.#halfOffset(this.active);
    for (let index = 0; index < commits; index++) {
      const frameBytes = this.#view.getUint32(offset, true);
      entries.push({
        caller: this.#view.getUint32(offset + 4, true),
        requestId: this.#view.getUint32(offset + 8, true),
        participants: this.#view.getUint32(offset + 12, true),
        frame:
          frameBytes === 0
            ? null
            : this.#bytes.slice(offset + HEADER_BYTES, offset + HEADER_BYTES + frameBytes),
      });
      offset += (HEADER_BYTES + frameBytes + 7) & ~7;
    }
    return entries;
  }

  /**
   * Decider only: makes the verdicts known and wakes the participants. False when a shard is just being given up: then the facts have
   * changed, and it has to decide again.
   */
  decide(verdicts: Uint8Array): boolean {
    this.#verdicts.set(verdicts);
    const isDecided = this.#movePhase(RoundPhase.gathering, RoundPhase.decided);
    if (isDecided) Atomics.notify(this.#words, ROUND_WORDS.phase);
    return isDecided;
  }

  /** Participant only, once decided: the verdict of each entry. */
  verdicts(): Uint8Array {
    return this.#verdicts.slice(0, Atomics.load(this.#words, ROUND_WORDS.activeCommits));
  }

  /** Participant only, after its LMDB commit and its publishing. The last one finishes the round. Says whether it was. */
  markCommitted(shard: number): boolean {
    // While this shard owes its part, the round can't finish, and the words are its own.
    const round = this.active;
    const participants = this.participants;
    const before = Atomics.or(this.#words, ROUND_WORDS.committed, 1 << shard);
    if (before === participants || ((before | (1 << shard)) & participants) !== participants) return false;
    return this.#finish(round);
  }

  /**
   * Supervisor only: a shard can't come back. Returns whether the rounds can go on without it; they can't when it owes its part of one
   * that is decided.
   */
  loseShard(shard: number): boolean {
    Atomics.or(this.#words, ROUND_WORDS.lost, 1 << shard);
    if (!this.awaits(shard)) return true;
    if (!this.#movePhase(RoundPhase.gathering, RoundPhase.mending)) return false;
    Atomics.and(this.#words, ROUND_WORDS.participants, ~(1 << shard));
    Atomics.compareExchange(this.#words, ROUND_WORDS.decider, shard + 1, 0);
    this.#movePhase(RoundPhase.mending, RoundPhase.gathering);
    Atomics.notify(this.#words, ROUND_WORDS.phase);
    this.mend();
    return true;
  }

  #movePhase(from: RoundPhase, to: RoundPhase): boolean {
    return Atomics.compareExchange(this.#words, ROUND_WORDS.phase, from, to) === from;
  }

  /** Supervisor only, after a shard's thread died: does what the dead one may have left undone between its last two stores. */
  mend(): void {
    const round = this.active;
    const committed = Atomics.load(this.#words, ROUND_WORDS.committed);
    if (round !== this.#control.finishedRound && committed === this.participants) this.#finish(round);
    else this.#lock.run(() => this.#activateNext());
  }

  /**
   * Under the lock, because two may come to it: the last participant, and the supervisor that mends what another one's death may
   * have left. The one that comes second finds it done, and must not touch the round that follows. Says whether it was the first.
   */
  #finish(round: number): boolean {
    const words = this.#words;
    const decider = this.#lock.run(() => {
      if (this.active !== round || this.#control.finishedRound === round) return -1;
      const found = Atomics.load(words, ROUND_WORDS.decider);
      this.#control.clearRoundFloor();
      Atomics.store(words, ROUND_WORDS.finished, round);
      this.#activateNext();
      return found;
    });
    if (decider < 0) return false;
    Atomics.notify(words, ROUND_WORDS.finished);
    // The decider holds the answers, and gives them now that the round can't be lost.
    if (decider > 0) this.#control.ringDoorbell(decider - 1);
    this.#control.ringWatchers();
    this.#control.ringStarved();
    return true;
  }

  #halfOffset(round: number): number {
    return (round & 1) * HALF_BYTES;
  }
}
