/**
 * Owns one change feed: what `kv.changes` returns. Runs in the thread that opened it.
 *
 * The naive feed queues what its consumer has not read yet, and grows until the process dies, or drops what does not fit, and
 * lies. This one holds a bounded buffer. When a commit does not fit, it is `behind`: it takes nothing more and remembers one number,
 * the last stamp before that commit. When the consumer has emptied the buffer, it is `catching-up`: it reads the shards' logs from that
 * number on in bounded slices, one a turn of the event loop, until it has reached the dispatcher, and is `live` again.
 *
 * Why neither a gap nor a duplicate comes of it. Let D be the dispatcher's `deliveredThrough`: every commit up to D has been
 * offered, none above has; and every commit up to D is in the logs. While `live`, the feed has taken every offered commit that it
 * wants. The first one that it can't take, R, moves it to `behind` with `resume` just before R: it has all up to `resume`, and nothing above.
 * A slice takes from the logs commits above `resume` and up to D, in order. If it stops at a commit that does not fit, `resume` is just
 * before that one, which is the same situation again. If it stops because nothing is left up to D, the feed has all up to D and
 * nothing above. A slice is one synchronous step on the dispatcher's own thread, so D has not moved meanwhile: from here on it
 * is offered every commit above D. That is what `live` means.
 *
 * Invariants:
 * 1. The consumer gets every wanted commit after the feed's start, once, in order, the changes of a commit one after the other.
 * 2. In memory are at most the buffer's bounds, or one commit; and while catching up, one slice of log.
 * 3. The feed is `closed` for good. What was in the buffer then is still handed over, unless the consumer itself ended the feed.
 * 4. One `next` waits at a time; it waits only when the buffer is empty.
 *
 * It sets no timer and does not hold the process: the dispatcher does, as long as the feed listens.
 */
import type { ChangeRecord } from "../codec/change-record.js";
import { KvCorruptError, KvTypeError } from "../errors.js";
import { checkChangesOptions, encodeSelectors, type FeedBounds } from "./change-selectors.js";
import { CommittedChange } from "./committed-change.js";
import type { CommitListener, CommitSource, Subscription } from "./dispatcher.js";
import { FeedBuffer } from "./feed-buffer.js";
import type { ChangeSelector, ChangesOptions, KvChange } from "./kv-change.js";
import type { LogReader } from "./log-reader.js";
import { type EncodedSelector, Matcher } from "./matcher.js";
import { laterStamp, type Stamp, stampBefore } from "./stamp.js";

/** Where a feed stands: fed as commits happen; with a full buffer; reading the log; at its end. */
export type FeedState = "live" | "behind" | "catching-up" | "closed";

const MOVES: Record<FeedState, readonly FeedState[]> = {
  live: ["behind", "closed"],
  behind: ["catching-up", "closed"],
  "catching-up": ["live", "behind", "closed"],
  closed: [],
};

/** How a feed ends, after what is in its buffer. */
type Ending = { readonly kind: "done" } | { readonly kind: "error"; readonly error: unknown };

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<KvChange<T>, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

/** Every feed has a matcher of its own for the log: who is visited does not matter there. */
const WANTED = true;

/**
 * Opens a feed of the changes of `selectors`.
 *
 * @throws KvTypeError KV_INVALID_SELECTOR, KV_INVALID_OPTION or the codes of a bad key; KvClosedError; the signal's reason, if it
 * was aborted already. Nothing was opened then.
 */
export function openChangeFeed<T = unknown>(
  dispatcher: CommitSource,
  selectors: ChangeSelector | readonly ChangeSelector[],
  options: ChangesOptions = {},
): ChangeFeed<T> {
  const encoded = encodeSelectors(selectors);
  const bounds = checkChangesOptions(options);
  bounds.signal?.throwIfAborted();
  return new ChangeFeed<T>(dispatcher, encoded, bounds);
}

/**
 * The changes of some keys, as they are committed.
 *
 * *Order*: that of the whole store; the changes of one commit come one directly after the other. *Lag*: a consumer that is slower than
 * the writers never slows them and loses nothing: the feed falls `behind` and catches up from the change log.
 * *Closing*: `close()`, leaving the loop, or aborting the signal ends the feed at once and drops what is in its buffer; when the
 * store is closed, what is in the buffer still comes, then the end. The versionstamp of the last change received says where it ended.
 */
export class ChangeFeed<T = unknown> implements AsyncIterable<KvChange<T>> {
  readonly #dispatcher: CommitSource;
  readonly #selectors: readonly EncodedSelector[];
  readonly #buffer: FeedBuffer;
  readonly #subscription: Subscription;
  readonly #signal: AbortSignal | undefined;
  #state: FeedState = "live";
  /** While `behind` or `catching-up`: all up to it was taken. */
  #resume: Stamp;
  /** While `catching-up`. */
  #log: LogReader | undefined;
  #wanted: Matcher<typeof WANTED> | undefined;
  #waiter: Waiter<T> | undefined;
  /** While `closed`: what comes behind the buffer. */
  #ending: Ending = { kind: "done" };
  #isIterated = false;

  /** Use {@link openChangeFeed}. */
  constructor(dispatcher: CommitSource, selectors: readonly EncodedSelector[], bounds: FeedBounds) {
    this.#dispatcher = dispatcher;
    this.#selectors = selectors;
    this.#buffer = new FeedBuffer(bounds.bufferBytesMax, bounds.bufferCountMax);
    this.#signal = bounds.signal;
    this.#subscription = dispatcher.listen(selectors, this.#listener(), "later");
    this.#resume = this.#subscription.after;
    this.#signal?.addEventListener("abort", this.#onAbort);
  }

  get state(): FeedState {
    return this.#state;
  }

  /** Ends the feed and drops what is in its buffer. Doing it twice does nothing. */
  close(): void {
    this.#buffer.clear();
    this.#end({ kind: "done" });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /**
   * The one iterator of this feed: two would take each other's changes.
   *
   * @throws KvTypeError KV_INVALID_OPTION when it was asked for before; that iteration goes on.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<KvChange<T>, undefined> {
    if (this.#isIterated) {
      throw new KvTypeError(
        "KV_INVALID_OPTION",
        "this change feed is iterated already: open one feed for each consumer",
      );
    }
    this.#isIterated = true;
    const iterator: AsyncIterableIterator<KvChange<T>, undefined> = {
      next: () => this.#next(),
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  // ── the consumer's side ──────────────────────────────────────────────────────────────────────────

  #next(): Promise<IteratorResult<KvChange<T>, undefined>> {
    if (this.#waiter !== undefined) {
      return Promise.reject(
        new KvTypeError(
          "KV_INVALID_OPTION",
          "next() of a change feed was called before the last one settled",
        ),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#serve();
    });
  }

  /** Gives the waiting consumer what there is: a change, or the end. With an empty buffer a feed that is behind begins to catch up. */
  #serve(): void {
    if (this.#waiter !== undefined) this.#serveWaiter(this.#waiter);
    if (this.#state === "behind" && this.#buffer.count === 0) this.#beginCatchUp();
  }

  #serveWaiter(waiter: Waiter<T>): void {
    const change = this.#buffer.shift();
    if (change === undefined && this.#state !== "closed") return;
    this.#waiter = undefined;
    if (change !== undefined) this.#hand(change, waiter);
    else if (this.#ending.kind === "done") waiter.resolve({ done: true, value: undefined });
    else {
      waiter.reject(this.#ending.error);
      this.#ending = { kind: "done" };
    }
  }

  /** A change that can't be decoded is the last thing that the consumer gets: what follows it would hide the gap. */
  #hand(change: CommittedChange, waiter: Waiter<T>): void {
    try {
      waiter.resolve({ done: false, value: change.decode() as KvChange<T> });
    } catch (error) {
      waiter.reject(error);
      this.close();
    }
  }

  // ── the dispatcher's side ────────────────────────────────────────────────────────────────────────

  #listener(): CommitListener {
    return {
      offer: (stamp, changes) => this.#offer(stamp, changes),
      end: () => this.#end({ kind: "done" }),
      abort: (error) => this.#end({ kind: "error", error }),
    };
  }

  #offer(stamp: Stamp, changes: readonly CommittedChange[]): void {
    if (this.#state !== "live") return;
    if (this.#buffer.take(changes)) this.#serve();
    else this.#fallBehind(stamp);
  }

  #fallBehind(refused: Stamp): void {
    this.#resume = laterStamp(this.#subscription.after, stampBefore(refused));
    this.#log = undefined;
    this.#move("behind");
  }

  // ── catching up ──────────────────────────────────────────────────────────────────────────────────

  #beginCatchUp(): void {
    this.#move("catching-up");
    this.#log = this.#dispatcher.logReader(this.#resume);
    this.#scheduleSlice();
  }

  /** Each slice has a turn of the event loop for itself: otherwise a consumer that is always served would starve timers. */
  #scheduleSlice(): void {
    setImmediate(() => this.#runSlice());
  }

  #runSlice(): void {
    if (this.#state !== "catching-up") return;
    try {
      this.#readSlice(this.#log!);
    } catch (error) {
      this.#end({ kind: "error", error });
    }
    this.#serve();
  }

  /** The synchronous step of the proof in the header. */
  #readSlice(log: LogReader): void {
    log.beginSlice();
    const through = this.#dispatcher.deliveredThrough;
    for (;;) {
      const records = log.next(through);
      if (records === "paused" || records === "met") {
        if (records === "paused") this.#scheduleSlice();
        else this.#goLive();
        return;
      }
      if (!this.#takeFromLog(records)) {
        this.#fallBehind(records[0]!);
        return;
      }
    }
  }

  #takeFromLog(records: readonly ChangeRecord[]): boolean {
    const wanted = records.filter((record) => this.#wants(record));
    return wanted.length === 0 || this.#buffer.take(wanted.map((record) => new CommittedChange(record)));
  }

  #goLive(): void {
    this.#log = undefined;
    this.#move("live");
  }

  #wants(record: ChangeRecord): boolean {
    if (this.#wanted === undefined) {
      this.#wanted = new Matcher();
      this.#wanted.add(WANTED, this.#selectors);
    }
    let isWanted = false;
    this.#wanted.match(record, () => {
      isWanted = true;
    });
    return isWanted;
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────

  readonly #onAbort = (): void => {
    this.#buffer.clear();
    this.#end({ kind: "error", error: this.#signal?.reason });
  };

  #end(ending: Ending): void {
    if (this.#state === "closed") return;
    this.#move("closed");
    this.#ending = ending;
    this.#log = undefined;
    this.#wanted = undefined;
    this.#subscription.cancel();
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#serve();
  }

  #move(to: FeedState): void {
    if (!MOVES[this.#state].includes(to))
      throw new KvCorruptError(`change feed moves from ${this.#state} to ${to}`);
    this.#state = to;
  }
}
