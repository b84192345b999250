/**
 * Owns the control block: the words of shared memory by which callers, shards and dispatchers know of each other.
 * Any thread of the engine may hold one; the methods say who may call them.
 *
 * Invariants
 * 1. The counter only grows. A batch takes one value and numbers its commits within it, so (counter, order) is a versionstamp.
 * 2. While a shard has taken a counter value whose records it has not published, its `lowestInFlight` is at most that value;
 *    while a round is unfinished, the round floor is at most the round's value. So every record below {@link watermark} is published.
 * 3. `commits` of a shard is raised after its LMDB commit and before anybody is told of it: a reader that finds it unmoved
 *    since it took its snapshot has missed nothing that was acknowledged.
 * 4. `roundEntered` of a shard is stored before the LMDB commit that holds the round, and `finishedRound` after the last
 *    participant's: a snapshot of a shard whose `roundEntered` is at most `finishedRound` holds no half of a commit.
 * 5. A sleeper reads its bell, looks for work, says that it sleeps, and waits for the bell to differ; a waker makes the work
 *    visible, moves the bell, and wakes if the sleeper said so. Whatever the order, no wake-up is lost.
 * 6. Whoever holds a shard's writer lock is its writer, and nobody else: its thread holds it from its start on and whenever it is awake; while it sleeps a
 *    caller may hold it, for one transaction. What a writer finds in shared memory and in the store is all that the one before it has
 *    left there. "Shard only" below means: the holder of the lock.
 *
 * What it does not do: it holds no data and no rings.
 */
import { CALLERS_MAX, SHARDS_MAX } from "../limits.js";

/** Bytes of a cache line: words of different writers stand this far apart. */
const LINE_BYTES = 64;
const LINE_WORDS = LINE_BYTES / 4;
const LINE_LONGS = LINE_BYTES / 8;

/** Lines of the block, in this order; the callers' and the shards' follow. */
const COUNTER_LINE = 0;
const FLOOR_LINE = 1;
const ENGINE_LINE = 2;
const ROUND_LINE = 3;
const LOCK_LINE = 4;
const CALLERS_LINE = 5;
const SHARDS_LINE = CALLERS_LINE + CALLERS_MAX;
const LINES_PER_SHARD = 3;

/** Words of the engine's line. */
const STOP = ENGINE_LINE * LINE_WORDS;
const CALLERS_WATCHING = STOP + 1;
const CUT_GATE = STOP + 2;
const CALLERS_STARVED = STOP + 3;
const CALLERS_WANTING_PREVIOUS = STOP + 4;
const CALLERS_LISTENING = STOP + 5;
const DISK_LAG_MAX = STOP + 6;

/** Words of the round line: see `round-ring.ts` for what they mean together. */
export const ROUND_WORDS = {
  active: ROUND_LINE * LINE_WORDS,
  finished: ROUND_LINE * LINE_WORDS + 1,
  phase: ROUND_LINE * LINE_WORDS + 2,
  participants: ROUND_LINE * LINE_WORDS + 3,
  arrived: ROUND_LINE * LINE_WORDS + 4,
  committed: ROUND_LINE * LINE_WORDS + 5,
  activeBytes: ROUND_LINE * LINE_WORDS + 6,
  activeCommits: ROUND_LINE * LINE_WORDS + 7,
  decider: ROUND_LINE * LINE_WORDS + 8,
  lost: ROUND_LINE * LINE_WORDS + 9,
  openBytes: LOCK_LINE * LINE_WORDS + 1,
  openCommits: LOCK_LINE * LINE_WORDS + 2,
  openParticipants: LOCK_LINE * LINE_WORDS + 3,
  lock: LOCK_LINE * LINE_WORDS,
} as const;

/** Longs of the round line that hold the counter value and the time of the active round. */
const ROUND_COUNTER = ROUND_LINE * LINE_LONGS + 5;
const ROUND_NOW_MS = ROUND_LINE * LINE_LONGS + 6;

/** Words of a caller's line. */
const BELL = 0;
const BELL_SLEEPING = 1;

/** Words of a shard's three lines: the first two are written by the shard, the third by those who wake it. */
const SHARD_STATE = 4;
const SHARD_COMMITS = 5;
const SHARD_ROUND_ENTERED = 6;
const SHARD_WRITER = 7;
const SHARD_INCARNATION = 8;
const SHARD_QUEUE_READY = 9;
const SHARD_CONDEMNED = 10;
const SHARD_DOORBELL = 2 * LINE_WORDS;
const SHARD_MAIL = 2 * LINE_WORDS + 1;
const SHARD_FLUSHED = 2 * LINE_WORDS + 2;
/** Longs of a shard's lines. */
const SHARD_LOWEST_IN_FLIGHT = 0;
const SHARD_BUSY_SINCE_MS = 1;
const SHARD_REQUESTS = 8;
const SHARD_CHANGES = 9;
const SHARD_DUE_MS = 10;

/** The slow fallback behind waiting for a shard's state, or its writer lock. */
const STATE_WAIT_MS = 100;

/** In place of a caller's number: none. */
export const NO_CALLER = -1;
const NONE_IN_FLIGHT = 0x7fff_ffff_ffff_ffffn;
const NOTHING_DUE = 0x7fff_ffff_ffff_ffffn;

/** Who has a shard's writer lock: its thread, nobody since that sleeps, a caller, or a caller whom the thread waits for. */
const Writer = { thread: 0, free: 1, caller: 2, callerAwaited: 3 } as const;

/** What a shard's thread is doing, as far as others must know. */
export const ShardState = {
  /** No thread. */
  down: 0,
  /** A thread comes up: loads its modules, opens its store. Must not be ended now. */
  starting: 1,
  /** In its loop, outside of a transaction. */
  running: 2,
  /** Inside a transaction: must not be ended now. */
  inTransaction: 3,
  /** Left its loop because it was told to. */
  stopped: 4,
  /** Given up by the supervisor. */
  failed: 5,
} as const;
export type ShardState = (typeof ShardState)[keyof typeof ShardState];

export class Control {
  readonly words: Int32Array;
  readonly longs: BigInt64Array;
  readonly shardCount: number;

  /** A fresh block for `shardCount` shards whose counter continues above `counter`, and rounds above `round`. */
  static create(shardCount: number, counter: number, round: number): Control {
    const lines = SHARDS_LINE + LINES_PER_SHARD * SHARDS_MAX;
    const control = new Control(new SharedArrayBuffer(lines * LINE_BYTES), shardCount);
    Atomics.store(control.longs, COUNTER_LINE * LINE_LONGS, BigInt(counter));
    Atomics.store(control.longs, FLOOR_LINE * LINE_LONGS, NONE_IN_FLIGHT);
    Atomics.store(control.words, ROUND_WORDS.active, round);
    Atomics.store(control.words, ROUND_WORDS.finished, round);
    for (let shard = 0; shard < shardCount; shard++) control.clearInFlight(shard);
    return control;
  }

  constructor(
    readonly buffer: SharedArrayBuffer,
    shardCount: number,
  ) {
    this.words = new Int32Array(buffer);
    this.longs = new BigInt64Array(buffer);
    this.shardCount = shardCount;
  }

  // ── the counter and the watermark ────────────────────────────────────────────────────────────────

  /** The largest counter value taken so far. */
  get counter(): number {
    return Number(Atomics.load(this.longs, COUNTER_LINE * LINE_LONGS));
  }

  /** Shard only: announces that a counter value will be taken, then takes it (invariant 2). */
  takeCounter(shard: number): number {
    this.announceInFlight(shard);
    return Number(Atomics.add(this.longs, COUNTER_LINE * LINE_LONGS, 1n)) + 1;
  }

  /** Shard only, with a counter value in flight: takes a further one. The mark below the first covers it. */
  takeFurtherCounter(): number {
    return Number(Atomics.add(this.longs, COUNTER_LINE * LINE_LONGS, 1n)) + 1;
  }

  /** Shard only: nothing below the counter of this moment will be withheld by this shard, but what comes next may be. */
  announceInFlight(shard: number): void {
    const next = Atomics.load(this.longs, COUNTER_LINE * LINE_LONGS) + 1n;
    Atomics.store(this.longs, this.#shardLong(shard, SHARD_LOWEST_IN_FLIGHT), next);
  }

  /** Shard only, after publishing. Pairs with the loads in {@link watermark}. */
  clearInFlight(shard: number): void {
    Atomics.store(this.longs, this.#shardLong(shard, SHARD_LOWEST_IN_FLIGHT), NONE_IN_FLIGHT);
  }

  /** Decider only: holds the watermark below the round, takes the round's counter value and its time. */
  takeRoundCounter(nowMs: number): number {
    const next = Atomics.load(this.longs, COUNTER_LINE * LINE_LONGS) + 1n;
    Atomics.store(this.longs, FLOOR_LINE * LINE_LONGS, next);
    const counter = Atomics.add(this.longs, COUNTER_LINE * LINE_LONGS, 1n) + 1n;
    Atomics.store(this.longs, ROUND_COUNTER, counter);
    Atomics.store(this.longs, ROUND_NOW_MS, BigInt(Math.trunc(nowMs)));
    return Number(counter);
  }

  get roundCounter(): number {
    return Number(Atomics.load(this.longs, ROUND_COUNTER));
  }

  get roundNowMs(): number {
    return Number(Atomics.load(this.longs, ROUND_NOW_MS));
  }

  /** The last participant of a round only, before it raises `finished`. */
  clearRoundFloor(): void {
    Atomics.store(this.longs, FLOOR_LINE * LINE_LONGS, NONE_IN_FLIGHT);
  }

  /**
   * Every change whose counter is below the result has been published to its shard's ring. The order of the loads is the proof:
   * first the counter, then the shards, then the round; the caller reads the rings' tails after this returns.
   */
  watermark(): number {
    let lowest = Atomics.load(this.longs, COUNTER_LINE * LINE_LONGS) + 1n;
    for (let shard = 0; shard < this.shardCount; shard++) {
      const inFlight = Atomics.load(this.longs, this.#shardLong(shard, SHARD_LOWEST_IN_FLIGHT));
      if (inFlight < lowest) lowest = inFlight;
    }
    const floor = Atomics.load(this.longs, FLOOR_LINE * LINE_LONGS);
    return Number(floor < lowest ? floor : lowest);
  }

  /**
   * Every change of one shard whose counter is below the result has been published to its ring: the same as {@link watermark} for readers
   * who don't ask for the other shards. The round's floor counts: a shard's new thread sets its mark anew, above the round that it owes.
   */
  shardLine(shard: number): number {
    const next = Atomics.load(this.longs, COUNTER_LINE * LINE_LONGS) + 1n;
    const inFlight = Atomics.load(this.longs, this.#shardLong(shard, SHARD_LOWEST_IN_FLIGHT));
    const floor = Atomics.load(this.longs, FLOOR_LINE * LINE_LONGS);
    const lowest = inFlight < next ? inFlight : next;
    return Number(floor < lowest ? floor : lowest);
  }

  // ── callers ──────────────────────────────────────────────────────────────────────────────────────

  /** Index of a caller's bell in {@link words}, for `Atomics.waitAsync`. */
  bellIndex(caller: number): number {
    return (CALLERS_LINE + caller) * LINE_WORDS + BELL;
  }

  /** Shard only: tells a caller that there is something for it. Pairs with the caller's `setBellSleeping` and waitAsync. */
  ringBell(caller: number): void {
    const bell = this.bellIndex(caller);
    Atomics.add(this.words, bell, 1);
    if (Atomics.load(this.words, bell + BELL_SLEEPING) !== 0) Atomics.notify(this.words, bell);
  }

  /** Caller only: whether it waits on its bell. */
  setBellSleeping(caller: number, sleeping: boolean): void {
    Atomics.store(this.words, this.bellIndex(caller) + BELL_SLEEPING, sleeping ? 1 : 0);
  }

  /** Caller only: whether shards ring this caller's bell when they have published changes. */
  setWatching(caller: number, watching: boolean): void {
    if (watching) Atomics.or(this.words, CALLERS_WATCHING, 1 << caller);
    else Atomics.and(this.words, CALLERS_WATCHING, ~(1 << caller));
  }

  /** Shard only, after publishing: rings every caller that watches, but for the one that publishes and looks by itself. */
  ringWatchers(exceptCaller = NO_CALLER): void {
    const watching = Atomics.load(this.words, CALLERS_WATCHING);
    this.#ringAll(exceptCaller === NO_CALLER ? watching : watching & ~(1 << exceptCaller));
  }

  /** Caller, or the opening thread for one that has died: whether its watchers want the value before a change. */
  setPreviousWanted(caller: number, wanted: boolean): void {
    if (wanted) Atomics.or(this.words, CALLERS_WANTING_PREVIOUS, 1 << caller);
    else Atomics.and(this.words, CALLERS_WANTING_PREVIOUS, ~(1 << caller));
  }

  /** Shard only: whether anybody wants the value before a change. */
  get previousWanted(): boolean {
    return Atomics.load(this.words, CALLERS_WANTING_PREVIOUS) !== 0;
  }

  /** Caller, or the opening thread for one that has died: whether it could take messages now. It says so before it looks for some. */
  setListening(caller: number, listening: boolean): void {
    if (listening) Atomics.or(this.words, CALLERS_LISTENING, 1 << caller);
    else Atomics.and(this.words, CALLERS_LISTENING, ~(1 << caller));
  }

  /** Shard only: the callers that could take messages now, one bit each. */
  get listening(): number {
    return Atomics.load(this.words, CALLERS_LISTENING);
  }

  /** Shard only, after {@link setQueueReady}: rings every caller that could take messages. */
  ringListeners(): void {
    this.#ringAll(this.listening);
  }

  /** Caller only: it has multi-shard commits for which the next round has no room; its bell rings when a round has finished. */
  setStarved(caller: number): void {
    Atomics.or(this.words, CALLERS_STARVED, 1 << caller);
  }

  /** The finisher of a round only. */
  ringStarved(): void {
    this.#ringAll(Atomics.exchange(this.words, CALLERS_STARVED, 0));
  }

  #ringAll(callers: number): void {
    for (let left = callers; left !== 0; ) {
      const caller = 31 - Math.clz32(left);
      this.ringBell(caller);
      left &= ~(1 << caller);
    }
  }

  // ── shards ───────────────────────────────────────────────────────────────────────────────────────

  doorbell(shard: number): number {
    return Atomics.load(this.words, this.#shardWord(shard, SHARD_DOORBELL));
  }

  /** Any thread: tells a shard that there is work. Pairs with {@link sleep}. */
  ringDoorbell(shard: number): void {
    const doorbell = this.#shardWord(shard, SHARD_DOORBELL);
    Atomics.add(this.words, doorbell, 1);
    if (Atomics.load(this.words, this.#shardWord(shard, SHARD_WRITER)) !== Writer.thread)
      Atomics.notify(this.words, doorbell);
  }

  /**
   * The shard's thread only: sleeps until the doorbell differs from `seen`, at most `timeoutMs`. Pairs with {@link ringDoorbell}. Meanwhile the
   * writer lock is free.
   */
  sleep(shard: number, seen: number, timeoutMs: number): void {
    Atomics.store(this.words, this.#shardWord(shard, SHARD_WRITER), Writer.free);
    Atomics.wait(this.words, this.#shardWord(shard, SHARD_DOORBELL), seen, timeoutMs);
    this.lockWriter(shard);
  }

  // ── the writer lock ──────────────────────────────────────────────────────────────────────────────

  /** The shard's thread only: takes the lock, or keeps that of a predecessor that died with it. Waits for a caller's transaction. */
  lockWriter(shard: number): void {
    const lock = this.#shardWord(shard, SHARD_WRITER);
    for (;;) {
      const held = Atomics.compareExchange(this.words, lock, Writer.free, Writer.thread);
      if (held === Writer.free || held === Writer.thread) return;
      Atomics.compareExchange(this.words, lock, Writer.caller, Writer.callerAwaited);
      Atomics.wait(this.words, lock, Writer.callerAwaited, STATE_WAIT_MS);
    }
  }

  /** Caller only: takes the lock if the shard's thread sleeps. It never waits. Undone by {@link unlockWriter}. */
  tryLockWriter(shard: number): boolean {
    const lock = this.#shardWord(shard, SHARD_WRITER);
    return Atomics.compareExchange(this.words, lock, Writer.free, Writer.caller) === Writer.free;
  }

  unlockWriter(shard: number): void {
    const lock = this.#shardWord(shard, SHARD_WRITER);
    const held = Atomics.exchange(this.words, lock, Writer.free);
    if (held === Writer.callerAwaited) Atomics.notify(this.words, lock);
  }

  /** Shard only: a caller's transaction was committed and could not be published. The thread must die of it, since its successor takes it from the log. */
  condemn(shard: number): void {
    Atomics.store(this.words, this.#shardWord(shard, SHARD_CONDEMNED), 1);
    this.ringDoorbell(shard);
  }

  /** Whether the shard's thread must die, and has not heard of it yet. */
  isCondemned(shard: number): boolean {
    return Atomics.load(this.words, this.#shardWord(shard, SHARD_CONDEMNED)) !== 0;
  }

  /** The shard's thread only: whether it must die. The next one need not. */
  takeCondemned(shard: number): boolean {
    return Atomics.exchange(this.words, this.#shardWord(shard, SHARD_CONDEMNED), 0) !== 0;
  }

  /** Shard only: when the sweeper of the shard looks next, `Infinity` when nothing expires. */
  dueMs(shard: number): number {
    const dueMs = Atomics.load(this.longs, this.#shardLong(shard, SHARD_DUE_MS));
    return dueMs === NOTHING_DUE ? Number.POSITIVE_INFINITY : Number(dueMs);
  }

  /** Shard only. Parts of a millisecond are cut off. */
  setDueMs(shard: number, dueMs: number): void {
    const whole = dueMs === Number.POSITIVE_INFINITY ? NOTHING_DUE : BigInt(Math.floor(dueMs));
    Atomics.store(this.longs, this.#shardLong(shard, SHARD_DUE_MS), whole);
  }

  // ── what a shard does ────────────────────────────────────────────────────────────────────────────

  /** Any thread: there is a message on one of the shard's ports. */
  raiseMail(shard: number): void {
    Atomics.store(this.words, this.#shardWord(shard, SHARD_MAIL), 1);
    this.ringDoorbell(shard);
  }

  /** Shard only: whether there is mail, lowering the flag before the ports are read so that none is missed. */
  takeMail(shard: number): boolean {
    return Atomics.exchange(this.words, this.#shardWord(shard, SHARD_MAIL), 0) !== 0;
  }

  state(shard: number): ShardState {
    return Atomics.load(this.words, this.#shardWord(shard, SHARD_STATE)) as ShardState;
  }

  setState(shard: number, state: ShardState): void {
    const word = this.#shardWord(shard, SHARD_STATE);
    Atomics.store(this.words, word, state);
    Atomics.notify(this.words, word);
  }

  /** Blocks until the shard's state differs from `state`, at most `timeoutMs`. */
  waitState(shard: number, state: ShardState, timeoutMs: number): void {
    Atomics.wait(this.words, this.#shardWord(shard, SHARD_STATE), state, timeoutMs);
  }

  /** Resolves when the shard's state has moved away from `state`, or after a while. Keeps the process alive. */
  async stateMoved(shard: number, state: ShardState): Promise<void> {
    const keepAlive = setInterval(() => {}, STATE_WAIT_MS);
    const wait = Atomics.waitAsync(this.words, this.#shardWord(shard, SHARD_STATE), state, STATE_WAIT_MS);
    if (wait.async) await wait.value;
    clearInterval(keepAlive);
  }

  /** Shard only, around a transaction: since when it runs, on the system's clock. */
  setBusySince(shard: number, sinceMs: number): void {
    Atomics.store(this.longs, this.#shardLong(shard, SHARD_BUSY_SINCE_MS), BigInt(sinceMs));
  }

  /** Milliseconds on the system's clock at which the shard's transaction began, 0 when it is in none. */
  busySinceMs(shard: number): number {
    return Number(Atomics.load(this.longs, this.#shardLong(shard, SHARD_BUSY_SINCE_MS)));
  }

  /** Whether the shard's thread is still to come into its loop, and none has died there: so nobody writes to it, and all that was written is counted. */
  isComingUp(shard: number): boolean {
    const state = this.state(shard);
    return (state === ShardState.down || state === ShardState.starting) && this.incarnation(shard) === 0;
  }

  /** Number of LMDB commits of a shard, wrapping. */
  commits(shard: number): number {
    return Atomics.load(this.words, this.#shardWord(shard, SHARD_COMMITS));
  }

  /** Shard only, after an LMDB commit and before anybody is told. */
  raiseCommits(shard: number): void {
    Atomics.add(this.words, this.#shardWord(shard, SHARD_COMMITS), 1);
  }

  /** Shard only: counts what it has done. */
  addDone(shard: number, requests: number, changes: number): void {
    Atomics.add(this.longs, this.#shardLong(shard, SHARD_REQUESTS), BigInt(requests));
    Atomics.add(this.longs, this.#shardLong(shard, SHARD_CHANGES), BigInt(changes));
  }

  /** Requests that a shard has executed, or had its part in, since the store was opened. */
  requests(shard: number): number {
    return Number(Atomics.load(this.longs, this.#shardLong(shard, SHARD_REQUESTS)));
  }

  /** Changes that a shard has published since the store was opened. */
  changes(shard: number): number {
    return Number(Atomics.load(this.longs, this.#shardLong(shard, SHARD_CHANGES)));
  }

  /** The newest round whose changes the shard's store may hold. */
  roundEntered(shard: number): number {
    return Atomics.load(this.words, this.#shardWord(shard, SHARD_ROUND_ENTERED));
  }

  setRoundEntered(shard: number, round: number): void {
    Atomics.store(this.words, this.#shardWord(shard, SHARD_ROUND_ENTERED), round);
  }

  /** Messages of a shard that are ready to be leased. */
  queueReady(shard: number): number {
    return Atomics.load(this.words, this.#shardWord(shard, SHARD_QUEUE_READY));
  }

  /** Shard only, after the commit that made it so. */
  setQueueReady(shard: number, count: number): void {
    Atomics.store(this.words, this.#shardWord(shard, SHARD_QUEUE_READY), Math.min(count, 0x7fff_ffff));
  }

  /** How many threads this shard has had. */
  incarnation(shard: number): number {
    return Atomics.load(this.words, this.#shardWord(shard, SHARD_INCARNATION));
  }

  raiseIncarnation(shard: number): void {
    Atomics.add(this.words, this.#shardWord(shard, SHARD_INCARNATION), 1);
  }

  // ── the engine ───────────────────────────────────────────────────────────────────────────────────

  get stopping(): boolean {
    return Atomics.load(this.words, STOP) !== 0;
  }

  /** Tells every shard to leave its loop, and wakes them all. */
  stop(): void {
    Atomics.store(this.words, STOP, 1);
    for (let shard = 0; shard < this.shardCount; shard++) this.ringDoorbell(shard);
    Atomics.notify(this.words, ROUND_WORDS.phase);
    Atomics.notify(this.words, CUT_GATE);
  }

  /** The opening thread only, when all shards have left their loops: those that are started now run. */
  goOn(): void {
    Atomics.store(this.words, STOP, 0);
  }

  /** Caller only: asks the shards to pause before their next commit, until {@link openCutGate}. */
  closeCutGate(caller: number): void {
    Atomics.or(this.words, CUT_GATE, 1 << caller);
  }

  /** Caller, or the opening thread for one that has died. */
  openCutGate(caller: number): void {
    Atomics.and(this.words, CUT_GATE, ~(1 << caller));
    Atomics.notify(this.words, CUT_GATE);
  }

  /** Whether no cut is being taken that needs the shards to pause. */
  get isCutGateOpen(): boolean {
    return Atomics.load(this.words, CUT_GATE) === 0;
  }

  /** Shard only, before a commit: waits while a cut is taken, at most `timeoutMs`, so that a dead reader can't hold it. */
  passCutGate(timeoutMs: number): void {
    const closed = Atomics.load(this.words, CUT_GATE);
    if (closed !== 0 && !this.stopping) Atomics.wait(this.words, CUT_GATE, closed, timeoutMs);
  }

  // ── the disk ─────────────────────────────────────────────────────────────────────────────────────

  /** Opening thread only: bounds how many transactions a shard may be ahead of the disk. 0, as at first: there is no bound. */
  setDiskLagMax(transactions: number): void {
    Atomics.store(this.words, DISK_LAG_MAX, transactions);
  }

  /** Opening thread only: what a shard had committed when {@link commits} was this is on the disk. */
  setFlushed(shard: number, commits: number): void {
    const word = this.#shardWord(shard, SHARD_FLUSHED);
    Atomics.store(this.words, word, commits);
    Atomics.notify(this.words, word);
  }

  /** Whether a shard is as far ahead of the disk as it may be. */
  isFarAheadOfDisk(shard: number): boolean {
    const max = Atomics.load(this.words, DISK_LAG_MAX);
    if (max === 0) return false;
    return (
      ((this.commits(shard) - Atomics.load(this.words, this.#shardWord(shard, SHARD_FLUSHED))) | 0) >= max
    );
  }

  /** Shard only, before a commit: waits while it is far ahead of the disk, at most `timeoutMs`, since a disk that fails must not end it. */
  awaitDisk(shard: number, timeoutMs: number): void {
    const word = this.#shardWord(shard, SHARD_FLUSHED);
    const flushed = Atomics.load(this.words, word);
    if (this.isFarAheadOfDisk(shard) && !this.stopping) Atomics.wait(this.words, word, flushed, timeoutMs);
  }

  /** The newest round that all its participants have committed. */
  get finishedRound(): number {
    return Atomics.load(this.words, ROUND_WORDS.finished);
  }

  #shardWord(shard: number, word: number): number {
    return (SHARDS_LINE + shard * LINES_PER_SHARD) * LINE_WORDS + word;
  }

  #shardLong(shard: number, long: number): number {
    return (SHARDS_LINE + shard * LINES_PER_SHARD) * LINE_LONGS + long;
  }
}
