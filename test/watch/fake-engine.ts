/**
 * Owns a store's watching side without its stores: real control block, real rings, real dispatcher; shards are stepped by the test,
 * and their logs are arrays. Each step is one instruction of a shard's life, so that a test can stop anywhere between two.
 */
import {
  ChangeCause,
  type ChangeFields,
  ChangeType,
  changeRecordBytes,
  readChangeRecord,
  writeChangeRecord,
  writeStubRecord,
} from "../../src/codec/change-record.js";
import { encodeEntry } from "../../src/codec/entry.js";
import { compareBytes, encodeKey, type KvKey } from "../../src/codec/key.js";
import { encodeValue } from "../../src/codec/value.js";
import { KvHistoryTrimmedError } from "../../src/errors.js";
import { ChangeRingWriter, createChangeRing, maxRecordBytes } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { Dispatcher } from "../../src/watch/dispatcher.js";
import { formatStamp } from "../../src/watch/position.js";
import { compareStamps, type Stamp } from "../../src/watch/stamp.js";
import type { StateRow, StateSnapshot } from "../../src/watch/state-snapshot.js";

export interface Write {
  readonly key: KvKey;
  /** `undefined` deletes. */
  readonly value?: unknown;
  /** The record says that its value has an encoding that nobody knows. */
  readonly isUnreadable?: true;
  readonly place?: number;
}

/** What a feed has to show, for comparison. */
export interface SeenChange {
  readonly key: KvKey;
  readonly value: unknown;
  readonly counter: number;
  readonly order: number;
}

interface Row {
  readonly last: Stamp;
  readonly records: Uint8Array;
}

/** One commit's writes on one shard. */
type CommitWrites = readonly Write[];

const NOTHING: Uint8Array = new Uint8Array(0);
const UNKNOWN_ENCODING = 255;

export class FakeShard {
  readonly rows: Row[] = [];
  /** The state, by the bytes of the key. */
  readonly entries = new Map<string, StateRow>();
  lastStamp: Stamp = { counter: 0, order: 0 };
  /** Rows up to it are gone. */
  trimmedThrough: Stamp = { counter: 0, order: 0 };
  #writer: ChangeRingWriter;

  constructor(
    readonly index: number,
    readonly ring: SharedArrayBuffer,
    readonly engine: FakeEngine,
  ) {
    this.#writer = new ChangeRingWriter(ring);
  }

  /** A whole batch: counter, log, ring, done. */
  write(...commits: CommitWrites[]): number {
    const counter = this.engine.control.takeCounter(this.index);
    const batch = this.engine.batch(this.index, counter, commits, false);
    this.appendLog(batch);
    this.publish(batch);
    this.engine.control.clearInFlight(this.index);
    return counter;
  }

  appendLog(batch: Batch): void {
    this.rows.push(...batch.rows);
    this.lastStamp = batch.rows.at(-1)?.last ?? this.lastStamp;
    for (const row of batch.rows) this.#apply(row.records);
    this.engine.noteCommitted(batch);
  }

  /** Forgets the log but for its newest `keepCount` rows. */
  trim(keepCount: number): void {
    const gone = this.rows.splice(0, Math.max(0, this.rows.length - keepCount));
    this.trimmedThrough = gone.at(-1)?.last ?? this.trimmedThrough;
  }

  #apply(records: Uint8Array): void {
    for (let offset = 0; offset < records.length; ) {
      const record = readChangeRecord(records, offset);
      const key = record.key.slice();
      if (record.type === ChangeType.delete) this.entries.delete(key.join());
      else this.entries.set(key.join(), { key, entry: encodeEntry(record, record.value) });
      offset += (record.length + 7) & -8;
    }
  }

  publish(batch: Batch): void {
    this.#writer.publish(batch.ringBytes);
  }

  /** Publishes about half of the batch, as a thread that dies in between. */
  publishHalf(batch: Batch): void {
    this.#writer.publish(batch.ringRecords.slice(0, batch.ringRecords.length >> 1).reduce(concat, NOTHING));
  }

  /** A new thread takes over: a new writer on the same ring, then the counter of the dead one is let go. */
  restart(): void {
    this.#writer = new ChangeRingWriter(this.ring);
    this.engine.control.clearInFlight(this.index);
  }
}

export interface Batch {
  readonly shard: number;
  readonly rows: readonly Row[];
  readonly ringRecords: readonly Uint8Array[];
  readonly ringBytes: Uint8Array;
  readonly seen: readonly (SeenChange & { readonly place: number })[];
}

export interface FakeEngineOptions {
  readonly shardCount?: number;
  readonly ringBytes?: number;
}

export class FakeEngine {
  readonly control: Control;
  readonly shards: readonly FakeShard[];
  readonly dispatcher: Dispatcher;
  readonly committed: (SeenChange & { readonly place: number })[] = [];
  /** What the dispatcher asked of its owner, in order. */
  readonly calls: string[] = [];
  logReads = 0;
  /** The counter as the dispatcher saw it last. */
  counterSeen = 0;
  /** Called where another thread could get in: after each look at the control block, and after each read of a log. */
  interleave: () => void = () => {};
  logError: Error | undefined;
  snapshotsHeld = 0;

  constructor({ shardCount = 2, ringBytes = 4096 }: FakeEngineOptions = {}) {
    this.control = Control.create(shardCount, 100, 0);
    this.shards = Array.from(
      { length: shardCount },
      (_, index) => new FakeShard(index, createChangeRing(ringBytes), this),
    );
    this.dispatcher = new Dispatcher({
      shardCount,
      control: this.#controlSeen(),
      rings: this.shards.map((shard) => shard.ring),
      readLog: (shard, after, bytesMax) => this.readLog(shard, after, bytesMax),
      setWatching: (on) => this.calls.push(on ? "watch" : "unwatch"),
      onActive: () => this.calls.push("active"),
      onIdle: () => this.calls.push("idle"),
      takeState: () => this.takeState(),
      setPreviousWanted: (wanted) => this.calls.push(wanted ? "previous" : "no previous"),
    });
  }

  /** As the contract of `ReadLog` says. */
  readLog(shard: number, after: Stamp, bytesMax: number): Uint8Array[] {
    this.logReads++;
    if (this.logError !== undefined) throw this.logError;
    const found: Uint8Array[] = [];
    let bytes = 0;
    const { rows, trimmedThrough } = this.shards[shard]!;
    if (compareStamps(after, trimmedThrough) < 0)
      throw new KvHistoryTrimmedError(formatStamp(after), formatStamp(trimmedThrough));
    for (let index = firstAbove(rows, after); index < rows.length; index++) {
      const { records } = rows[index]!;
      if (found.length > 0 && bytes + records.length > bytesMax) break;
      found.push(records.slice());
      bytes += records.length;
    }
    this.interleave();
    return found;
  }

  /** Resolves when no round is half in the logs. */
  roundsSettled: () => Promise<void> = async () => {};

  /** The state of the logs, which are never trimmed for it, with each shard at its own stamp. */
  async takeState(): Promise<StateSnapshot> {
    await this.roundsSettled();
    const lastStamps = this.shards.map((shard) => shard.lastStamp);
    const entries = new Map<string, StateRow>();
    for (const shard of this.shards) {
      for (const [name, row] of shard.entries) entries.set(name, row);
    }
    const rows = [...entries.values()].sort((a, b) => compareBytes(a.key, b.key));
    this.snapshotsHeld++;
    let isHeld = true;
    return {
      lastStamps,
      read: (start, end, limit) => {
        if (!isHeld) throw new Error("the snapshot was let go");
        return rows
          .filter(({ key }) => compareBytes(key, start) >= 0 && compareBytes(key, end) < 0)
          .slice(0, limit);
      },
      nowMs: () => 0,
      done: () => {
        if (isHeld) this.snapshotsHeld--;
        isHeld = false;
      },
    };
  }

  /** The control block, with a gap behind each load in which others may take steps. */
  #controlSeen(): Pick<Control, "watermark" | "shardLine" | "counter"> {
    const engine = this;
    return {
      watermark() {
        const watermark = engine.control.watermark();
        engine.interleave();
        return watermark;
      },
      shardLine(shard) {
        const line = engine.control.shardLine(shard);
        engine.interleave();
        return line;
      },
      get counter() {
        engine.counterSeen = engine.control.counter;
        const seen = engine.counterSeen;
        engine.interleave();
        return seen;
      },
    };
  }

  /** The bytes of one batch of commits on one shard. Two commits share a log row where they can. */
  batch(
    shard: number,
    counter: number,
    commits: readonly CommitWrites[],
    isMulti: boolean,
    firstOrder = 0,
  ): Batch {
    const ring = this.shards[shard]!.ring;
    const ringRecordMax = maxRecordBytes(ring.byteLength - 256);
    const rows: Row[] = [];
    const ringRecords: Uint8Array[] = [];
    const seen: (SeenChange & { place: number })[] = [];
    commits.forEach((writes, index) => {
      const order = firstOrder + index;
      let row = NOTHING;
      writes.forEach((write, place) => {
        const fields = fieldsOf(write, counter, order, write.place ?? place, isMulti);
        const record = recordOf(fields);
        row = concat(row, record);
        ringRecords.push(changeRecordBytes(fields) > ringRecordMax ? stubOf(fields) : record);
        seen.push({ key: write.key, value: write.value ?? null, counter, order, place: fields.place });
      });
      const previous = rows.at(-1);
      if (previous !== undefined && index % 2 === 1) rows.pop();
      rows.push({
        last: { counter, order },
        records: concat(index % 2 === 1 ? previous!.records : NOTHING, row),
      });
    });
    return { shard, rows, ringRecords, ringBytes: ringRecords.reduce(concat, NOTHING), seen };
  }

  noteCommitted(batch: Batch): void {
    this.committed.push(...batch.seen);
  }

  /** A whole round of one multi-shard commit: each shard's writes by its index. */
  writeMulti(parts: readonly (CommitWrites | undefined)[]): number {
    const counter = this.control.takeRoundCounter(0);
    parts.forEach((writes, shard) => {
      if (writes === undefined) return;
      const batch = this.batch(shard, counter, [writes], true);
      this.shards[shard]!.appendLog(batch);
      this.shards[shard]!.publish(batch);
    });
    this.control.clearRoundFloor();
    return counter;
  }

  /** All that was committed at or above a counter and is wanted, in the one order. */
  expected(fromCounter: number, wants: (key: KvKey) => boolean): SeenChange[] {
    return this.committed
      .filter((change) => change.counter >= fromCounter && wants(change.key))
      .sort((a, b) => compareStamps(a, b) || a.place - b.place)
      .map(({ key, value, counter, order }) => ({ key, value, counter, order }));
  }

  /** Polls until there is nothing more to do. */
  pollAll(): void {
    for (let times = 0; this.dispatcher.poll(); times++) {
      if (times > 100_000) throw new Error("the dispatcher never comes to rest");
    }
  }
}

/** Lets everything that waits for the event loop run. */
export async function turns(count = 3): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export function counterOf(versionstamp: string): number {
  return Number.parseInt(versionstamp.slice(0, 16), 16);
}

export function seenOf(change: { key: KvKey; value: unknown; versionstamp: string }): SeenChange {
  const order = Number.parseInt(change.versionstamp.slice(16), 16);
  return { key: change.key, value: change.value, counter: counterOf(change.versionstamp), order };
}

/** Reads `count` changes, letting the event loop turn while it waits. */
export async function take<T>(iterator: AsyncIterator<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  while (taken.length < count) {
    const result = await iterator.next();
    if (result.done) break;
    taken.push(result.value);
  }
  return taken;
}

/** Whether a promise is still pending when the event loop has turned a few times. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  return (await Promise.race([promise.catch(() => undefined), turns(5).then(() => pending)])) === pending;
}

function fieldsOf(
  write: Write,
  counter: number,
  order: number,
  place: number,
  isMulti: boolean,
): ChangeFields {
  const shared = { isMulti, counter, order, place, expiresAtMs: 0, key: encodeKey(write.key) };
  if (write.value === undefined) {
    return { ...shared, type: ChangeType.delete, cause: ChangeCause.delete, encoding: 0, value: NOTHING };
  }
  const { encoding: known, bytes } = encodeValue(write.value);
  const encoding = write.isUnreadable ? UNKNOWN_ENCODING : known;
  return { ...shared, type: ChangeType.create, cause: ChangeCause.set, encoding, value: bytes };
}

function recordOf(fields: ChangeFields): Uint8Array {
  const bytes = new Uint8Array((changeRecordBytes(fields) + 7) & -8);
  writeChangeRecord(bytes, new DataView(bytes.buffer), 0, fields);
  return bytes;
}

function stubOf(fields: ChangeFields): Uint8Array {
  const bytes = new Uint8Array(40);
  writeStubRecord(bytes, new DataView(bytes.buffer), 0, fields);
  return bytes;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

function firstAbove(rows: readonly Row[], after: Stamp): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareStamps(rows[middle]!.last, after) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}
