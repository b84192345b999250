/**
 * Owns a remote change feed: what `kv.changes` of a client returns.
 */
import { KvTypeError } from "../errors.js";
import type { ChangeSelector, ChangesOptions, KvChange, KvChangeEvent } from "../index.js";
import { anyPart } from "../watch/kv-change.js";
import { reconnecting } from "./reconnecting.js";
import type { Transport } from "./transport.js";

/**
 * The changes of some keys, as they are committed, over connections that come and go.
 *
 * *Order*, *Lag*: as of the embedded store's feed, at the server; a slow consumer holds up its own connection only. *Resuming*: by itself,
 * exactly behind the last change that was handed over. *Closing*: `close()`, leaving the loop, the signal, or closing the client.
 */
export class RemoteChangeFeed<T = unknown, E = KvChange<T>> implements AsyncIterable<E> {
  readonly #transport: Transport;
  readonly #selectors: readonly unknown[];
  readonly #options: ChangesOptions<T>;
  readonly #ended = new AbortController();
  #isIterated = false;

  /** Made by `kv.changes()`. */
  constructor(
    transport: Transport,
    selectors: ChangeSelector | readonly ChangeSelector[],
    options: ChangesOptions<T>,
  ) {
    options.signal?.throwIfAborted();
    this.#transport = transport;
    this.#selectors = [selectors].flat().map((selector) => wireSelector(selector as ChangeSelector));
    this.#options = options;
  }

  /** Ends the feed. Doing it twice does nothing. */
  close(): void {
    this.#ended.abort();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The one iterator of this feed. @throws KvTypeError KV_INVALID_OPTION when it was asked for before. */
  [Symbol.asyncIterator](): AsyncIterableIterator<E> {
    if (this.#isIterated) {
      throw new KvTypeError(
        "KV_INVALID_OPTION",
        "this change feed is iterated already: open one for each consumer",
      );
    }
    this.#isIterated = true;
    const events = this.#events();
    const iterator: AsyncIterableIterator<E> = {
      next: () => events.next(),
      return: async () => {
        // First, since a generator that waits for its next event would not hear of the return.
        this.close();
        await events.return();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  async *#events(): AsyncGenerator<E, void> {
    const {
      where,
      signal,
      since: begin,
      bufferBytesMax: _bytes,
      bufferCountMax: _count,
      ...options
    } = this.#options;
    const events = reconnecting({
      transport: this.#transport,
      path: "/v1/changes",
      signal: AbortSignal.any([this.#ended.signal, this.#transport.closed, ...(signal ? [signal] : [])]),
      message: (since) => ({
        selectors: this.#selectors,
        // Who comes back has had the state already.
        options: since === undefined ? options : { ...options, initial: false },
        ...((since ?? begin) !== undefined && { since: since ?? begin }),
      }),
    });
    for await (const { data } of events) {
      const event = data as KvChangeEvent<T>;
      const isChange = event.type !== "progress" && event.type !== "lagged";
      if (event.type === "progress" && !this.#wantsProgress) continue;
      if (isChange && where !== undefined && !where(event)) continue;
      yield event as E;
    }
    if (signal?.aborted === true) throw signal.reason;
  }

  /** The server sends progress to whoever asks for nothing, too: it is what a client resumes from. */
  get #wantsProgress(): boolean {
    const { progressMs, initial, onTrimmed } = this.#options;
    return progressMs !== undefined || initial === true || onTrimmed === "resync";
  }
}

/** A symbol does not travel. */
function wireSelector(selector: ChangeSelector): unknown {
  if (!("pattern" in selector)) return selector;
  return { pattern: selector.pattern.map((part) => (part === anyPart ? { any: true } : part)) };
}
