/**
 * Owns what `kv.changes` returns: the feed as its user sees it. What it does stands in `feed-core.ts`, how its consumer is given changes in
 * `feed-outlet.ts`. Runs in the thread that opened it.
 *
 * The dispatcher knows the outlet and the core, and not this object: a loop over the feed keeps the iterator alone.
 */
import type { ReadableStream } from "node:stream/web";
import { checkChangesOptions, futurePosition } from "./change-options.js";
import { encodeSelectors } from "./change-selectors.js";
import type { CommitSource } from "./dispatcher.js";
import { FeedCore } from "./feed-core.js";
import type { FeedState, FeedStats } from "./feed-stats.js";
import type {
  ChangeSelector,
  ChangesOptions,
  KvChange,
  KvChangeEvent,
  PlainChangesOptions,
} from "./kv-change.js";
import { formatStamp } from "./position.js";
import { lastStampBelow } from "./stamp.js";

/**
 * Opens a feed of the changes of `selectors`.
 *
 * @throws KvTypeError KV_INVALID_SELECTOR, KV_INVALID_OPTION or the codes of a bad key; KvClosedError; the signal's reason, if it
 * was aborted already. Nothing was opened then.
 */
export function openChangeFeed<T = unknown>(
  source: CommitSource,
  selectors: ChangeSelector | readonly ChangeSelector[],
  options?: PlainChangesOptions<T>,
): ChangeFeed<T>;
export function openChangeFeed<T = unknown>(
  source: CommitSource,
  selectors: ChangeSelector | readonly ChangeSelector[],
  options?: ChangesOptions<T>,
): ChangeFeed<T, KvChangeEvent<T>>;
export function openChangeFeed<T>(
  source: CommitSource,
  selectors: ChangeSelector | readonly ChangeSelector[],
  options?: ChangesOptions<T>,
): ChangeFeed<T> | ChangeFeed<T, KvChangeEvent<T>> {
  const encoded = encodeSelectors(selectors);
  const settings = checkChangesOptions(options);
  const { since, signal } = settings;
  if (typeof since === "object" && since.stamp.counter > source.counter)
    throw futurePosition(options!.since!, formatStamp(lastStampBelow(source.counter + 1)));
  signal?.throwIfAborted();
  return new ChangeFeed<T, KvChangeEvent<T>>(new FeedCore(source, encoded, settings));
}

/**
 * The changes of some keys, as they are committed, and between them the events that its options ask for.
 *
 * *Order*: that of the whole store; the changes of one commit come one directly after the other. *Lag*: a consumer that is slower than
 * the writers never slows them, and by default loses nothing: the feed falls `behind` and catches up from the change log. Other
 * policies drop, and say so: see {@link ChangesOptions.overflow}. *Resuming*: keep the `position` of the last change that was handled, and
 * give it as `since`; if the log has lost what follows, see {@link ChangesOptions.onTrimmed}.
 * *Closing*: `close()`, leaving the loop, or aborting the signal ends the feed at once and drops what is in its buffer; when the
 * store is closed, what is in the buffer still comes, then the end.
 */
export class ChangeFeed<T = unknown, E = KvChange<T>> implements AsyncIterable<E> {
  readonly #core: FeedCore<E>;

  /** Use `kv.changes`. */
  constructor(core: FeedCore<E>) {
    this.#core = core;
  }

  get state(): FeedState {
    return this.#core.state;
  }

  /** How the feed is doing now. */
  stats(): FeedStats {
    return this.#core.stats();
  }

  /** Ends the feed and drops what is in its buffer. Doing it twice does nothing. */
  close(): void {
    this.#core.close();
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
  [Symbol.asyncIterator](): AsyncIterableIterator<E, undefined> {
    return this.#core.outlet.iterator();
  }

  /**
   * The feed as a web stream, in place of the iterator. It reads ahead as many items as `highWaterMark` says, 0 or 1 (default: 0).
   * *Cancel*: closes the feed.
   *
   * @throws KvTypeError KV_INVALID_OPTION when the feed is iterated already.
   */
  stream(options: { readonly highWaterMark?: 0 | 1 } = {}): ReadableStream<E> {
    return this.#core.outlet.stream(options);
  }
}
