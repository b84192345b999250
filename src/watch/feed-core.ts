/**
 * Owns one change feed: its state, what it takes and what it reads. Runs in the thread that opened it.
 *
 * The naive feed queues what its consumer has not read yet, and grows until the process dies, or drops what does not fit, and
 * lies. This one holds a bounded buffer. When a commit does not fit, it is `behind`: it takes nothing more and remembers one number,
 * the last stamp before that commit. When the consumer has emptied the buffer, it is `catching-up`: it reads the shards' logs from that
 * number on in bounded slices, one a turn of the event loop, until it has reached the dispatcher, and is `live` again. A feed that
 * begins in the past begins as `catching-up`; one that begins with the state reads that first and is `behind` then.
 *
 * Why neither a gap nor a duplicate comes of it. Let D be the dispatcher's `deliveredThrough`: every commit up to D has been
 * offered, none above has; and every commit up to D is in the logs. While `live`, the feed has taken every offered commit that it
 * wants. The first one that it can't take, R, moves it to `behind` with `resume` just before R: it has all up to `resume`, and nothing above.
 * A slice takes from the logs commits above `resume` and up to D, in order. If it stops at a commit that does not fit, `resume` is just
 * before that one, which is the same situation again. If it stops because nothing is left up to D, the feed has all up to D and
 * nothing above. A slice is one synchronous step on the dispatcher's own thread, so D has not moved meanwhile: from here on it
 * is offered every commit above D. That is what `live` means. One thing is to be waited for: a subscription is offered only commits that
 * begin after it, so a feed that reads the log before D has come to that line (`after`) waits until it has.
 *
 * In each shard's order the same holds with a line for each shard: `ahead` is the last commit of each that was taken. When the feed falls
 * behind, the log is read from D on, of each shard from `ahead` on; when it has met D, what the dispatcher has shown ahead of D meanwhile is
 * offered once more.
 *
 * Invariants:
 * 1. The consumer gets every wanted commit after the feed's start, once, in order, the changes of a commit one after the other; what a
 *    policy drops is announced in its place, but for superseded changes with `latest`.
 * 2. In memory are at most the buffer's bounds, or one commit; and while catching up, one slice of log, or one chunk of the state.
 * 3. The feed is `closed` for good. What was in the buffer then is still handed over, unless the consumer itself ended the feed.
 *
 * It sets no timer but that of progress events, and does not hold the process: the dispatcher does, as long as the feed listens.
 */
import type { ChangeRecord } from "../codec/change-record.js";
import { KvCorruptError, KvHistoryTrimmedError, KvWatchOverflowError } from "../errors.js";
import type { FeedSettings } from "./change-options.js";
import { CommittedChange } from "./committed-change.js";
import type { CommitSource, Subscription } from "./dispatcher.js";
import { FeedBuffer } from "./feed-buffer.js";
import { type Ending, FeedOutlet, type OutletOwner } from "./feed-outlet.js";
import type { FeedState, FeedStats } from "./feed-stats.js";
import { type InitialChange, InitialRead } from "./initial-read.js";
import type { LogReader } from "./log-reader.js";
import type { EncodedSelector } from "./matcher.js";
import {
  formatPosition,
  formatStamp,
  type Position,
  parsePosition,
  positionBehind,
  START_POSITION,
  WHOLE_COMMIT,
} from "./position.js";
import { RecordFilter } from "./record-filter.js";
import { compareStamps, FIRST_STAMP, laterStamp, type Stamp, stampBefore, stampOf } from "./stamp.js";
import { publishCatchUp, publishLag } from "./watch-diagnostics.js";

const MOVES: Record<FeedState, readonly FeedState[]> = {
  live: ["behind", "closed"],
  behind: ["catching-up", "closed"],
  "catching-up": ["live", "behind", "closed"],
  closed: [],
};

export class FeedCore<E> implements OutletOwner {
  readonly #source: CommitSource;
  readonly #selectors: readonly EncodedSelector[];
  readonly #settings: FeedSettings;
  readonly #buffer: FeedBuffer;
  /** What gives its consumer changes, and what the dispatcher offers them to. */
  readonly outlet: FeedOutlet<E>;
  #subscription: Subscription;
  /** The dispatcher has ended the subscription because the log has lost what it needed: a new one is needed to go on. */
  #isCutOff = false;
  /** Where the feed began, if it began with what comes. */
  readonly #start: Stamp;
  #state: FeedState;
  /** While `behind` or `catching-up`: all up to it was taken. */
  #resume: Stamp;
  /** Where the feed begins: of that commit, changes up to the place are not wanted. */
  #begin: Position | undefined;
  /** The log's oldest position is wanted, and nothing was read from it yet. */
  #isEarliest = false;
  /** While `catching-up`: one of them. */
  #log: LogReader | undefined;
  #initial: InitialRead | undefined;
  /** What the log has lost, until the state that takes its place is there. */
  #unknownFrom: Stamp | undefined;
  #filter: RecordFilter | undefined;
  #progressTimer: NodeJS.Timeout | undefined;
  #isProgressDue = false;
  #progress: Stamp = FIRST_STAMP;
  #unwantPrevious: (() => void) | undefined;
  #onAbort: (() => void) | undefined;
  #laggingSinceMs = 0;
  #dropped = 0;
  /** Changes that were offered and not taken since the feed was live last. */
  #untaken = 0;
  /** In each shard's order: of each shard, the last commit that was taken ahead. */
  #ahead: Stamp[] | undefined;
  #catchUps = 0;

  /** @throws KvClosedError */
  constructor(source: CommitSource, selectors: readonly EncodedSelector[], settings: FeedSettings) {
    this.#source = source;
    this.#selectors = selectors;
    this.#settings = settings;
    this.#buffer = new FeedBuffer(settings.bufferBytesMax, settings.bufferCountMax);
    this.outlet = new FeedOutlet<E>(this.#buffer, settings, this);
    this.#subscription = this.#subscribe();
    this.#resume = this.#subscription.after;
    this.#start = this.#resume;
    this.#state = "live";
    if (settings.initial || settings.since !== "now") this.#beginInThePast(settings);
    if (settings.shownAs === "previous") this.#unwantPrevious = source.wantPrevious();
    if (settings.progressMs !== undefined)
      this.#progressTimer = setInterval(() => this.#sayProgress(), settings.progressMs).unref();
    if (settings.signal !== undefined) {
      this.#onAbort = () => this.fail(settings.signal?.reason);
      settings.signal.addEventListener("abort", this.#onAbort);
    }
  }

  get state(): FeedState {
    return this.#state;
  }

  /** How the feed is doing now. */
  stats(): FeedStats {
    return {
      state: this.#state,
      bufferedChanges: this.#buffer.count,
      bufferedBytes: this.#buffer.bytes,
      lagChanges: this.#buffer.count + this.#untaken,
      lagMs: this.#lagMs,
      delivered: this.outlet.delivered,
      dropped: this.#dropped,
      catchUps: this.#catchUps,
      position: this.outlet.position ?? positionBehind(this.#start),
    };
  }

  close(): void {
    this.#buffer.clear();
    this.#finish({ kind: "done" });
  }

  /** The store is closed. */
  end(): void {
    this.#finish({ kind: "done" });
  }

  // ── the consumer's side ──────────────────────────────────────────────────────────────────────────

  /** The consumer waits, or has taken all there was. A feed that is not live reads on then. */
  bufferEmptied(): boolean {
    if (this.#state !== "live") {
      this.#readOn();
      return false;
    }
    this.#laggingSinceMs = 0;
    return true;
  }

  fail(error: unknown): void {
    this.#buffer.clear();
    this.#finish({ kind: "error", error });
  }

  // ── the dispatcher's side ────────────────────────────────────────────────────────────────────────

  #subscribe(): Subscription {
    return this.#source.listen(this.#selectors, this.outlet, "later", this.#settings.order);
  }

  offer(stamp: Stamp, offered: readonly CommittedChange[], shard?: number): void {
    const { types, shownAs } = this.#settings;
    const wanted = types === undefined ? offered : offered.filter((change) => types.has(change.type));
    if (wanted.length === 0) return;
    if (this.#state !== "live") {
      this.#untaken += wanted.length;
      return;
    }
    if (shard === undefined) {
      if (wanted.length === 1 && this.outlet.handOver(wanted[0]!.as(shownAs))) return;
      this.#takeOffered(
        stamp,
        wanted.map((change) => change.as(shownAs)),
      );
    } else this.#offerAhead(stamp, wanted, shard);
  }

  #offerAhead(stamp: Stamp, wanted: readonly CommittedChange[], shard: number): void {
    const taken = this.#ahead?.[shard];
    if (taken !== undefined && compareStamps(stamp, taken) <= 0) return;
    const position = positionBehind(this.#handedThrough);
    this.#takeOffered(
      stamp,
      wanted.map((change) => change.ahead(this.#settings.shownAs, position)),
    );
    if (this.#state !== "live") return;
    this.#ahead ??= [];
    this.#ahead[shard] = stamp;
  }

  #takeOffered(stamp: Stamp, changes: readonly CommittedChange[]): void {
    this.#noteLag();
    if (!this.#buffer.take(changes)) this.#overflow(stamp, changes);
    this.outlet.wake();
  }

  /** While `live`: everything up to it, of all shards, was taken. */
  get #handedThrough(): Stamp {
    return laterStamp(this.#source.deliveredThrough, this.#subscription.after);
  }

  /** While `live`: where to go on when a commit can't be taken. */
  #lineBefore(refused: Stamp): Stamp {
    return this.#settings.order === "shard" ? this.#handedThrough : stampBefore(refused);
  }

  #overflow(stamp: Stamp, changes: readonly CommittedChange[]): void {
    const { overflow, bufferCountMax, bufferBytesMax } = this.#settings;
    const line = this.#lineBefore(stamp);
    publishLag(() => ({ overflow, bufferedChanges: this.#buffer.count, bufferedBytes: this.#buffer.bytes }));
    if (overflow === "catch-up") this.#missFirst(line, changes);
    else if (overflow === "latest") {
      if (!this.#takeCompacted(changes)) this.#missFirst(line, changes);
    } else if (overflow === "drop-oldest") {
      this.#dropped += this.#buffer.takeNewest(changes);
    } else if (overflow === "drop-newest") {
      this.#dropped += changes.length;
      this.#buffer.noteLost(changes);
    } else {
      const after = formatStamp(line);
      const error = new KvWatchOverflowError(after, bufferCountMax, bufferBytesMax);
      this.#finish({ kind: "error", error });
    }
  }

  #takeCompacted(changes: readonly CommittedChange[]): boolean {
    this.#dropped += this.#buffer.compact(changes);
    return this.#buffer.take(changes);
  }

  #missFirst(line: Stamp, changes: readonly CommittedChange[]): void {
    this.#untaken = changes.length;
    this.#fallBehind(line);
  }

  #fallBehind(resume: Stamp): void {
    this.#resume = resume;
    this.#log = undefined;
    this.#move("behind");
  }

  /** The dispatcher has failed. Where the log had lost what it needed, this feed may need less, or the state instead. */
  abort(error: unknown): void {
    if (!(error instanceof KvHistoryTrimmedError)) {
      this.#finish({ kind: "error", error });
      return;
    }
    this.#isCutOff = true;
    if (this.#state === "live") this.#resume = this.#handedThrough;
    // The log is read anew, since the reader may wait for a delivery that does not come any more.
    this.#log = undefined;
    if (this.#state === "live" || (this.#state === "catching-up" && this.#initial === undefined))
      this.#move("behind");
    this.outlet.wake();
  }

  // ── reading what was: the log, the state ─────────────────────────────────────────────────────────

  #beginInThePast({ initial, since }: FeedSettings): void {
    this.#move("behind");
    if (initial) {
      this.outlet.position = START_POSITION;
      this.#initial = this.#readInitial();
    } else if (typeof since === "object") {
      this.#begin = since;
      this.#resume = since.place === WHOLE_COMMIT ? since.stamp : stampBefore(since.stamp);
      this.outlet.position = formatPosition(since.stamp, since.place);
    } else {
      this.#isEarliest = true;
      this.#resume = FIRST_STAMP;
      this.outlet.position = START_POSITION;
    }
    this.#readOn();
  }

  /** The buffer is empty. The state is read when the consumer asks: its snapshot must not wait for somebody who does not. */
  #readOn(): void {
    if (this.#state === "closed") return;
    if (this.#isCutOff) this.#subscribeAgain();
    if (this.#state === "behind") this.#beginCatchUp();
    if (this.#state === "catching-up" && this.outlet.isAwaited) this.#initial?.demand();
  }

  #subscribeAgain(): void {
    this.#isCutOff = false;
    this.#subscription.cancel();
    this.#subscription = this.#subscribe();
    this.#initial?.awaitDelivery();
  }

  #beginCatchUp(): void {
    this.#move("catching-up");
    if (this.#initial === undefined) this.#readLogFrom(this.#resume);
  }

  #readLogFrom(resume: Stamp): void {
    this.#resume = resume;
    this.#log = this.#source.logReader(resume, this.#ahead);
    this.#scheduleSlice();
  }

  /** Each slice waits for its turn: otherwise a consumer that is always served would starve timers and other feeds. */
  #scheduleSlice(): void {
    this.#source.schedule(() => this.#runSlice());
  }

  #runSlice(): number {
    const log = this.#log;
    if (this.#state !== "catching-up" || log === undefined) return 0;
    log.beginSlice();
    try {
      this.#readSlice(log);
    } catch (error) {
      this.#logFailed(error);
    }
    this.outlet.wake();
    return log.sliceBytes;
  }

  /** The synchronous step of the proof in the header. */
  #readSlice(log: LogReader): void {
    const through = this.#source.deliveredThrough;
    let records = log.next(through);
    for (; typeof records !== "string"; records = log.next(through)) {
      this.#isEarliest = false;
      const stamp = stampOf(records[0]!);
      if (!this.#takeFromLog(records)) {
        this.#fallBehind(stampBefore(stamp));
        return;
      }
      this.#resume = stamp;
      if (this.#isProgressDue) this.#noteProgress(stamp);
    }
    if (records === "paused") this.#scheduleSlice();
    else this.#meet(through);
  }

  /** Nothing is left up to `through`. */
  #meet(through: Stamp): void {
    const { after } = this.#subscription;
    if (compareStamps(through, after) < 0) {
      this.#source.onDelivered(after, () => this.#scheduleSlice());
      return;
    }
    this.#log = undefined;
    this.#filter = undefined;
    this.#begin = undefined;
    this.#isEarliest = false;
    this.#catchUps++;
    this.#untaken = 0;
    this.#move("live");
    if (this.#settings.order === "shard") this.#subscription.offerAgain();
    publishCatchUp(() => ({
      catchUps: this.#catchUps,
      lagMs: this.#lagMs,
      versionstamp: formatStamp(through),
    }));
  }

  #takeFromLog(records: readonly ChangeRecord[]): boolean {
    const { shownAs, overflow } = this.#settings;
    const wanted = records.filter((record) => this.#wants(record));
    if (wanted.length === 0) return true;
    const changes = wanted.map((record) => new CommittedChange(record).as(shownAs));
    const isTaken = this.#buffer.take(changes) || (overflow === "latest" && this.#takeCompacted(changes));
    if (isTaken) this.#untaken = Math.max(0, this.#untaken - changes.length);
    return isTaken;
  }

  #wants(record: ChangeRecord): boolean {
    const begin = this.#begin;
    if (begin !== undefined && compareStamps(record, begin.stamp) === 0 && record.place <= begin.place)
      return false;
    this.#filter ??= new RecordFilter(this.#selectors, this.#settings.types);
    return this.#filter.wants(record);
  }

  #logFailed(error: unknown): void {
    const isTrimmed = error instanceof KvHistoryTrimmedError;
    const oldest = isTrimmed ? parsePosition(error.oldest)?.stamp : undefined;
    if (this.#isEarliest && oldest !== undefined && compareStamps(oldest, this.#resume) > 0)
      this.#readLogFrom(oldest);
    else if (isTrimmed && this.#settings.onTrimmed === "resync") this.#resync();
    else this.#finish({ kind: "error", error });
  }

  /** The state takes the place of what the log has lost. */
  #resync(): void {
    this.#unknownFrom = this.#resume;
    this.#log = undefined;
    this.#initial = this.#readInitial();
  }

  #readInitial(): InitialRead {
    return new InitialRead({
      source: this.#source,
      selectors: this.#selectors,
      shownAs: this.#settings.shownAs,
      onChunk: (changes, isLast) => this.#takeInitial(changes, isLast),
      onError: (error) => this.#initialFailed(error),
    });
  }

  /** The log may lose what the state still needed of it: then there is a newer state to begin with. */
  #initialFailed(error: unknown): void {
    const isTrimmed = error instanceof KvHistoryTrimmedError && this.#settings.onTrimmed === "resync";
    if (!isTrimmed || this.#initial?.hasBegun === true) {
      this.#finish({ kind: "error", error });
      return;
    }
    this.#initial = this.#readInitial();
    this.outlet.wake();
  }

  #takeInitial(changes: readonly InitialChange[], isLast: boolean): void {
    const through = this.#initial!.through;
    this.#noteLag();
    if (this.#unknownFrom !== undefined) this.#buffer.noteUnknown(this.#unknownFrom, through, START_POSITION);
    this.#unknownFrom = undefined;
    this.#buffer.takeInitial(changes);
    if (isLast) {
      this.#initial = undefined;
      this.#begin = undefined;
      this.#resume = through;
      this.#progress = through;
      this.#buffer.noteProgress(through);
      this.#move("behind");
    }
    this.outlet.wake();
  }

  // ── progress and lag ─────────────────────────────────────────────────────────────────────────────

  /** A `live` feed has taken everything up to what was delivered; one that reads the log says so at the next commit. */
  #sayProgress(): void {
    const through = this.#source.deliveredThrough;
    if (this.#state !== "live") this.#isProgressDue = true;
    else if (compareStamps(through, this.#subscription.after) >= 0) this.#noteProgress(through);
    this.outlet.wake();
  }

  #noteProgress(through: Stamp): void {
    this.#isProgressDue = false;
    if (compareStamps(through, this.#progress) <= 0) return;
    this.#progress = through;
    this.#buffer.noteProgress(through);
  }

  get #lagMs(): number {
    return this.#laggingSinceMs === 0 ? 0 : performance.now() - this.#laggingSinceMs;
  }

  #noteLag(): void {
    if (this.#laggingSinceMs === 0) this.#laggingSinceMs = performance.now();
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────

  #finish(ending: Ending): void {
    if (this.#state === "closed") return;
    this.#move("closed");
    this.outlet.finish(ending);
    this.#log = undefined;
    this.#filter = undefined;
    this.#initial?.end();
    this.#initial = undefined;
    this.#unwantPrevious?.();
    clearInterval(this.#progressTimer);
    this.#subscription.cancel();
    if (this.#onAbort !== undefined) this.#settings.signal?.removeEventListener("abort", this.#onAbort);
  }

  #move(to: FeedState): void {
    if (!MOVES[this.#state].includes(to))
      throw new KvCorruptError(`change feed moves from ${this.#state} to ${to}`);
    this.#state = to;
    if (to === "behind") this.#noteLag();
  }
}
