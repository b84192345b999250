/**
 * Owns a store that is elsewhere: the interface of the embedded one over the native API.
 */
import { KvClosedError } from "../errors.js";
import type {
  ChangeSelector,
  ChangesOptions,
  History,
  KvChangeEvent,
  KvCommitError,
  KvCommitResult,
  KvCommitVersionstamp,
  KvEnqueueOptions,
  KvEntryMaybe,
  KvGetOptions,
  KvKey,
  KvListOptions,
  KvListSelector,
  KvSetKey,
  KvSetOptions,
  KvStats,
  KvWatchOptions,
  PlainChangesOptions,
  QueueStats,
} from "../index.js";
import { checkEnqueueOptions } from "../queue/enqueue-options.js";
import { checkConsistency, checkedKey, checkedKeys, checkListOptions, checkSelectorShape } from "./checks.js";
import { cloned, PLACEHOLDER, RemoteAtomicOperation, setFields } from "./remote-atomic.js";
import { RemoteChangeFeed } from "./remote-changes.js";
import { RemoteDeadLetters } from "./remote-dead-letters.js";
import { RemoteListIterator } from "./remote-list.js";
import { remoteWatch } from "./remote-watch.js";
import type { Transport } from "./transport.js";

/**
 * A store behind a server. Methods, results and errors are those of the embedded `Kv`; `getSync`, `snapshot`, `share` and `listenQueue` need its memory and
 * are not there.
 *
 * *Lost connections*: reads are tried again, watches and feeds go on where they were; a write that may have been made rejects with
 * KvUnknownOutcomeError. *Closing*: see {@link RemoteKv.close}.
 */
export class RemoteKv {
  readonly #transport: Transport;

  /** Made by `connect()`. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The entry under a key; value and versionstamp are `null` where there is none. */
  async get<T = unknown>(key: KvKey, options?: KvGetOptions): Promise<KvEntryMaybe<T>> {
    const wanted = checkedKey(key);
    checkConsistency(options?.consistency);
    return (await this.#transport.call("/v1/get", { key: wanted }, "read")) as KvEntryMaybe<T>;
  }

  /** The entries under some keys, in their order, at one moment of the store. */
  async getMany<T extends readonly unknown[] = unknown[]>(
    keys: readonly [...{ [K in keyof T]: KvKey }],
    options?: KvGetOptions,
  ): Promise<{ [K in keyof T]: KvEntryMaybe<T[K]> }> {
    const wanted = checkedKeys(keys as readonly KvKey[]);
    checkConsistency(options?.consistency);
    const answer = (await this.#transport.call("/v1/getMany", { keys: wanted }, "read")) as {
      entries: unknown;
    };
    return answer.entries as { [K in keyof T]: KvEntryMaybe<T[K]> };
  }

  /** Sets a key. */
  async set(key: KvSetKey, value: unknown, options: KvSetOptions = {}): Promise<KvCommitResult> {
    const fields = setFields(key, value, options);
    checkedKey(fields.key);
    return (await this.#transport.call("/v1/set", fields, "write")) as KvCommitResult;
  }

  /** Deletes a key. One that is not there is no error. */
  async delete(key: KvKey): Promise<void> {
    await this.#transport.call("/v1/delete", { key: checkedKey(key) }, "write");
  }

  /** Entries in key order; each page is read at one moment of the store. */
  list<T = unknown>(selector: KvListSelector, options: KvListOptions = {}): RemoteListIterator<T> {
    checkSelectorShape(selector);
    checkListOptions(options);
    return new RemoteListIterator<T>(this.#transport, selector, options);
  }

  /** Begins an atomic commit. */
  atomic(): RemoteAtomicOperation {
    return new RemoteAtomicOperation(async (commit) => {
      const result = await this.#transport.call("/v1/atomic", commit, "write");
      return result as KvCommitResult | KvCommitError;
    });
  }

  /**
   * The current state of some keys, and again whenever one of them has changed. States in between may be skipped, the newest is not.
   *
   * *Closing*: the stream ends when the client is closed. *Cancel*: cancel the reader, or abort the signal.
   */
  watch<T extends readonly unknown[] = unknown[]>(
    keys: readonly [...{ [K in keyof T]: KvKey }],
    options: KvWatchOptions = {},
  ): ReadableStream<{ [K in keyof T]: KvEntryMaybe<T[K]> }> {
    const wanted = checkedKeys(keys as readonly KvKey[]);
    this.#checkOpen();
    return remoteWatch(this.#transport, wanted, options);
  }

  /** Every change of some keys, in the order of the whole store. As `changes` of the embedded store. */
  changes<T = unknown>(
    selectors: ChangeSelector | readonly ChangeSelector[],
    options?: PlainChangesOptions<T>,
  ): RemoteChangeFeed<T>;
  changes<T = unknown>(
    selectors: ChangeSelector | readonly ChangeSelector[],
    options?: ChangesOptions<T>,
  ): RemoteChangeFeed<T, KvChangeEvent<T>>;
  changes<T = unknown>(
    selectors: ChangeSelector | readonly ChangeSelector[],
    options: ChangesOptions<T> = {},
  ): RemoteChangeFeed<T> | RemoteChangeFeed<T, KvChangeEvent<T>> {
    this.#checkOpen();
    return new RemoteChangeFeed<T>(this.#transport, selectors, options);
  }

  /** Adds a message to the store's queue, for the handlers of programs that have it open. Needs a token that may write the whole store. */
  async enqueue(value: unknown, options: KvEnqueueOptions = {}): Promise<KvCommitResult> {
    checkEnqueueOptions(options);
    const message = { value: cloned(value), ...options };
    return (await this.#transport.call("/v1/enqueue", message, "write")) as KvCommitResult;
  }

  /** Messages that could not be delivered. Needs an admin token, where there are tokens. */
  get deadLetters(): RemoteDeadLetters {
    return new RemoteDeadLetters(this.#transport);
  }

  /** How many messages are in which state. Needs an admin token, where there are tokens. */
  async queueStats(): Promise<QueueStats> {
    return (await this.#transport.call("/v1/queueStats", undefined, "read")) as QueueStats;
  }

  /** What the shards are doing. Needs an admin token, where there are tokens. */
  async stats(): Promise<KvStats> {
    return (await this.#transport.call("/v1/stats", undefined, "read")) as KvStats;
  }

  /** How far back the change log goes, and its size. Needs an admin token, where there are tokens. */
  async history(): Promise<History> {
    return (await this.#transport.call("/v1/history", undefined, "read")) as History;
  }

  /** Stands for the versionstamp of the commit, as the last part of a key that is set through this client. */
  commitVersionstamp(): KvCommitVersionstamp {
    return PLACEHOLDER as KvCommitVersionstamp;
  }

  /** Ends watches and feeds; what is pending rejects with KvInterruptedError (a write may have been made). Idempotent. */
  async close(): Promise<void> {
    this.#transport.close();
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    if (this.#transport.closed.aborted) throw new KvClosedError();
  }
}
