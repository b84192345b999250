/**
 * Owns what one thread needs to use an open store: its way to the shards, its reads, its dispatcher, its bell. The thread that opened
 * the store has one, and so has every other thread that shares it; all of them are alike.
 */
import { type ClockHandle, clockFrom, type KvClock, type ManualClock } from "../clock.js";
import {
  compareVersionstampBytes,
  readCounter,
  readOrder,
  readVersionstamp,
  VERSIONSTAMP_BYTES,
  writeVersionstamp,
} from "../codec/versionstamp.js";
import { KvHistoryTrimmedError, KvInterruptedError } from "../errors.js";
import { DRAIN_MS_MAX } from "../limits.js";
import { QueueClient } from "../queue/queue-client.js";
import { Control } from "../ring/control.js";
import { type RoundMemory, RoundRing } from "../ring/round-ring.js";
import { callerHolder } from "../ring/sequencing-lock.js";
import { InlineCommits } from "../shard/inline-commits.js";
import type { LogBounds } from "../shard/log-trimmer.js";
import type { Manifest } from "../store/manifest.js";
import { type Durability, ShardStore } from "../store/shard-store.js";
import { Dispatcher } from "../watch/dispatcher.js";
import { FIRST_STAMP, type Stamp } from "../watch/stamp.js";
import type { StateSnapshot } from "../watch/state-snapshot.js";
import { publishShardRestart } from "../watch/watch-diagnostics.js";
import { Bell } from "./bell.js";
import { type CommitOwner, CommitRouter } from "./commit-router.js";
import { renewFresh } from "./fresh-snapshot.js";
import { InlinePath } from "./inline-path.js";
import { Reader } from "./reader.js";
import { type CallerRings, ShardClient } from "./shard-client.js";
import { type ShardStats, shardStats } from "./stats.js";

/** An open store as every thread of the process knows it. Plain data and shared memory: it can be posted. */
export interface SharedStore {
  readonly manifest: Manifest;
  /** Each shard's directory. */
  readonly directories: readonly string[];
  readonly durability: Durability;
  readonly control: SharedArrayBuffer;
  readonly rounds: RoundMemory;
  /** Each shard's change ring. */
  readonly changes: readonly SharedArrayBuffer[];
  readonly clock: ClockHandle;
}

/** How far back a store's change log goes. */
export interface History {
  /** The oldest versionstamp after which every change is still there; 20 zeros when nothing was trimmed. */
  readonly oldest: string;
  /** The last versionstamp that was given out; 20 zeros in a new store. */
  readonly newest: string;
  /** Bytes of change records. */
  readonly bytes: number;
}

const NO_VERSIONSTAMP = "0".repeat(20);

export interface CallerOptions {
  readonly store: SharedStore;
  /** The thread's number among those that share the store. */
  readonly caller: number;
  /** Names the thread as a holder of leases. */
  readonly holder: number;
  /** Its rings, one pair a shard. */
  readonly rings: readonly CallerRings[];
  readonly stores: readonly ShardStore[];
  /** The clock of the store, where the thread has the object and not only its handle. */
  readonly clock?: KvClock;
  /** Bounds of a shard's change log, where this thread may make commits by itself. */
  readonly inlineLog?: LogBounds | undefined;
}

export class Caller {
  readonly number: number;
  readonly holder: number;
  readonly shared: SharedStore;
  readonly control: Control;
  readonly rounds: RoundRing;
  readonly clients: readonly ShardClient[];
  readonly clock: KvClock;
  readonly reader: Reader;
  readonly router: CommitRouter;
  readonly dispatcher: Dispatcher;
  readonly queue: QueueClient;
  /** All shards, as this thread reads them. */
  readonly stores: readonly ShardStore[];
  readonly #bell: Bell;
  /** How this thread makes commits by itself; `null` where it doesn't. */
  readonly #inline: InlinePath | null;

  constructor({ store, caller, holder, rings, stores, clock, inlineLog }: CallerOptions) {
    const { shards, partitionDepth } = store.manifest;
    this.number = caller;
    this.holder = holder;
    this.shared = store;
    this.stores = stores;
    this.control = new Control(store.control, shards);
    this.rounds = new RoundRing(this.control, store.rounds, callerHolder(caller));
    this.clock = clock ?? clockFrom(store.clock);
    this.clients = rings.map((pair, shard) => new ShardClient(shard, this.control, pair));
    this.reader = new Reader(this.control, caller, stores, partitionDepth, this.clock);
    this.#inline = inlineLog === undefined ? null : this.#inlinePath(inlineLog);
    this.#bell = new Bell(this.control, caller, () => this.#onBell());
    this.router = new CommitRouter({
      control: this.control,
      caller,
      clients: this.clients,
      rounds: this.rounds,
      partitionDepth,
      inline: this.#inline,
      hold: () => this.#bell.hold(),
      release: () => this.#bell.release(),
    });
    this.dispatcher = new Dispatcher({
      shardCount: shards,
      control: this.control,
      rings: store.changes,
      readLog: (shard, after, bytesMax) => this.#readLog(shard, after, bytesMax),
      setWatching: (watching) => this.control.setWatching(caller, watching),
      onActive: () => this.#bell.hold(),
      onIdle: () => this.#bell.release(),
      takeState: () => this.#takeState(),
      setPreviousWanted: (wanted) => this.control.setPreviousWanted(caller, wanted),
    });
    this.queue = new QueueClient({
      control: this.control,
      caller,
      holder,
      command: (shard, command) => this.router.command(shard, command, this.queue),
      commit: (fields) => this.router.commit(fields, this.queue, (reply) => reply),
      shardOf: (key) => this.router.shardOf(key),
      read: (shard, ids) => this.#readMessages(shard, ids),
      hold: () => this.#bell.hold(),
      release: () => this.#bell.release(),
    });
  }

  /** What the shards do. */
  shardStats(): ShardStats[] {
    return shardStats(this.control, this.stores, this.shared.changes);
  }

  /** How far back the change log goes. */
  history(): History {
    let oldest = NO_VERSIONSTAMP;
    let newest = NO_VERSIONSTAMP;
    let bytes = 0;
    for (const [shard, store] of this.stores.entries()) {
      renewFresh(this.control, shard, store);
      const head = store.head();
      if (head === undefined) continue;
      const trimmed = readVersionstamp(head.trimmedThrough, 0);
      const last = readVersionstamp(head.lastVersionstamp, 0);
      if (trimmed > oldest) oldest = trimmed;
      if (last > newest) newest = last;
      bytes += head.logBytes;
    }
    return { oldest, newest, bytes };
  }

  /** A shard has a new thread. */
  shardRestarted(shard: number): void {
    publishShardRestart({ shard, restarts: this.control.incarnation(shard) });
    this.dispatcher.restart(shard);
    this.router.shardRestarted(shard);
    // What the dead thread had answered is known before the new one is told what this thread knows.
    this.router.takeReplies();
    this.queue.shardRestarted(shard);
  }

  /** Gives up what one Kv has pending: it closes, and others on the same thread do not. */
  abandon(owner: CommitOwner): void {
    this.router.abandon(owner, () => new KvInterruptedError());
  }

  /** Ends the watches, and resolves when everything that was sent is answered. */
  async drain(): Promise<void> {
    this.dispatcher.close();
    await this.queue.drain();
    const deadlineMs = Date.now() + DRAIN_MS_MAX;
    while (this.router.pendingCount > 0 && Date.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Lets go of the stores. Nothing may be pending. */
  async close(): Promise<void> {
    this.dispatcher.close();
    this.#bell.close();
    for (const client of this.clients) client.close();
    await this.#inline?.close();
    await Promise.all(this.stores.map((store) => store.close()));
  }

  /** Closes the stores through which this thread writes, until it writes again. */
  async closeInline(): Promise<void> {
    await this.#inline?.close();
  }

  #inlinePath(log: LogBounds): InlinePath {
    const { control, number: caller, clock, shared } = this;
    const { partitionDepth } = shared.manifest;
    return new InlinePath({
      open: (shard) =>
        new InlineCommits({
          shard,
          control,
          caller,
          store: ShardStore.open(shared.directories[shard]!, shared.durability),
          clock,
          changes: shared.changes[shard]!,
          log,
          partitionDepth,
        }),
      nowMs: () => performance.now(),
      onCommitted: () => {
        if (this.dispatcher.poll()) control.ringBell(caller);
      },
    });
  }

  #onBell(): boolean {
    this.router.takeReplies();
    this.queue.onBell();
    return this.dispatcher.poll();
  }

  /** A cut of the whole store, as a feed reads it that begins with the state. */
  async #takeState(): Promise<StateSnapshot> {
    const { reader, clock } = this;
    const cut = await reader.snapshot();
    const lastStamps = this.stores.map((store, shard) =>
      stampOfBytes(store.lastVersionstamp(cut.snapshot(shard))),
    );
    return {
      lastStamps,
      read: (start, end, limit) =>
        reader.readRange({ range: { start, end }, reverse: false, limit }, cut, (key, entry) => ({
          key: Uint8Array.from(key),
          entry: Uint8Array.from(entry),
        })),
      nowMs: () => clock.nowMs(),
      done: () => cut.done(),
    };
  }

  /** As every read: what a round wrote is read when all shards of the round have it. */
  async #readMessages(shard: number, ids: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    if (this.reader.cuts.isUnsettled(shard)) await this.reader.cuts.settled([shard]);
    const store = this.stores[shard]!;
    renewFresh(this.control, shard, store);
    return ids.map((id) => store.queue.message(id));
  }

  #readLog(shard: number, after: Stamp, bytesMax: number): Uint8Array[] {
    const store = this.stores[shard]!;
    const versionstamp = new Uint8Array(VERSIONSTAMP_BYTES);
    writeVersionstamp(versionstamp, 0, after.counter, after.order);
    renewFresh(this.control, shard, store);
    const trimmedThrough = store.head()?.trimmedThrough;
    if (trimmedThrough !== undefined && compareVersionstampBytes(versionstamp, 0, trimmedThrough, 0) < 0) {
      throw new KvHistoryTrimmedError(readVersionstamp(versionstamp, 0), readVersionstamp(trimmedThrough, 0));
    }
    return store.log.read(versionstamp, bytesMax);
  }
}

/** A new shard has none: nothing is at or below the first stamp. */
function stampOfBytes(versionstamp: Uint8Array | undefined): Stamp {
  if (versionstamp === undefined) return FIRST_STAMP;
  return { counter: readCounter(versionstamp, 0), order: readOrder(versionstamp, 0) };
}

/** The handle by which other threads read the same clock. */
export function handleOf(clock: KvClock): ClockHandle {
  return "handle" in clock ? (clock as ManualClock).handle : null;
}

/** Opens all shards, or none. */
export function openStores(directories: readonly string[], durability: Durability): ShardStore[] {
  const stores: ShardStore[] = [];
  try {
    for (const directory of directories) stores.push(ShardStore.open(directory, durability));
    return stores;
  } catch (error) {
    for (const store of stores) void store.close();
    throw error;
  }
}
