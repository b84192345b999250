/**
 * Owns the delivery of changes in one caller's thread: it polls the rings of all shards, merges them into the one order of the
 * store, and offers each commit, whole, to those who want one of its keys. It runs when its owner calls `poll`: when the thread's
 * bell has rung, and again from `setImmediate` while `poll` says that there is more.
 *
 * **Order.** The watermark W is taken first, and every record below it has been published by then; only then the rings are
 * polled. So a shard whose ring is empty afterwards has nothing below W that is not here; one whose ring is not is complete up to
 * the last commit known to be whole. The least of these lines is safe for all: up to it the first of the heads is the next commit
 * of the store, and its records are all here. What is above the line waits.
 *
 * **Start.** When the first listener comes: (1) watching on, so that whoever publishes from now on rings; (2) the watermark W0;
 * (3) each ring's epoch and tail; (4) the counter, and S is one above it.
 * - A commit with counter >= S takes it after (4), so every record of it is published after (3) and rings, after (1). A listener
 *   that wants what comes after now is offered exactly the commits from its S on: those that had not begun.
 * - A commit below W0 was published before (2), so it stands before the tails and nobody is offered it. One from W0 up to S was in
 *   flight: each of its records was published before the tails, and then it was committed and any read from now on sees it, or it
 *   comes. A listener that reads the state by itself after it has registered, and is offered whatever comes (`"in-flight"`), misses nothing.
 * - Later listeners take their S in the same way. For them, too, a commit in flight is either delivered already, and then
 *   committed, or still to come.
 *
 * **Interest.** A record that no listener might want is dropped when it is read, and not kept until the line has come to it. A listener that comes
 * between the two does not miss it: its commit was published, so it has a counter below any S that is taken later, and any read from then on sees it.
 *
 * **Each shard's order.** A listener may ask for commits as soon as its shard has published them, ahead of the one order: it is offered what a
 * queue holds of whole commits, which stays there for the others. Up to `deliveredThrough` it has been offered everything, as all have.
 *
 * Invariants:
 * 1. Every commit up to `deliveredThrough` has been offered to every listener that was open and wanted it; none above has.
 * 2. Commits are offered in increasing (counter, order), once, whole, with their changes in the order of their places.
 * 3. One `poll` does bounded work, and never waits. No caller's code runs inside it.
 * 4. Without listeners nothing is polled, no shard rings, and the process is not kept alive.
 *
 * It keeps nothing for a listener that can't take a commit: that one reads the log. It does not decide when to poll.
 */
import type { ChangeRecord } from "../codec/change-record.js";
import { KvClosedError, KvCorruptError } from "../errors.js";
import { DISPATCH_CHANGES_MAX } from "../limits.js";
import type { Control } from "../ring/control.js";
import { completeLine, firstCommit, takeCommitAt } from "./commit-merge.js";
import { CommittedChange } from "./committed-change.js";
import type { FeedStats } from "./feed-stats.js";
import { LogReader, type ReadLog } from "./log-reader.js";
import { type EncodedSelector, Matcher, type MatcherSeat } from "./matcher.js";
import type { Interest, RecordQueue } from "./record-queue.js";
import { ShardFeed } from "./shard-feed.js";
import { type Slice, SliceQueue } from "./slice-queue.js";
import { compareStamps, FIRST_STAMP, lastStampBelow, laterStamp, type Stamp, stampOf } from "./stamp.js";
import type { StateSnapshot } from "./state-snapshot.js";

export interface DispatcherOptions {
  readonly shardCount: number;
  readonly control: Pick<Control, "watermark" | "shardLine" | "counter">;
  /** One change ring a shard. */
  readonly rings: readonly SharedArrayBuffer[];
  readonly readLog: ReadLog;
  /** Whether shards ring this thread's bell when they have published. */
  readonly setWatching: (watching: boolean) => void;
  /** The first listener came: the process must stay alive. */
  readonly onActive: () => void;
  /** The last listener went: the process may end. */
  readonly onIdle: () => void;
  /** Holds a cut of the whole store: what feeds begin with that ask for the state. */
  readonly takeState: () => Promise<StateSnapshot>;
  /** Whether shards record the value before each change for this thread. */
  readonly setPreviousWanted: (wanted: boolean) => void;
}

/** Who is offered commits. Its methods run inside the dispatcher's: they must not throw, wait, or call anybody's code. */
export interface CommitListener {
  /**
   * The changes that it wants of one commit. It keeps one only after `retain`.
   *
   * @param shard In each shard's order: whose part of the commit this is.
   */
  offer(stamp: Stamp, changes: readonly CommittedChange[], shard?: number): void;
  /** The store is closed: nothing will be offered any more. */
  end(): void;
  /** Delivery has failed: nothing will be offered any more. */
  abort(error: unknown): void;
  /** Of a feed: how it is doing. */
  readonly stats?: () => FeedStats;
}

/**
 * What a listener is offered at first: `"later"` only commits that begin after it has registered, `"in-flight"` also those that had
 * begun and were not delivered yet.
 */
export type OffersFrom = "later" | "in-flight";

/** `"commit"`: the one order of the store. `"shard"`: each shard's order, as soon as it has published; a commit over several shards comes in parts. */
export type DeliveryOrder = "commit" | "shard";

/** A listener's place. */
export interface Subscription {
  /** Commits up to it are not offered. */
  readonly after: Stamp;
  /** In each shard's order: offers once more what was offered and is above `deliveredThrough`. */
  offerAgain(): void;
  /** Offers nothing from now on. Doing it twice does nothing. */
  cancel(): void;
}

/** Where listeners get commits from: the dispatcher, or a part of it that can be closed by itself. */
export interface CommitSource {
  readonly deliveredThrough: Stamp;
  /** The largest counter value taken so far. */
  readonly counter: number;
  listen(
    selectors: Iterable<EncodedSelector>,
    listener: CommitListener,
    from: OffersFrom,
    order?: DeliveryOrder,
  ): Subscription;
  /** Reads the logs from one stamp on, or of a shard from another one if that is later. */
  logReader(after: Stamp, ahead?: readonly (Stamp | undefined)[]): LogReader;
  /** Runs a slice of a listener's own work in one of the next turns of the event loop. */
  schedule(slice: Slice): void;
  /** Calls `run`, within a poll, when every commit up to `stamp` was delivered; never when the last listener goes before that. */
  onDelivered(stamp: Stamp, run: () => void): void;
  /** Asks the shards to record the value before each change, until the function that it returns is called. */
  wantPrevious(): () => void;
  takeState(): Promise<StateSnapshot>;
}

/** Somebody who waits for the delivery to come to a stamp. */
interface DeliveryWaiter {
  readonly stamp: Stamp;
  readonly run: () => void;
}

type DispatcherState = "idle" | "watching" | "closed";

const MOVES: Record<DispatcherState, readonly DispatcherState[]> = {
  idle: ["watching", "closed"],
  watching: ["idle", "closed"],
  closed: [],
};

/** Where seats of one order sit, and what their subscriptions ask of the dispatcher. */
interface Hall {
  readonly matcher: Matcher<Seat>;
  readonly leave: (seat: Seat) => void;
  readonly offerAgain: (seat: Seat) => void;
}

/**
 * A listener, and what the commit that is being matched has for it. It is its own subscription. A class, since all seats must have one shape
 * (see `MatcherSeat`), and there may be a hundred thousand: their methods belong to all of them.
 */
class Seat implements MatcherSeat<Seat>, Subscription {
  visit = 0;
  place: MatcherSeat<Seat>["place"] = undefined;
  isOpen = true;
  /** Of the commit in hand, if that has several changes. */
  changes: CommittedChange[] | undefined = undefined;
  readonly listener: CommitListener;
  readonly hall: Hall;
  /** Commits up to this counter are not offered. */
  readonly afterCounter: number;

  constructor(listener: CommitListener, hall: Hall, afterCounter: number) {
    this.listener = listener;
    this.hall = hall;
    this.afterCounter = afterCounter;
  }

  get after(): Stamp {
    return lastStampBelow(this.afterCounter + 1);
  }

  offerAgain(): void {
    this.hall.offerAgain(this);
  }

  cancel(): void {
    this.hall.leave(this);
  }
}

export class Dispatcher implements CommitSource {
  readonly #options: DispatcherOptions;
  readonly #matcher = new Matcher<Seat>();
  /** Of those who want each shard's order. */
  readonly #aheadMatcher = new Matcher<Seat>();
  readonly #hall: Hall = this.#hallOf(this.#matcher);
  readonly #aheadHall: Hall = this.#hallOf(this.#aheadMatcher);
  #aheadSeats = 0;
  readonly #seats = new Set<Seat>();
  #state: DispatcherState = "idle";
  #feeds: readonly ShardFeed[] = [];
  #queues: readonly RecordQueue[] = [];
  #deliveredThrough: Stamp = FIRST_STAMP;
  readonly #slices = new SliceQueue();
  #waiters: DeliveryWaiter[] = [];
  #isPollDue = false;
  #previousWantedCount = 0;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  get state(): DispatcherState {
    return this.#state;
  }

  /** The line of invariant 1. It means something only while there are listeners. */
  get deliveredThrough(): Stamp {
    return this.#deliveredThrough;
  }

  get counter(): number {
    return this.#options.control.counter;
  }

  /** Bytes of records that were read and wait for the watermark. */
  get heldBytes(): number {
    return this.#queues.reduce((bytes, queue) => bytes + queue.bytes, 0);
  }

  /**
   * Offers a listener the commits that change what it selects, until it cancels.
   *
   * @throws KvClosedError after `close`.
   */
  listen(
    selectors: Iterable<EncodedSelector>,
    listener: CommitListener,
    from: OffersFrom,
    order: DeliveryOrder = "commit",
  ): Subscription {
    if (this.#state === "closed") throw new KvClosedError();
    if (this.#state === "idle") this.#start();
    const first = from === "later" ? this.#options.control.counter + 1 : 0;
    const hall = order === "shard" ? this.#aheadHall : this.#hall;
    const seat = new Seat(listener, hall, first - 1);
    hall.matcher.add(seat, selectors);
    this.#seats.add(seat);
    if (order === "shard") this.#aheadSeats++;
    return seat;
  }

  /**
   * Reads what the shards have published and delivers what is in order. A failure ends every listener with it, and is not thrown.
   *
   * @returns Whether there is more to do now. Otherwise the next bell says when.
   */
  poll(): boolean {
    if (this.#state !== "watching") return false;
    try {
      const { control } = this.#options;
      const watermark = control.watermark();
      for (const [shard, feed] of this.#feeds.entries())
        feed.fill(watermark, this.#aheadSeats > 0 ? control.shardLine(shard) : watermark);
      if (this.#aheadSeats > 0) this.#deliverAhead();
      const isDrained = this.#deliver(completeLine(this.#queues, lastStampBelow(watermark)));
      if (this.#waiters.length > 0) this.#tellWaiters();
      return !isDrained || this.#feeds.some((feed) => feed.hasMore(watermark));
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Ends every listener with an error, as the last thing that it hears. A listener that comes later starts anew. */
  fail(error: unknown): void {
    for (const seat of this.#takeSeats()) seat.listener.abort(error);
    if (this.#state === "watching") this.#stop("idle");
  }

  /** Ends every listener, and admits no other. Doing it twice does nothing. */
  close(): void {
    if (this.#state === "closed") return;
    const seats = this.#takeSeats();
    this.#stop("closed");
    for (const seat of seats) seat.listener.end();
  }

  /** Reads the logs from `after` on; up to `deliveredThrough` they have every commit. */
  logReader(after: Stamp, ahead?: readonly (Stamp | undefined)[]): LogReader {
    return new LogReader(this.#options.shardCount, this.#options.readLog, after, ahead);
  }

  schedule(slice: Slice): void {
    this.#slices.add(slice);
  }

  /** A poll follows soon: no shard rings for a stamp below which it has nothing more. One that has, rings when it has published. */
  onDelivered(stamp: Stamp, run: () => void): void {
    if (this.#state !== "watching") return;
    this.#waiters.push({ stamp, run });
    this.#pollSoon();
  }

  wantPrevious(): () => void {
    if (++this.#previousWantedCount === 1) this.#options.setPreviousWanted(true);
    let isWanted = true;
    return () => {
      if (isWanted && --this.#previousWantedCount === 0) this.#options.setPreviousWanted(false);
      isWanted = false;
    };
  }

  takeState(): Promise<StateSnapshot> {
    return this.#options.takeState();
  }

  /** A shard has a new thread. The rings' epochs tell the same; this is for an owner who knows it earlier. */
  restart(shard: number): void {
    this.#feeds[shard]?.restart();
  }

  /** The order of these steps is the proof in the header. */
  #start(): void {
    const { control, rings, readLog, setWatching, onActive, shardCount } = this.#options;
    this.#move("watching");
    onActive();
    setWatching(true);
    const after = lastStampBelow(control.watermark());
    const counter = () => control.counter;
    const interest: Interest = {
      isWanted: (record) =>
        this.#matcher.mayWant(record) || (this.#aheadSeats > 0 && this.#aheadMatcher.mayWant(record)),
      onKept: (records, from) => this.#matcher.lookAhead(records, from, lookAtListener),
    };
    this.#feeds = Array.from(
      { length: shardCount },
      (_, shard) => new ShardFeed({ shard, ring: rings[shard]!, readLog, counter, after, interest }),
    );
    this.#queues = this.#feeds.map((feed) => feed.queue);
    this.#deliveredThrough = after;
  }

  #pollSoon(): void {
    if (this.#isPollDue) return;
    this.#isPollDue = true;
    setImmediate(() => {
      this.#isPollDue = false;
      if (this.poll()) this.#pollSoon();
    });
  }

  #tellWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ stamp }) => compareStamps(stamp, this.#deliveredThrough) > 0);
    if (this.#waiters.length === waiters.length) return;
    for (const { stamp, run } of waiters) if (compareStamps(stamp, this.#deliveredThrough) <= 0) run();
  }

  #stop(to: "idle" | "closed"): void {
    const wasWatching = this.#state === "watching";
    this.#move(to);
    this.#feeds = [];
    this.#queues = [];
    this.#waiters = [];
    if (!wasWatching) return;
    this.#options.setWatching(false);
    this.#options.onIdle();
  }

  /** Delivers up to the line. Returns whether all of it was. */
  #deliver(line: Stamp): boolean {
    let changesLeft = DISPATCH_CHANGES_MAX;
    while (changesLeft > 0) {
      const first = firstCommit(this.#queues);
      if (first === undefined || compareStamps(first, line) > 0) {
        this.#deliveredThrough = laterStamp(this.#deliveredThrough, line);
        return true;
      }
      changesLeft -= this.#deliverCommit(first);
    }
    return false;
  }

  /** Returns how many changes the commit has. */
  #deliverCommit(stamp: Stamp): number {
    const records = takeCommitAt(this.#queues, stamp);
    if (compareStamps(stamp, this.#deliveredThrough) <= 0) {
      throw new KvCorruptError(
        `a commit of counter ${stamp.counter} came when all up to that had been delivered`,
      );
    }
    this.#deliveredThrough = stamp;
    this.#offerCommit(stamp, records, this.#matcher);
    return records.length;
  }

  /** Shows those who want each shard's order what the queues hold of whole commits. One poll has filled them with a bounded amount. */
  #deliverAhead(): void {
    for (const [shard, queue] of this.#queues.entries()) {
      for (let records = queue.showAhead(); records !== undefined; records = queue.showAhead())
        this.#offerCommit(stampOf(records[0]!), records, this.#aheadMatcher, shard);
    }
  }

  #offerAgain(seat: Seat): void {
    for (const [shard, queue] of this.#queues.entries()) {
      for (const records of queue.shownAhead()) {
        const changes = records
          .filter((record) => isWantedBy(seat, record))
          .map((record) => new CommittedChange(record));
        if (changes.length > 0 && seat.isOpen) seat.listener.offer(stampOf(records[0]!), changes, shard);
      }
    }
  }

  #offerCommit(stamp: Stamp, records: readonly ChangeRecord[], matcher: Matcher<Seat>, shard?: number): void {
    if (records.length === 1) this.#offerChange(stamp, records[0]!, matcher, shard);
    else this.#offerChanges(stamp, records, matcher, shard);
  }

  /** Hot path: most commits have one change. Its watchers get one array between them, and nothing is kept of it in their seats. */
  #offerChange(stamp: Stamp, record: ChangeRecord, matcher: Matcher<Seat>, shard?: number): void {
    let changes: CommittedChange[] | undefined;
    matcher.match(record, (seat) => {
      if (stamp.counter <= seat.afterCounter) return;
      changes ??= [new CommittedChange(record, stamp)];
      seat.listener.offer(stamp, changes, shard);
    });
  }

  #offerChanges(
    stamp: Stamp,
    records: readonly ChangeRecord[],
    matcher: Matcher<Seat>,
    shard?: number,
  ): void {
    const touched: Seat[] = [];
    for (const record of records) collectChange(stamp, record, matcher, touched);
    for (const seat of touched) {
      const changes = seat.changes!;
      seat.changes = undefined;
      if (seat.isOpen) seat.listener.offer(stamp, changes, shard);
    }
  }

  #hallOf(matcher: Matcher<Seat>): Hall {
    return {
      matcher,
      leave: (seat) => this.#leave(seat),
      offerAgain: (seat) => this.#offerAgain(seat),
    };
  }

  #leave(seat: Seat): void {
    if (!this.#seats.delete(seat)) return;
    seat.isOpen = false;
    seat.hall.matcher.remove(seat);
    if (seat.hall === this.#aheadHall) this.#aheadSeats--;
    if (this.#seats.size === 0 && this.#state === "watching") this.#stop("idle");
  }

  /** Takes all seats away at once, so that listeners that cancel meanwhile find nothing to do. */
  #takeSeats(): Seat[] {
    const seats = [...this.#seats];
    for (const seat of seats) {
      seat.isOpen = false;
      seat.hall.matcher.remove(seat);
    }
    this.#seats.clear();
    this.#aheadSeats = 0;
    return seats;
  }

  #move(to: DispatcherState): void {
    if (!MOVES[this.#state].includes(to))
      throw new KvCorruptError(`dispatcher moves from ${this.#state} to ${to}`);
    this.#state = to;
  }
}

/** Notes the change in the seats of those who want it, and which those are. */
function collectChange(stamp: Stamp, record: ChangeRecord, matcher: Matcher<Seat>, touched: Seat[]): void {
  let change: CommittedChange | undefined;
  matcher.match(record, (seat) => {
    if (stamp.counter <= seat.afterCounter) return;
    change ??= new CommittedChange(record, stamp);
    if (seat.changes === undefined) {
      seat.changes = [];
      touched.push(seat);
    }
    seat.changes.push(change);
  });
}

/** Reads the beginning of a seat's listener. */
function lookAtListener({ listener }: Seat): number {
  return listener.stats === undefined ? 0 : 1;
}

function isWantedBy(seat: Seat, record: ChangeRecord): boolean {
  let isWanted = false;
  seat.hall.matcher.match(record, (visited) => {
    if (visited === seat) isWanted = record.counter > seat.afterCounter;
  });
  return isWanted;
}
