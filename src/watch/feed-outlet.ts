/**
 * Owns a feed's consumer: hands over, one at a time, what is offered to it or waits in the feed's buffer, and then the end. Runs in the feed's
 * thread.
 *
 * Most feeds are idle most of the time: live, with nothing in the buffer and a consumer that waits. Such an outlet is *quiet*, and hands what is
 * offered straight to that consumer. The dispatcher's call meets no other object then, which counts: where a thousand feeds follow one key, or
 * ten thousand a key each, none of theirs is in the processor's cache. So the outlet, and not the feed behind it, is what the dispatcher knows.
 *
 * Invariants:
 * 1. One `next` waits at a time; it waits only when the buffer is empty.
 * 2. The consumer's code, its filter included, runs in no call of the dispatcher: those wake the outlet, and it serves in a microtask; or
 *    they settle the promise that the consumer waits for, and what hangs on that runs in a microtask as well.
 * 3. The ending comes behind the buffer, once; after that the consumer is told that it is done.
 * 4. While it is quiet the buffer is empty, the feed is live, and no ending has come. Whoever changes that calls `wake`, in the same turn.
 *
 * It does not know where items come from, and fills nothing: it says when the buffer is empty.
 */
import { ReadableStream } from "node:stream/web";
import { KvTypeError } from "../errors.js";
import type { FeedSettings } from "./change-options.js";
import type { CommittedChange } from "./committed-change.js";
import type { CommitListener } from "./dispatcher.js";
import type { BufferItem, FeedBuffer } from "./feed-buffer.js";
import type { FeedStats } from "./feed-stats.js";
import type { KvChange, KvChangeEvent } from "./kv-change.js";
import { formatPosition } from "./position.js";
import type { Stamp } from "./stamp.js";

/** How a feed ends, after what is in its buffer. */
export type Ending = { readonly kind: "done" } | { readonly kind: "error"; readonly error: unknown };

/** The feed, as its outlet knows it. It is offered what the outlet does not hand over itself. */
export interface OutletOwner extends CommitListener {
  readonly stats: () => FeedStats;
  /** Nothing waits any more. Returns whether the feed is live, so that what is offered from now on may be handed straight over. */
  bufferEmptied(): boolean;
  /** A change could not be decoded or filtered. */
  fail(error: unknown): void;
  /** The consumer wants no more. */
  close(): void;
}

/** Settles a `next`: with an item, with the end, or with a promise that has rejected. */
type Settle<E> = (result: IteratorResult<E, undefined> | Promise<never>) => void;

/** What settles the promise that was made last. Its maker takes it from here, so that no promise needs a function of its own to hand it out. */
let settleOfNewest: Settle<unknown>;
const keepSettle = (settle: Settle<unknown>): void => {
  settleOfNewest = settle;
};

/**
 * `{ value, done: false }` as V8 itself makes it. Settling a promise with an object looks for a `then` in it and in its prototype, but not
 * where the object is of that kind: a sixth of what a delivery costs.
 */
function resultOf<E>(item: E): IteratorResult<E, undefined> {
  return [item].values().next() as IteratorResult<E, undefined>;
}

export class FeedOutlet<E> implements CommitListener {
  // What a change that is handed straight over meets stands first, and so in the same lines of the cache.
  /** Whether changes are handed over just as the dispatcher offers them: all of them, in its order. */
  readonly #isPlain: boolean;
  /** Invariant 4. */
  #isQuiet = false;
  /** Of the `next` that waits. */
  #settle: Settle<E> | undefined;
  /** The consumer's filter. */
  readonly #where: ((change: KvChange) => unknown) | undefined;
  #delivered = 0;
  /** Of the change that was handed over last, if that came straight from the dispatcher; otherwise the counter is 0, and `#position` says it. */
  #counter = 0;
  #order = 0;
  #place = 0;
  #position: string | undefined;
  readonly #buffer: FeedBuffer;
  readonly #owner: OutletOwner;
  #isServeDue = false;
  #isIterated = false;
  /** What comes behind the buffer; `undefined` as long as the feed goes on. */
  #ending: Ending | undefined;

  constructor(buffer: FeedBuffer, { where, types, shownAs, order }: FeedSettings, owner: OutletOwner) {
    this.#buffer = buffer;
    this.#where = where;
    this.#owner = owner;
    this.#isPlain = where === undefined && types === undefined && shownAs === "value" && order === "commit";
  }

  /** Of what was handed over last; `undefined` before that, unless the owner has said where the feed begins. */
  get position(): string | undefined {
    if (this.#counter === 0) return this.#position;
    return formatPosition({ counter: this.#counter, order: this.#order }, this.#place);
  }

  set position(position: string) {
    this.#position = position;
    this.#counter = 0;
  }

  /** Changes that were handed over. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Whether the consumer waits for an item. */
  get isAwaited(): boolean {
    return this.#settle !== undefined;
  }

  /** As {@link ChangeFeed}'s iterator. */
  iterator(): AsyncIterableIterator<E, undefined> {
    if (this.#isIterated) {
      throw new KvTypeError(
        "KV_INVALID_OPTION",
        "this change feed is iterated already: open one feed for each consumer",
      );
    }
    this.#isIterated = true;
    return new FeedIterator(this);
  }

  /** As `ChangeFeed.stream`. */
  stream({ highWaterMark = 0 }: { readonly highWaterMark?: 0 | 1 }): ReadableStream<E> {
    if (highWaterMark !== 0 && highWaterMark !== 1)
      throw new KvTypeError("KV_INVALID_OPTION", `highWaterMark is 0 or 1, found ${String(highWaterMark)}`);
    const iterator = this.iterator();
    return new ReadableStream<E>(
      {
        pull: async (controller) => {
          const result = await iterator.next();
          if (result.done) controller.close();
          else controller.enqueue(result.value);
        },
        cancel: () => this.close(),
      },
      { highWaterMark },
    );
  }

  /** From the dispatcher. Hot path: nine in ten commits come to somebody who has nothing else to do. */
  offer(stamp: Stamp, changes: readonly CommittedChange[], shard?: number): void {
    if (this.#isPlain && changes.length === 1 && this.handOver(changes[0]!)) return;
    this.#owner.offer(stamp, changes, shard);
  }

  /**
   * Hands a change straight to a consumer that waits for it, past the buffer and without a microtask of its own.
   *
   * @returns False when it did not, and the change belongs in the buffer: nobody waits, or something comes before it, or it takes the
   * consumer's filter to know; or it can't be decoded, which is told when its turn comes.
   */
  handOver(change: CommittedChange): boolean {
    const settle = this.#settle;
    if (settle === undefined || !this.#isQuiet || this.#where !== undefined) return false;
    let event: KvChange;
    try {
      event = change.decode();
    } catch {
      return false;
    }
    this.#settle = undefined;
    // Numbers, and not the event's own text: what is old and points to what is young is one thing more for V8 to keep account of.
    this.#counter = change.counter;
    this.#order = change.order;
    this.#place = change.place;
    this.#delivered++;
    settle(resultOf(event as E));
    return true;
  }

  /** From the dispatcher. */
  end(): void {
    this.#owner.end();
  }

  /** From the dispatcher. */
  abort(error: unknown): void {
    this.#owner.abort(error);
  }

  stats(): FeedStats {
    return this.#owner.stats();
  }

  /** There is something new: it is served soon, and not within this call. */
  wake(): void {
    this.#isQuiet = false;
    if (this.#isServeDue || (this.#settle === undefined && !this.#buffer.isEmpty)) return;
    this.#isServeDue = true;
    queueMicrotask(() => {
      this.#isServeDue = false;
      this.#serve();
    });
  }

  /** Nothing will come any more behind what is in the buffer. Once. */
  finish(ending: Ending): void {
    this.#ending = ending;
    this.wake();
  }

  /** The consumer wants no more. */
  close(): void {
    this.#owner.close();
  }

  /** The next item, or the end. @throws KvTypeError KV_INVALID_OPTION while the last one is awaited. */
  next(): Promise<IteratorResult<E, undefined>> {
    if (this.#settle !== undefined) {
      return Promise.reject(
        new KvTypeError(
          "KV_INVALID_OPTION",
          "next() of a change feed was called before the last one settled",
        ),
      );
    }
    const result = new Promise<IteratorResult<unknown, undefined>>(keepSettle);
    this.#settle = settleOfNewest;
    if (!this.#isQuiet) this.#serve();
    return result as Promise<IteratorResult<E, undefined>>;
  }

  /** Gives the waiting consumer what there is: an item, or the end. */
  #serve(): void {
    const buffer = this.#buffer;
    while (this.#settle !== undefined) {
      const item = buffer.shift();
      if (item === undefined) break;
      this.#offerItem(item, this.#settle);
    }
    if (this.#settle !== undefined && this.#ending !== undefined)
      this.#handEnding(this.#settle, this.#ending);
    if (buffer.isEmpty) this.#isQuiet = this.#owner.bufferEmptied();
  }

  /**
   * Hands an item over, if the consumer's filter lets it pass. A change that can't be decoded or filtered is the last thing that the
   * consumer gets: what follows it would hide the gap.
   */
  #offerItem(item: BufferItem, settle: Settle<E>): void {
    try {
      const event: KvChangeEvent = item.kind === "notice" ? item.event : item.decode();
      const where = this.#where;
      if (item.kind !== "notice" && where !== undefined && !where(event as KvChange)) return;
      // The filter may have closed the feed, and served its ending.
      if (this.#settle !== settle) return;
      this.#settle = undefined;
      this.position = event.position;
      if (item.kind !== "notice") this.#delivered++;
      settle({ done: false, value: event as E });
    } catch (error) {
      this.#owner.fail(error);
    }
  }

  #handEnding(settle: Settle<E>, ending: Ending): void {
    this.#settle = undefined;
    this.#ending = { kind: "done" };
    settle(ending.kind === "done" ? { done: true, value: undefined } : Promise.reject(ending.error));
  }
}

/** What the consumer gets: it can take items, and give up the feed. */
class FeedIterator<E> implements AsyncIterableIterator<E, undefined> {
  readonly #outlet: FeedOutlet<E>;

  constructor(outlet: FeedOutlet<E>) {
    this.#outlet = outlet;
  }

  next(): Promise<IteratorResult<E, undefined>> {
    return this.#outlet.next();
  }

  async return(): Promise<IteratorResult<E, undefined>> {
    this.#outlet.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<E, undefined> {
    return this;
  }
}
