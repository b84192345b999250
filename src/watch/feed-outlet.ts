/**
 * Owns a feed's consumer: hands over, one at a time, what waits in the feed's buffer, and then the end. Runs in the feed's thread.
 *
 * Invariants:
 * 1. One `next` waits at a time; it waits only when the buffer is empty.
 * 2. The consumer's code, its filter included, runs in no call of the dispatcher: those wake the outlet, and it serves in a microtask; or
 *    they settle the promise that the consumer waits for, and what hangs on that runs in a microtask as well.
 * 3. The ending comes behind the buffer, once; after that the consumer is told that it is done.
 *
 * It does not know where items come from, and fills nothing: it says when the buffer is empty.
 */
import { ReadableStream } from "node:stream/web";
import { KvTypeError } from "../errors.js";
import type { CommittedChange } from "./committed-change.js";
import type { BufferItem, FeedBuffer } from "./feed-buffer.js";
import type { KvChange, KvChangeEvent } from "./kv-change.js";

/** How a feed ends, after what is in its buffer. */
export type Ending = { readonly kind: "done" } | { readonly kind: "error"; readonly error: unknown };

/** The feed, as its outlet knows it. */
export interface OutletOwner {
  /** Nothing waits any more. */
  bufferEmptied(): void;
  /** A change could not be decoded or filtered. */
  fail(error: unknown): void;
  /** The consumer wants no more. */
  close(): void;
}

interface Waiter<E> {
  readonly resolve: (result: IteratorResult<E, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

export class FeedOutlet<E> {
  readonly #buffer: FeedBuffer;
  /** The consumer's filter. */
  readonly #where: ((change: KvChange) => unknown) | undefined;
  readonly #owner: OutletOwner;
  #waiter: Waiter<E> | undefined;
  #isServeDue = false;
  #isIterated = false;
  /** What comes behind the buffer; `undefined` as long as the feed goes on. */
  #ending: Ending | undefined;
  #delivered = 0;
  /** Of what was handed over last; `undefined` before that, unless the owner says where the feed begins. */
  position: string | undefined;

  constructor(buffer: FeedBuffer, where: ((change: KvChange) => unknown) | undefined, owner: OutletOwner) {
    this.#buffer = buffer;
    this.#where = where;
    this.#owner = owner;
  }

  /** Changes that were handed over. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Whether the consumer waits for an item. */
  get isAwaited(): boolean {
    return this.#waiter !== undefined;
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

  /**
   * Hands a change straight to a consumer that waits for it. Hot path: nine in ten deliveries come to somebody who has nothing else to do, and go
   * through neither the buffer nor a microtask of their own.
   *
   * @returns False when it did not, and the change belongs in the buffer: nobody waits, or something comes before it, or it takes the
   * consumer's filter to know; or it can't be decoded, which is told when its turn comes.
   */
  handOver(change: CommittedChange): boolean {
    const waiter = this.#waiter;
    if (waiter === undefined || this.#where !== undefined || !this.#buffer.isEmpty) return false;
    let event: KvChange;
    try {
      event = change.decode();
    } catch {
      return false;
    }
    this.#waiter = undefined;
    this.position = event.position;
    this.#delivered++;
    waiter.resolve({ done: false, value: event as E });
    return true;
  }

  /** There is something new: it is served soon, and not within this call. */
  wake(): void {
    if (this.#isServeDue || (this.#waiter === undefined && !this.#buffer.isEmpty)) return;
    this.#isServeDue = true;
    queueMicrotask(() => {
      this.#isServeDue = false;
      this.#serve();
    });
  }

  /** Nothing will come any more behind what is in the buffer. Once. */
  end(ending: Ending): void {
    this.#ending = ending;
    this.wake();
  }

  /** The consumer wants no more. */
  close(): void {
    this.#owner.close();
  }

  /** The next item, or the end. @throws KvTypeError KV_INVALID_OPTION while the last one is awaited. */
  next(): Promise<IteratorResult<E, undefined>> {
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

  /** Gives the waiting consumer what there is: an item, or the end. */
  #serve(): void {
    const buffer = this.#buffer;
    while (this.#waiter !== undefined) {
      const item = buffer.shift();
      if (item === undefined) break;
      this.#offerItem(item, this.#waiter);
    }
    if (this.#waiter !== undefined && this.#ending !== undefined)
      this.#handEnding(this.#waiter, this.#ending);
    if (buffer.isEmpty) this.#owner.bufferEmptied();
  }

  /**
   * Hands an item over, if the consumer's filter lets it pass. A change that can't be decoded or filtered is the last thing that the
   * consumer gets: what follows it would hide the gap.
   */
  #offerItem(item: BufferItem, waiter: Waiter<E>): void {
    try {
      const event: KvChangeEvent = item.kind === "notice" ? item.event : item.decode();
      const where = this.#where;
      if (item.kind !== "notice" && where !== undefined && !where(event as KvChange)) return;
      // The filter may have closed the feed, and served its ending.
      if (this.#waiter !== waiter) return;
      this.#waiter = undefined;
      this.position = event.position;
      if (item.kind !== "notice") this.#delivered++;
      waiter.resolve({ done: false, value: event as E });
    } catch (error) {
      this.#owner.fail(error);
    }
  }

  #handEnding(waiter: Waiter<E>, ending: Ending): void {
    this.#waiter = undefined;
    this.#ending = { kind: "done" };
    if (ending.kind === "done") waiter.resolve({ done: true, value: undefined });
    else waiter.reject(ending.error);
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
