/**
 * Owns a store under load whose shard threads can be made to die: opening one, the load, the watchers that follow it, and the
 * comparison of what they saw with what the logs say in the end.
 */
import { systemClock } from "../../src/clock.js";
import { encodeKey, partitionOf } from "../../src/codec/key.js";
import {
  KvError,
  KvShardFailedError,
  KvShardStalledError,
  KvStorageError,
  KvUnknownOutcomeError,
} from "../../src/errors.js";
import { Kv, type KvChange, type KvKey } from "../../src/index.js";
import { limitsOf } from "../../src/kv/kv-limits.js";
import { HISTORY_BYTES_MAX, PARTITION_DEPTH_DEFAULT } from "../../src/limits.js";
import { acquireEngine } from "../../src/router/engine-registry.js";
import { armFault, createFaultCells, FaultPoint, hangFault, hasFired } from "../../src/shard/faults.js";
import type { Durability } from "../../src/store/shard-store.js";
import { describe, readChangeLogs, stateOfLogs } from "./change-log.js";
import { HANG_MS, withBound } from "./child-process.js";
import {
  type LedgerKind,
  ledgerCommit,
  ledgerFaults,
  nameOf,
  type Outcome,
  ownKeys,
  readAll,
} from "./ledger.js";

const WRITERS = 12;
const WATCHED = 8;

/** The last commit: whoever has heard it has heard all. */
const LAST_KEYS = ["last-a", "last-b", "last-c", "last-d"] as const;

export interface FaultyStoreOptions {
  readonly path: string;
  readonly shards: number;
  readonly kind: LedgerKind;
  readonly durability?: Durability;
  /** Every so many commits one that is too large for a ring; none when left out. */
  readonly bulkEvery?: number;
  readonly bulkBytes?: number;
}

const HISTORY = { bytesMax: HISTORY_BYTES_MAX, ageMsMax: Number.POSITIVE_INFINITY };

export class FaultyStore {
  readonly outcomes = new Map<number, Outcome>();
  /** Outcomes that a writer could not have had. */
  readonly surprises: unknown[] = [];
  /** Of commits with unknown outcome: whether they were there when the writer was told. */
  readonly seenWhenUnknown = new Map<number, boolean>();
  readonly #feed: string[] = [];
  readonly #feedEnd: Promise<unknown>;
  readonly #watched = new Map<string, string | null>();
  /** What each watch ended with: nothing, or the error that it was told. */
  readonly #watchEnds: Promise<unknown>[] = [];
  #next = 0;
  #pending = new Set<Promise<void>>();
  readonly #failed = new Set<number>();
  #running = false;
  #hangs = false;

  static async open(options: FaultyStoreOptions): Promise<FaultyStore> {
    const faults = createFaultCells(options.shards);
    const { path, shards, durability = "relaxed" } = options;
    const { engine, release } = await acquireEngine(path, {
      shards,
      durability,
      clock: systemClock,
      faults,
      history: HISTORY,
    });
    const kv = new Kv(engine.caller, {
      limits: limitsOf(undefined),
      release,
      share: null,
      ifChanged: false,
    });
    return new FaultyStore(options, kv, faults);
  }

  private constructor(
    readonly options: FaultyStoreOptions,
    readonly kv: Kv,
    readonly faults: SharedArrayBuffer,
  ) {
    this.#feedEnd = this.#follow().catch((error: unknown) => error);
    for (let index = 0; index < WATCHED; index++)
      this.#watchEnds.push(this.#watch(index).catch((error: unknown) => error));
  }

  arm(shard: number, point: FaultPoint, visits = 1): void {
    armFault(this.faults, shard, point, visits);
  }

  /** Takes back the faults that have not happened. */
  disarm(): void {
    new Int32Array(this.faults).fill(0);
  }

  /** The shard of a key. */
  shardOf(key: KvKey): number {
    return partitionOf(encodeKey(key), PARTITION_DEPTH_DEFAULT, this.options.shards);
  }

  /** Whether the fault has happened. */
  hasFired(shard: number, point: FaultPoint): boolean {
    return hasFired(this.faults, shard, point);
  }

  get acknowledgedCount(): number {
    let count = 0;
    for (const outcome of this.outcomes.values()) if (outcome !== "failed" && outcome !== "unknown") count++;
    return count;
  }

  /** Commits whose promise has not settled. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Begins to write, with several writers at a time. */
  startLoad(): void {
    this.#running = true;
    for (let writer = 0; writer < WRITERS; writer++) {
      const writing = this.#write().finally(() => this.#pending.delete(writing));
      this.#pending.add(writing);
    }
  }

  /** Lets the shard die at `point` again and again. Resolves when it is given up. */
  async killForGood(shard: number, point: FaultPoint): Promise<void> {
    const timer = setInterval(() => this.arm(shard, point), 1);
    try {
      await this.until("the shard is given up", () => this.hasFailed(shard));
    } finally {
      clearInterval(timer);
      this.arm(shard, point, 0);
    }
  }

  /** Whether a writer has been told that the shard takes no writes. */
  hasFailed(shard: number): boolean {
    return this.#failed.has(shard);
  }

  /** Changes that the feed has shown, as lines. */
  get heard(): readonly string[] {
    return this.#feed;
  }

  /** What each watch ended with, once the store is closed. Throws when one does not end. */
  async watchEnds(): Promise<readonly unknown[]> {
    const ends = await withBound(Promise.all(this.#watchEnds), HANG_MS);
    if (ends === "late") throw new Error("a watch did not end when the store was closed");
    return ends;
  }

  /** Lets the shard hang in its next transaction, or at another place, for `ms` milliseconds. */
  hang(shard: number, ms: number, point: FaultPoint = FaultPoint.inTransaction): void {
    this.#hangs = true;
    hangFault(this.faults, shard, point, ms);
  }

  /** Spoils what the feed has heard, to see that it is noticed. */
  forgetHeard(): void {
    this.#feed.splice(this.#feed.length >> 1, 1);
  }

  /** Ends the load. Throws when a promise does not settle. */
  async stopLoad(): Promise<void> {
    this.#running = false;
    const settled = await withBound(Promise.all(this.#pending), HANG_MS);
    if (settled === "late")
      throw new Error(`${this.#pending.size} writers wait for an answer that does not come`);
  }

  /** Resolves when `condition` holds; throws when that takes too long. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadlineMs = Date.now() + HANG_MS;
    while (!condition()) {
      if (Date.now() > deadlineMs) throw new Error(`it did not come to: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** Resolves when `count` more commits were acknowledged. */
  async untilAcknowledged(count: number): Promise<void> {
    const target = this.acknowledgedCount + count;
    await this.until(`${count} more acknowledged commits`, () => this.acknowledgedCount >= target);
  }

  /** One last commit over all shards; waits until the feed and the watches have it; closes; says what is wrong. */
  async finish(): Promise<string[]> {
    const { path, shards, kind } = this.options;
    let last = this.kv.atomic();
    for (const key of LAST_KEYS)
      for (let place = 0; place < shards; place++) last = last.set([key, place], "last");
    const result = await last.commit();
    if (!result.ok) throw new Error("the last commit was refused");
    const heard = () => this.#feed.filter((line) => line.startsWith(result.versionstamp)).length;
    await this.until("the feed has the last commit", () => heard() === LAST_KEYS.length * shards);
    const entries = await readAll(this.kv);
    const faults = [...ledgerFaults(entries, this.outcomes, kind), ...this.#unsteady(entries)];
    const current = (index: number) => entries.get(nameOf(["account", index]))?.versionstamp ?? null;
    await this.until("every watch has the newest state", () =>
      Array.from({ length: WATCHED }, (_, index) => index).every(
        (index) => this.#watched.get(String(index)) === current(index),
      ),
    );
    const closed = await withBound(this.kv.close(), 2 * HANG_MS);
    if (closed === "late") faults.push("close did not come to an end");
    const feedEnd = await withBound(this.#feedEnd, HANG_MS);
    if (feedEnd !== undefined) faults.push(`the feed ended with ${String(feedEnd)}`);
    for (const [index, end] of (await this.watchEnds()).entries())
      if (end !== undefined) faults.push(`watch ${index} ended with ${String(end)}`);
    const logs = await readChangeLogs(path, shards);
    faults.push(...differences(this.#feed, logs.map(describe)));
    const logged = stateOfLogs(logs);
    for (const [name, { versionstamp }] of entries) {
      if (logged.get(name) !== versionstamp)
        faults.push(`the logs have ${logged.get(name)} for ${name} at ${versionstamp}`);
    }
    return [...faults, ...this.surprises.map(String)];
  }

  /** Commits of unknown outcome that changed their mind after their writer was told. */
  #unsteady(entries: Awaited<ReturnType<typeof readAll>>): string[] {
    const faults: string[] = [];
    for (const [n, wasThere] of this.seenWhenUnknown) {
      const isThere = entries.has(nameOf(ownKeys(n, this.options.kind)[0]!));
      if (isThere !== wasThere)
        faults.push(`commit ${n}: ${wasThere} when its writer was told, later ${isThere}`);
    }
    return faults;
  }

  async #write(): Promise<void> {
    while (this.#running) await this.#writeOne(this.#next++);
  }

  async #writeOne(n: number): Promise<void> {
    const { kind, bulkEvery, bulkBytes = 0 } = this.options;
    const bulk = bulkEvery !== undefined && n % bulkEvery === 0 ? new Uint8Array(bulkBytes) : undefined;
    try {
      const result = await ledgerCommit(this.kv, n, kind, bulk).commit();
      if (!result.ok) throw new Error(`commit ${n} was refused without a check`);
      this.outcomes.set(n, result.versionstamp);
    } catch (error) {
      await this.#noteFailure(n, error);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #noteFailure(n: number, error: unknown): Promise<void> {
    if (error instanceof KvUnknownOutcomeError) {
      this.outcomes.set(n, "unknown");
      // As its writer would: it reads, to find out. Once a shard is given up, that may be impossible.
      const found = this.kv.get(ownKeys(n, this.options.kind)[0]!);
      const entry = await found.catch((reason: unknown) => this.#noteUnreadable(reason));
      if (entry !== null) this.seenWhenUnknown.set(n, entry.versionstamp !== null);
      return;
    }
    this.outcomes.set(n, "failed");
    if (error instanceof KvShardFailedError) this.#failed.add(error.shard);
    const isExpected =
      error instanceof KvStorageError ||
      error instanceof KvShardFailedError ||
      (this.#hangs && error instanceof KvShardStalledError);
    if (!isExpected) this.surprises.push(error);
  }

  #noteUnreadable(reason: unknown): null {
    if (!(reason instanceof KvError) || reason.code !== "KV_SHARD_FAILED") this.surprises.push(reason);
    return null;
  }

  async #follow(): Promise<void> {
    const feed = this.kv.changes({ prefix: [] });
    for await (const change of feed as AsyncIterable<KvChange>)
      this.#feed.push(describe({ ...change, name: nameOf(change.key) }));
  }

  async #watch(index: number): Promise<void> {
    for await (const [entry] of this.kv.watch<[unknown]>([["account", index]]))
      this.#watched.set(String(index), entry.versionstamp);
  }
}

/** Where two sequences part, in words; empty when they are equal. */
function differences(seen: readonly string[], logged: readonly string[]): string[] {
  const length = Math.max(seen.length, logged.length);
  for (let index = 0; index < length; index++) {
    if (seen[index] === logged[index]) continue;
    return [
      `change ${index} of the feed (${seen.length}) is ${seen[index]}, of the logs (${logged.length}) ${logged[index]}`,
    ];
  }
  return [];
}
