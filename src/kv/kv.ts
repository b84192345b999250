/**
 * Owns the public face of an open store, and its life. Reading is `kv-reads.ts`, committing `committer.ts`, each of which validates, encodes and
 * decodes; the engine under them does the rest. Several Kv may share one engine; closing one of them does not close the others.
 */
import type { ReadableStream } from "node:stream/web";
import type { KvKey } from "../codec/key.js";
import type { KvListSelector } from "../codec/key-range.js";
import type { KvEntryMaybe } from "../codec/kv-entry.js";
import { KvClosedError, KvError, KvTypeError } from "../errors.js";
import { DeadLetters } from "../queue/dead-letters.js";
import type { KvEnqueueOptions, KvListenOptions } from "../queue/enqueue-options.js";
import type { QueueHandler } from "../queue/queue-listener.js";
import { QueueScope } from "../queue/queue-scope.js";
import { type QueueStats, queueTallies } from "../queue/queue-stats.js";
import { Caller, type History } from "../router/caller.js";
import type { StoreHandle, StoreSettings } from "../router/sharing.js";
import type { ShardStats } from "../router/stats.js";
import { type ChangeFeed, openChangeFeed } from "../watch/change-feed.js";
import { DispatcherScope } from "../watch/dispatcher-scope.js";
import type { FeedStats } from "../watch/feed-stats.js";
import type {
  ChangeSelector,
  ChangesOptions,
  KvChangeEvent,
  PlainChangesOptions,
} from "../watch/kv-change.js";
import { AtomicOperation } from "./atomic-operation.js";
import type { KvBackup, KvBackupOptions } from "./backup.js";
import {
  type CommitContext,
  type CommitDrafts,
  type DraftMutation,
  draftDelete,
  draftImport,
  draftSet,
  type ImportedEntry,
  type KvSetOptions,
} from "./commit-builder.js";
import type { KvCommitResult } from "./commit-result.js";
import { commitVersionstamp, type KvCommitVersionstamp, type KvSetKey } from "./commit-versionstamp.js";
import { Committer } from "./committer.js";
import type { Compaction } from "./compaction.js";
import { EncodedKv } from "./encoded-kv.js";
import { draftEnqueue } from "./enqueue-builder.js";
import type { KvLimits } from "./kv-limits.js";
import { type KvGetOptions, KvReads, type KvWatchOptions } from "./kv-reads.js";
import { KvSnapshot } from "./kv-snapshot.js";
import type { KvListIterator, KvListOptions } from "./list-iterator.js";

/** What {@link Kv.stats} tells. */
export interface KvStats {
  readonly shards: readonly ShardStats[];
  /** Commits of this thread that are not answered yet. */
  readonly pendingCommits: number;
  /** Snapshots of this Kv that are open and pin pages. */
  readonly openSnapshots: number;
  /** Each open change feed of this Kv, in the order in which they were opened. */
  readonly feeds: readonly FeedStats[];
  /** Open `watch(keys)` streams of this Kv. */
  readonly watches: number;
}

/** What a Kv is made of besides its thread's way to the shards. */
export interface KvMakings {
  readonly limits: KvLimits;
  /** Whether a set that does not say writes nothing when nothing changes. */
  readonly ifChanged: boolean;
  /** Gives back its part in the store. */
  readonly release: () => Promise<void>;
  /** Makes a handle for another thread; `null` on a thread that has joined itself. */
  readonly share: ((settings: StoreSettings) => StoreHandle) | null;
  /** Rewrites the store's files; left out on a thread that has joined itself. */
  readonly compact?: () => Promise<Compaction>;
  /** Copies the store; left out on a thread that has joined itself. */
  readonly backup?: (path: string, options: KvBackupOptions) => Promise<KvBackup>;
}

/**
 * An open store.
 *
 * *Order*: versionstamps grow with every commit of the whole store, and agree with real time. *Durability*: as the store was
 * opened. *Visibility*: a read that starts after a write was acknowledged sees it. *Closing*: see {@link Kv.close}.
 *
 * @see Source: Deno KV's Kv. Differs: `getSync`, `snapshot`, `changes`, named failed checks, and larger limits; README tells all.
 */
export class Kv {
  readonly #caller: Caller;
  readonly #options: KvMakings;
  readonly #context: CommitContext;
  readonly #scope: DispatcherScope;
  readonly #snapshots = new Set<KvSnapshot>();
  readonly #queue: QueueScope;
  readonly #reads: KvReads;
  readonly #committer: Committer;
  #closing: Promise<void> | null = null;
  /** Whether `close` was called, or the Kv disposed of, by its user. */
  #isGivenUp = false;

  /** Made by `openKv()`. */
  constructor(caller: Caller, options: KvMakings) {
    if (!(caller instanceof Caller)) {
      throw new KvTypeError("KV_INVALID_OPTION", "Deno.Kv can not be constructed: use Deno.openKv instead");
    }
    this.#caller = caller;
    this.#options = options;
    this.#scope = new DispatcherScope(caller.dispatcher);
    this.#queue = new QueueScope(caller.queue);
    this.#context = {
      clock: caller.clock,
      shardOf: (key) => caller.router.shardOf(key),
      limits: options.limits,
      ifChanged: options.ifChanged,
    };
    const checkOpen = (): void => this.#checkOpen();
    const { reader, router } = caller;
    this.#reads = new KvReads({ reader, scope: this.#scope, limits: options.limits, checkOpen });
    this.#committer = new Committer({ router, context: this.#context, owner: this, checkOpen });
  }

  /**
   * The entry under a key; value and versionstamp are `null` where there is none. The empty key holds nothing.
   *
   * @throws KvTypeError KV_INVALID_KEY, KV_LIMIT_EXCEEDED; KvClosedError.
   */
  async get<T = unknown>(key: KvKey, options?: KvGetOptions): Promise<KvEntryMaybe<T>> {
    return this.#reads.get<T>(key, options);
  }

  /**
   * The same as {@link Kv.get} without a promise: a read needs no other thread. Blocks for up to one flush when a commit over several
   * shards is just being made that has this key's shard in it.
   */
  getSync<T = unknown>(key: KvKey): KvEntryMaybe<T> {
    return this.#reads.getSync<T>(key);
  }

  /** The entries under some keys, in their order, at one moment of the store. */
  async getMany<T extends readonly unknown[] = unknown[]>(
    keys: readonly [...{ [K in keyof T]: KvKey }],
    options?: KvGetOptions,
  ): Promise<{ [K in keyof T]: KvEntryMaybe<T[K]> }> {
    const entries = await this.#reads.getMany(keys as readonly KvKey[], options);
    return entries as unknown as { [K in keyof T]: KvEntryMaybe<T[K]> };
  }

  /**
   * Sets a key.
   *
   * @throws KvTypeError KV_INVALID_KEY, KV_INVALID_VALUE (it can't be cloned), KV_INVALID_OPTION, KV_LIMIT_EXCEEDED, and what
   * {@link AtomicOperation.commit} throws.
   */
  set(key: KvSetKey, value: unknown, options?: KvSetOptions): Promise<KvCommitResult> {
    // Not an async function: that would make two promises more, of a write that takes microseconds.
    try {
      return this.#committer.commit(lone(draftSet(key, value, options))) as Promise<KvCommitResult>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Deletes a key. One that is not there is no error. */
  async delete(key: KvKey): Promise<void> {
    await this.#committer.commit(lone(draftDelete(key)));
  }

  /**
   * Entries in key order: of a prefix (keys that are longer), of a part of it, or from `start` (inclusive) to `end` (exclusive).
   * Each batch is read at one moment of the store, over all shards.
   *
   * @throws at once KvTypeError KV_INVALID_SELECTOR and KvError KV_INVALID_OPTION; with the first entry KV_INVALID_KEY,
   * KV_INVALID_SELECTOR for keys that do not fit together, KV_INVALID_CURSOR, KV_LIMIT_EXCEEDED; KvClosedError.
   */
  list<T = unknown>(selector: KvListSelector, options: KvListOptions = {}): KvListIterator<T> {
    return this.#reads.list<T>(selector, options);
  }

  /** Begins an atomic commit. */
  atomic(): AtomicOperation {
    return new AtomicOperation((checks, mutations, messages) =>
      this.#committer.commit({ checks, mutations, messages }),
    );
  }

  /**
   * Adds a message to the store's queue, for one of the handlers that {@link Kv.listenQueue} is given, now or after the next opening.
   *
   * *Order*: messages of one shard that are due at one time are handed out in the order of their commits. A message that is enqueued alone
   * goes to the shards in turn; one in a commit with keys to that of the first key. *Durability*: as the store was opened.
   *
   * @throws KvTypeError KV_INVALID_VALUE, KV_INVALID_OPTION, KV_INVALID_KEY, KV_LIMIT_EXCEEDED, and what {@link AtomicOperation.commit} throws.
   */
  async enqueue(value: unknown, options?: KvEnqueueOptions): Promise<KvCommitResult> {
    const messages = [draftEnqueue(value, options)];
    return (await this.#committer.commit({ checks: [], mutations: [], messages })) as KvCommitResult;
  }

  /**
   * Handles messages of the queue until this Kv is closed, or the signal is aborted; resolves then. The process stays alive for it.
   *
   * A message is gone when its handler has finished. When that throws, or rejects, the message is tried again as its `backoffSchedule` says, and
   * after that it is written under its `keysIfUndelivered`, and kept in {@link Kv.deadLetters}. While it runs nobody else gets the message, however
   * long that takes. When the process ends meanwhile the message is delivered again: at least once, and more than once only then.
   *
   * *Order*: a listener with `concurrency: 1` handles the messages of a shard one after the other, in order. *Lag*: it is given no more messages than
   * it handles at a time; the others wait in the store. Several listeners, of whatever threads, share them evenly. *Closing*: it does not wait for
   * handlers. What they handle is settled if the store is still open on this thread when they end, and is otherwise delivered again.
   *
   * @throws KvTypeError KV_INVALID_OPTION; KvClosedError.
   */
  async listenQueue<T = unknown>(
    handler: (value: T) => unknown,
    options: KvListenOptions = {},
  ): Promise<void> {
    if (this.#closing !== null) throw new KvError("KV_CLOSED", "Queue already closed");
    return this.#queue.listen(handler as QueueHandler, options);
  }

  /** The messages that could not be delivered. */
  get deadLetters(): DeadLetters {
    this.#checkOpen();
    return new DeadLetters({
      stores: () => {
        this.#checkOpen();
        return this.#caller.stores;
      },
      command: (shard, command) => this.#caller.router.command(shard, command, this),
    });
  }

  /** How many messages are in which state, per shard and in total. Cheap: it asks no thread. */
  queueStats(): QueueStats {
    this.#checkOpen();
    const { listenerCount: listeners, runningCount: running } = this.#caller.queue;
    return { ...queueTallies(this.#caller.stores), listeners, running };
  }

  /**
   * The current state of some keys, and again whenever one of them has changed: each item has all keys in their order, at one moment
   * of the store. States in between may be skipped, the newest is not. Any number of keys, unless `limits.watchedKeysMax` says otherwise.
   *
   * *Closing*: the stream ends when this Kv is closed. *Cancel*: cancel the reader, or abort the signal.
   *
   * @throws KvTypeError for a bad key; KvClosedError; the signal's reason.
   */
  watch<T extends readonly unknown[] = unknown[]>(
    keys: readonly [...{ [K in keyof T]: KvKey }],
    options: KvWatchOptions = {},
  ): ReadableStream<{ [K in keyof T]: KvEntryMaybe<T[K]> }> {
    const stream = this.#reads.watch(keys as readonly KvKey[], options);
    return stream as unknown as ReadableStream<{ [K in keyof T]: KvEntryMaybe<T[K]> }>;
  }

  /**
   * Every change of some keys, in the order of the whole store: those that are committed from now on, those after a position
   * (`since`), or the state and then what changes it (`initial`).
   *
   * *Order*, *Lag*, *Resuming*, *Closing*: see {@link ChangeFeed}. An idle feed takes about 1 KB of memory, and costs nothing when
   * something else changes.
   *
   * @param options With `progressMs`, `initial`, `onTrimmed: "resync"` or a dropping `overflow` the feed has progress or lagged events
   * among its changes.
   * @throws KvTypeError KV_INVALID_SELECTOR, KV_INVALID_OPTION, KV_INVALID_KEY; KvClosedError; the signal's reason. Nothing was opened
   * then. While iterating: KvHistoryTrimmedError, KvWatchOverflowError, KvSnapshotExpiredError (the state was read too slowly), or what
   * `where` throws; then the feed is closed.
   *
   * @example
   * for await (const change of kv.changes({ prefix: ["orders"] }, { since: await lastPosition() })) {
   *   await handle(change); // and keep change.position with what it did
   * }
   */
  changes<T = unknown>(
    selectors: ChangeSelector | readonly ChangeSelector[],
    options?: PlainChangesOptions<T>,
  ): ChangeFeed<T>;
  changes<T = unknown>(
    selectors: ChangeSelector | readonly ChangeSelector[],
    options?: ChangesOptions<T>,
  ): ChangeFeed<T, KvChangeEvent<T>>;
  changes<T = unknown>(
    selectors: ChangeSelector | readonly ChangeSelector[],
    options?: ChangesOptions<T>,
  ): ChangeFeed<T> | ChangeFeed<T, KvChangeEvent<T>> {
    this.#checkOpen();
    return openChangeFeed<T>(this.#scope, selectors, options);
  }

  /**
   * The state of the whole store at this moment, for many reads. Close it soon: it pins pages of the files.
   *
   * @throws KvError KV_TOO_MANY_SNAPSHOTS beyond 4000 in one thread, initial states of feeds counted; everything else goes on.
   */
  async snapshot(): Promise<KvSnapshot> {
    this.#checkOpen();
    const cut = await this.#caller.reader.snapshot();
    const snapshot = new KvSnapshot(this.#caller.reader, cut, (closed) => this.#snapshots.delete(closed));
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  /** The same store as encoded bytes: for an edge that carries keys and values which others have encoded. */
  encoded(): EncodedKv {
    this.#checkOpen();
    return new EncodedKv({
      storeId: this.#caller.shared.manifest.id,
      reader: this.#caller.reader,
      dispatcher: this.#scope,
      context: this.#context,
      commit: (drafts) => this.#committer.commit(drafts),
      checkOpen: () => this.#checkOpen(),
    });
  }

  /**
   * A handle by which one other thread of this process joins the store: see {@link attachKv}.
   *
   * @throws KvError KV_TOO_MANY_THREADS beyond 30 others; KV_CLOSED; KV_NOT_THE_OWNER on a thread that has joined itself.
   */
  share(): StoreHandle {
    this.#checkOpen();
    if (this.#options.share === null) {
      throw new KvError(
        "KV_NOT_THE_OWNER",
        "this thread has joined the store: share it from the thread that opened it",
      );
    }
    return this.#options.share(this.#options);
  }

  /** What the shards, this thread's calls and this Kv's feeds are doing. It asks no thread; its cost grows with the number of feeds. */
  stats(): KvStats {
    this.#checkOpen();
    return {
      shards: this.#caller.shardStats(),
      pendingCommits: this.#caller.router.pendingCount,
      openSnapshots: this.#snapshots.size,
      feeds: this.#scope.feedStats(),
      watches: this.#scope.watchCount,
    };
  }

  /** How far back the change log goes, and its size. */
  history(): History {
    this.#checkOpen();
    return this.#caller.history();
  }

  /**
   * Copies the whole store, as it is at one moment, into a new directory, while reads and writes go on; then verifies the copy. The copy is a
   * store: open it, or make one of it with {@link restoreBackup}. Pages of the moment are pinned meanwhile, so the files may grow.
   *
   * @param path A directory that does not exist, or is empty.
   * @throws KvError KV_TARGET_EXISTS; KV_NOT_THE_OWNER on a thread that has joined; KvCorruptError when the store is damaged; KvClosedError.
   * What an interrupted backup has left is no store, and the next backup to the same path replaces it.
   */
  async backup(path: string, options: KvBackupOptions = {}): Promise<KvBackup> {
    this.#checkOpen();
    if (typeof path !== "string" || path === "")
      throw new KvTypeError("KV_INVALID_PATH", "the path of a backup must be a string that is not empty");
    if (this.#options.backup === undefined)
      throw new KvError(
        "KV_NOT_THE_OWNER",
        "this thread has joined the store: back it up from the thread that opened it",
      );
    return this.#options.backup(path, options);
  }

  /**
   * Makes the files as small as what is in them, and says how large they were and are. Files do not shrink by themselves: what is deleted or
   * replaced leaves free pages, which later writes use again.
   *
   * Reads, watches and feeds go on. Writes wait until it is done, which takes about a second for every 100 MB that are in use; what does not fit into
   * {@link KvOverloadedError}'s bound is refused with that. It needs room on the disk for a second copy of what is in use. *Durability*: as ever; a
   * crash at any moment leaves the store as it was, or compacted.
   *
   * @throws KvError KV_IN_USE while other threads share the store, or a snapshot, a backup or the initial state of a feed is being read;
   * KV_NOT_THE_OWNER on a thread that has joined; KvShardFailedError; KvStorageError; KvClosedError. The store is then as it was, and goes on.
   */
  async compact(): Promise<Compaction> {
    this.#checkOpen();
    if (this.#options.compact === undefined)
      throw new KvError(
        "KV_NOT_THE_OWNER",
        "this thread has joined the store: compact it from the thread that opened it",
      );
    return this.#options.compact();
  }

  /** Stands for the versionstamp of the commit, as the last part of a key that is set. */
  commitVersionstamp(): KvCommitVersionstamp {
    return commitVersionstamp();
  }

  /**
   * Closes this Kv: watches end, what is pending rejects with KvInterruptedError (a write may still be applied), everything later throws
   * KvClosedError, closing again too, as in Deno. Resolves when, if this was the last Kv on the store in this process, all shards have
   * stopped and the path is free.
   *
   * @throws KvClosedError at once, when it was closed before. `using` and `await using` may follow, and do nothing then.
   */
  close(): Promise<void> {
    if (this.#isGivenUp) throw new KvClosedError();
    this.#isGivenUp = true;
    return this.#closeOnce();
  }

  /** Closes it, if that was not done. */
  [Symbol.dispose](): void {
    void this[Symbol.asyncDispose]();
  }

  /** Closes it, if that was not done, and resolves as {@link Kv.close} does. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#isGivenUp = true;
    return this.#closeOnce();
  }

  /** Writes entries from elsewhere in one commit, and returns their count. @internal */
  async importEntries(entries: readonly ImportedEntry[]): Promise<number> {
    const mutations = entries.map((entry) => draftImport(entry, this.#context.clock));
    await this.#committer.commit({ checks: [], mutations, messages: [] });
    return entries.length;
  }

  /** What the store's own end does: the user may still close. @internal */
  closeFromBelow(): void {
    void this.#closeOnce();
  }

  #closeOnce(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #close(): Promise<void> {
    for (const snapshot of this.#snapshots) snapshot.close();
    this.#queue.close();
    this.#scope.close();
    this.#caller.abandon(this);
    return this.#options.release();
  }

  #checkOpen(): void {
    if (this.#closing !== null) throw new KvClosedError();
  }
}

/** A commit of one mutation. */
function lone(mutation: DraftMutation): CommitDrafts {
  return { checks: [], mutations: [mutation], messages: [] };
}
