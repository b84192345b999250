/**
 * Owns reads: fresh ones of one key, consistent ones of many, ranges. Runs on the caller's thread, straight from every shard's
 * memory map; no shard thread has a part in it.
 *
 * Invariants
 * 1. A read that starts after a write was acknowledged sees it: the snapshot is renewed whenever the shard's commit counter has moved,
 *    and that counter is raised before the acknowledgement. It is renewed as well while the shard is in a transaction, which LMDB
 *    may have committed already: a cut that was taken since may have seen it, and no later read may see less. And what was read while
 *    a transaction ended is read again: see fresh-snapshot.ts.
 * 2. A read sees all of a multi-shard commit or nothing: what may hold an unfinished round is read again when it has finished.
 * 3. An expired entry does not exist, swept or not.
 * 4. What is returned is private; what `decode` gets, keys included, is borrowed for the call.
 */
import type { KvClock } from "../clock.js";
import { entryExpiresAtMs, isExpired } from "../codec/entry.js";
import { compareBytes, partitionOf, sharedParts } from "../codec/key.js";
import type { KeyRange } from "../codec/key-range.js";
import { KvError } from "../errors.js";
import { SNAPSHOTS_MAX } from "../limits.js";
import { type Control, ShardState } from "../ring/control.js";
import type { ShardStore } from "../store/shard-store.js";
import { type Cut, Cuts } from "./cut.js";
import { GatheredReads } from "./gathered-reads.js";

/** Makes a caller's value of an entry's bytes; `null` where there is no entry. */
export type DecodeEntry<T> = (entry: Uint8Array | null, index: number) => T;

/** Entries of a range, in order. */
export interface RangeRead {
  readonly range: KeyRange;
  readonly reverse: boolean;
  readonly limit: number;
  /** No more entries once they have this many bytes. Default: no bound. */
  readonly bytesMax?: number | undefined;
}

interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export class Reader {
  readonly cuts: Cuts;
  readonly #control: Control;
  readonly #stores: readonly ShardStore[];
  readonly #partitionDepth: number;
  readonly #clock: KvClock;
  readonly #gathered: GatheredReads;
  readonly #seenCommits: Int32Array;
  readonly #allShards: readonly number[];
  #openSnapshots = 0;

  constructor(
    control: Control,
    caller: number,
    stores: readonly ShardStore[],
    partitionDepth: number,
    clock: KvClock,
  ) {
    this.#control = control;
    this.#stores = stores;
    this.#partitionDepth = partitionDepth;
    this.#clock = clock;
    this.cuts = new Cuts(control, caller, stores);
    this.#gathered = new GatheredReads(this.cuts);
    this.#seenCommits = new Int32Array(stores.length).fill(-1);
    this.#allShards = stores.map((_, shard) => shard);
  }

  /** The newest state of one key, which is borrowed for the call. Hot path: two atomic loads, one LMDB read, one more load. */
  get<T>(key: Uint8Array, decode: DecodeEntry<T>): T | Promise<T> {
    const shard = this.#shardOf(key);
    const result = this.#getOnce(shard, key, decode);
    return this.cuts.isUnsettled(shard) ? this.#getSettled(shard, key.slice(), decode) : result;
  }

  /** The same without a promise; blocks the thread while a round that the shard is in finishes. */
  getSync<T>(key: Uint8Array, decode: DecodeEntry<T>): T {
    const shard = this.#shardOf(key);
    for (;;) {
      const result = this.#getOnce(shard, key, decode);
      if (!this.cuts.isUnsettled(shard)) return result;
      this.cuts.settledSync([shard]);
    }
  }

  /** Many keys on one cut, in the order of `keys`. */
  async getMany<T>(keys: readonly Uint8Array[], decode: DecodeEntry<T>): Promise<T[]> {
    if (keys.length === 0) return [];
    const cut = await this.cuts.take(this.#shardsOf(keys));
    try {
      return this.readMany(keys, cut, decode);
    } finally {
      cut.done();
    }
  }

  /** The same on a cut that is taken at the end of the microtask, for all who ask for one of the same shards. */
  getManySoon<T>(keys: readonly Uint8Array[], decode: DecodeEntry<T>): Promise<T[]> {
    return this.#gathered.read(this.#shardsOf(keys), (cut) => this.readMany(keys, cut, decode));
  }

  /** Entries of a range on one cut. */
  async list<T>(read: RangeRead, decode: (key: Uint8Array, entry: Uint8Array) => T): Promise<T[]> {
    const cut = await this.cuts.take(this.#shardsOfRange(read.range));
    try {
      return this.readRange(read, cut, decode);
    } finally {
      cut.done();
    }
  }

  /** A cut of the whole store, for as long as its holder wants. Throws KvError KV_TOO_MANY_SNAPSHOTS. */
  async snapshot(): Promise<Cut> {
    if (this.#openSnapshots >= SNAPSHOTS_MAX)
      throw new KvError(
        "KV_TOO_MANY_SNAPSHOTS",
        `${this.#openSnapshots} snapshots and initial states of feeds are open in this thread, limit ${SNAPSHOTS_MAX}: close some of them first`,
      );
    this.#openSnapshots++;
    try {
      const cut = await this.cuts.take(this.#allShards);
      cut.whenDone(() => this.#openSnapshots--);
      return cut;
    } catch (error) {
      this.#openSnapshots--;
      throw error;
    }
  }

  readMany<T>(keys: readonly Uint8Array[], cut: Cut, decode: DecodeEntry<T>): T[] {
    const nowMs = this.#clock.nowMs();
    return keys.map((key, index) => {
      const shard = this.#shardOf(key);
      return decode(live(this.#read(shard, key, cut), nowMs), index);
    });
  }

  readRange<T>(read: RangeRead, cut: Cut, decode: (key: Uint8Array, entry: Uint8Array) => T): T[] {
    const nowMs = this.#clock.nowMs();
    const found: T[] = [];
    const { range, limit, bytesMax = Number.POSITIVE_INFINITY } = read;
    let bytes = 0;
    if (limit === 0 || compareBytes(range.start, range.end) >= 0) return found;
    this.#visitRows(read, cut, (key, entry) => {
      if (isExpired(entry, nowMs)) return true;
      found.push(decode(key, entry));
      bytes += entry.length;
      return found.length < limit && bytes < bytesMax;
    });
    return found;
  }

  async #getSettled<T>(shard: number, key: Uint8Array, decode: DecodeEntry<T>): Promise<T> {
    for (;;) {
      await this.cuts.settled([shard]);
      const result = this.#getOnce(shard, key, decode);
      if (!this.cuts.isUnsettled(shard)) return result;
    }
  }

  #getOnce<T>(shard: number, key: Uint8Array, decode: DecodeEntry<T>): T {
    const entry = this.#newest(shard, key);
    if (entry === undefined) return decode(null, 0);
    const expiresAtMs = entryExpiresAtMs(entry);
    return decode(expiresAtMs !== 0 && expiresAtMs <= this.#clock.nowMs() ? null : entry, 0);
  }

  #newest(shard: number, key: Uint8Array): Uint8Array | undefined {
    if (key.length === 0) return undefined;
    const control = this.#control;
    const store = this.#stores[shard]!;
    for (;;) {
      // The state first: a transaction that is not under way any more has raised the counter.
      const isIdle = control.state(shard) === ShardState.running || control.isComingUp(shard);
      const commits = control.commits(shard);
      if (commits !== this.#seenCommits[shard] || !isIdle) {
        this.#seenCommits[shard] = commits;
        store.renew();
      }
      const entry = store.readEntry(key);
      if (control.commits(shard) === commits) return entry;
    }
  }

  /** LMDB has no empty key, and neither has the store: nothing is there. */
  #read(shard: number, key: Uint8Array, cut: Cut): Uint8Array | undefined {
    return key.length === 0 ? undefined : this.#stores[shard]!.readEntry(key, cut.snapshot(shard));
  }

  #visitRows(read: RangeRead, cut: Cut, visit: (key: Uint8Array, entry: Uint8Array) => boolean): void {
    const { range, reverse } = read;
    const { start, end } = range;
    const shards = this.#shardsOfRange(range);
    if (shards.length === 1) {
      const shard = shards[0]!;
      this.#stores[shard]!.visitEntries(start, end, reverse, cut.snapshot(shard), visit);
      return;
    }
    const sources = shards.map((shard) =>
      this.#stores[shard]!.rangeEntries(start, end, reverse, cut.snapshot(shard)),
    );
    for (const { key, value } of mergeRows(sources, reverse)) if (!visit(key, value)) break;
  }

  #shardOf(key: Uint8Array): number {
    const shardCount = this.#stores.length;
    return shardCount === 1 ? 0 : partitionOf(key, this.#partitionDepth, shardCount);
  }

  #shardsOf(keys: readonly Uint8Array[]): number[] {
    if (keys.length === 1) return [this.#shardOf(keys[0]!)];
    return [...new Set(keys.map((key) => this.#shardOf(key)))];
  }

  /** The one shard of a range whose keys share the parts that choose it; else all. */
  #shardsOfRange({ start, end }: KeyRange): readonly number[] {
    if (this.#stores.length === 1) return this.#allShards;
    const shared = sharedParts(start, end, this.#partitionDepth);
    return shared === null ? this.#allShards : [this.#shardOf(shared)];
  }
}

function live(entry: Uint8Array | undefined, nowMs: number): Uint8Array | null {
  return entry === undefined || isExpired(entry, nowMs) ? null : entry;
}

/** Rows of several shards in the order of their keys. Ends every source when the consumer stops. */
function* mergeRows(sources: readonly Iterable<Row>[], reverse: boolean): Generator<Row> {
  const iterators = sources.map((source) => source[Symbol.iterator]());
  try {
    const heads = iterators.map((iterator) => iterator.next());
    for (;;) {
      const first = firstHead(heads, reverse);
      if (first < 0) return;
      yield heads[first]!.value as Row;
      heads[first] = iterators[first]!.next();
    }
  } finally {
    for (const iterator of iterators) iterator.return?.();
  }
}

function firstHead(heads: readonly IteratorResult<Row>[], reverse: boolean): number {
  let first = -1;
  heads.forEach((head, index) => {
    if (head.done) return;
    const order = first < 0 ? -1 : compareBytes(head.value.key, (heads[first]!.value as Row).key);
    if (first < 0 || (reverse ? order > 0 : order < 0)) first = index;
  });
  return first;
}
