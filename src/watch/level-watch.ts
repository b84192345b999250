/**
 * Owns `watch(keys)`: the current state of some keys, and again whenever one of them has moved. Runs in the thread that asked.
 *
 * It is level-triggered: it keeps one flag, not a queue. A commit that touches one of the keys raises the flag; when the consumer has
 * room, the flag is lowered, all keys are read in one consistent cut, and the result is emitted if some versionstamp differs from what
 * was emitted last. States in between may be skipped; the newest is not.
 *
 * Why no change is missed. It listens before its first read, also to commits that were in flight (see the dispatcher's *Start*). A
 * commit that is offered after the flag was lowered raises it again, and is read by the next round. A commit that was offered
 * before the flag was lowered was committed before that on all its shards, and the read begins after: it sees it.
 *
 * Invariants:
 * 1. At most one read runs at a time, and the flag is lowered before it begins.
 * 2. Nothing is emitted once it is closed.
 *
 * @see Source: Deno KV's `watch`. Differs: an aborted signal ends the stream.
 */
import { ReadableStream, type ReadableStreamDefaultController, type UnderlyingSource } from "node:stream/web";
import type { EncodedKey } from "../codec/key.js";
import { KvCorruptError } from "../errors.js";
import type { CommitListener, CommitSource, Subscription } from "./dispatcher.js";

export interface WatchKeysOptions<T> {
  readonly dispatcher: CommitSource;
  /** In the caller's order; the same key may come twice. */
  readonly keys: readonly EncodedKey[];
  /**
   * Reads all keys in one consistent cut that is taken after the call, in the same order. It may be called within a poll of the dispatcher, where it
   * only asks for the read.
   */
  readonly read: () => readonly T[] | Promise<readonly T[]>;
  /** `null` where there is nothing under the key. */
  readonly versionstampOf: (entry: T) => string | null;
  /** Aborting it ends the stream with its reason as the error. */
  readonly signal?: AbortSignal | undefined;
  /** Emit at each wake-up, also when no versionstamp has moved. */
  readonly raw?: boolean | undefined;
}

/**
 * A stream of the states of `keys`. The first is the current one. One item is read ahead, as in Deno.
 *
 * *Closing*: ends when the store is closed, after the item that was read ahead. *Cancel*: at once, and twice does nothing.
 *
 * @throws KvClosedError; the signal's reason if it was aborted already. Nothing was opened then.
 */
export function watchKeys<T>(options: WatchKeysOptions<T>): ReadableStream<T[]> {
  options.signal?.throwIfAborted();
  return new ReadableStream<T[]>(new LevelWatch(options), { highWaterMark: 1 });
}

/** `waiting` for the consumer or for a change; `reading`; `closed` for good. */
type WatchState = "waiting" | "reading" | "closed";

const MOVES: Record<WatchState, readonly WatchState[]> = {
  waiting: ["reading", "closed"],
  reading: ["waiting", "closed"],
  closed: [],
};

/** The stream's source, and the dispatcher's listener. */
class LevelWatch<T> implements UnderlyingSource<T[]>, CommitListener {
  readonly #options: WatchKeysOptions<T>;
  #state: WatchState = "waiting";
  #controller: ReadableStreamDefaultController<T[]> | undefined;
  #subscription: Subscription | undefined;
  #onAbort: (() => void) | undefined;
  /** Whether the state may have moved since the last read began. The first state is news. */
  #isRaised = true;
  /** Ends the `pull` that waits for an item. */
  #pulled: (() => void) | undefined;
  /** Versionstamps of what was emitted last. */
  #emitted: readonly (string | null)[] | undefined;

  constructor(options: WatchKeysOptions<T>) {
    this.#options = options;
  }

  start(controller: ReadableStreamDefaultController<T[]>): void {
    this.#controller = controller;
    const { dispatcher, keys, signal } = this.#options;
    if (keys.length === 0) {
      this.#close(() => controller.close());
      return;
    }
    const selectors = keys.map((bytes) => ({ kind: "key", bytes }) as const);
    this.#subscription = dispatcher.listen(selectors, this, "in-flight");
    if (signal === undefined) return;
    this.#onAbort = () => this.#close((controller) => controller.error(signal.reason));
    signal.addEventListener("abort", this.#onAbort);
  }

  /** Resolves when one item was emitted, or the watch is closed. The stream calls it again only then. */
  pull(): Promise<void> {
    return new Promise((resolve) => {
      this.#pulled = resolve;
      this.#goOn();
    });
  }

  cancel(): void {
    this.#close(() => {});
  }

  offer(): void {
    this.#isRaised = true;
    this.#goOn();
  }

  end(): void {
    this.#close((controller) => controller.close());
  }

  abort(error: unknown): void {
    this.#close((controller) => controller.error(error));
  }

  /** Reads, if somebody waits for an item, there may be news, and no read is under way. A closed watch lets go of who waits. */
  #goOn(): void {
    if (this.#isClosed) this.#endPull();
    else if (this.#pulled !== undefined && this.#isRaised && this.#state === "waiting") void this.#readOnce();
  }

  async #readOnce(): Promise<void> {
    this.#move("reading");
    this.#isRaised = false;
    try {
      const entries = await this.#options.read();
      if (this.#isClosed) return;
      this.#move("waiting");
      if (this.#emit(entries)) this.#endPull();
      this.#goOn();
    } catch (error) {
      this.#close((controller) => controller.error(error));
    }
  }

  #endPull(): void {
    const pulled = this.#pulled;
    this.#pulled = undefined;
    pulled?.();
  }

  #emit(entries: readonly T[]): boolean {
    const versionstamps = entries.map(this.#options.versionstampOf);
    const emitted = this.#emitted;
    const hasMoved = emitted === undefined || versionstamps.some((stamp, index) => stamp !== emitted[index]);
    if (!hasMoved && this.#options.raw !== true) return false;
    this.#emitted = versionstamps;
    this.#controller?.enqueue([...entries]);
    return true;
  }

  /** Ends the stream in the given way, the first time only, and lets a waiting `pull` see it. */
  #close(endStream: (controller: ReadableStreamDefaultController<T[]>) => void): void {
    if (this.#isClosed) return;
    this.#move("closed");
    this.#subscription?.cancel();
    if (this.#onAbort !== undefined) this.#options.signal?.removeEventListener("abort", this.#onAbort);
    if (this.#controller !== undefined) endStream(this.#controller);
    this.#endPull();
  }

  get #isClosed(): boolean {
    return this.#state === "closed";
  }

  #move(to: WatchState): void {
    if (!MOVES[this.#state].includes(to))
      throw new KvCorruptError(`watch moves from ${this.#state} to ${to}`);
    this.#state = to;
  }
}
