/** A caller that writes in place of a sleeping shard: when it may, what it leaves behind, and what comes of its failures. */
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { readChangeRecord } from "../../src/codec/change-record.js";
import { type CommitFields, KeyKind, MutationType } from "../../src/codec/commit-frame.js";
import { ReplyStatus } from "../../src/codec/reply-frame.js";
import { ChangeRingReader, createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { CHANGE_INTENT_WORD, RECORD_ALIGNMENT_BYTES } from "../../src/ring/layout.js";
import { Faults } from "../../src/shard/faults.js";
import { InlineCommits } from "../../src/shard/inline-commits.js";
import { ShardWriter } from "../../src/shard/shard-writer.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { tempPath } from "../kv/temp-store.js";

const CALLER = 3;
const SHARD = 0;
const LOG = { bytesMax: 2 ** 20, ageMsMax: Number.POSITIVE_INFINITY };
const RING_BYTES = 2 ** 16;

function setOf(name: string, expiresAtMs = 0): CommitFields {
  const mutation = {
    type: MutationType.SET,
    keyKind: KeyKind.PLAIN,
    shard: SHARD,
    key: Buffer.from(name),
    encoding: 1,
    value: Buffer.from("value"),
    expiresAtMs,
  };
  return { checks: [], mutations: [mutation] };
}

/** A shard whose thread sleeps, which is what its free lock says. */
function sleepingShard() {
  const control = Control.create(1, 0, 0);
  const store = ShardStore.open(tempPath(), "relaxed");
  onTestFinished(() => store.close());
  const changes = createChangeRing(RING_BYTES);
  const shared = { shard: SHARD, control, store, clock: systemClock, changes, log: LOG };
  // The thread's own writer comes first, as it does in an engine.
  const thread = new ShardWriter({ ...shared, faults: new Faults(null, SHARD) }, null);
  const inline = new InlineCommits({ ...shared, caller: CALLER, partitionDepth: 2 });
  control.setDueMs(SHARD, Number.POSITIVE_INFINITY);
  letGo(control);
  return { control, store, changes, thread, inline };
}

/** As a thread does that goes to sleep. */
function letGo(control: Control): void {
  control.unlockWriter(SHARD);
}

/** How many records are there to read. */
function recordsIn(ring: ChangeRingReader): number {
  let count = 0;
  for (;;) {
    const bytes = ring.poll(RING_BYTES);
    if (bytes === "lapped") throw new Error("the ring has lapped its reader");
    if (bytes === "empty") return count;
    count += recordsOf(bytes);
  }
}

function recordsOf(bytes: Uint8Array): number {
  let count = 0;
  for (let offset = 0; offset < bytes.length; count++) {
    const { length } = readChangeRecord(bytes, offset);
    offset += Math.ceil(length / RECORD_ALIGNMENT_BYTES) * RECORD_ALIGNMENT_BYTES;
  }
  return count;
}

test("commits are made, logged and published, and their answers say so", () => {
  const { control, store, changes, inline } = sleepingShard();
  const ring = new ChangeRingReader(changes);
  const before = control.commits(SHARD);
  const replies = inline.run([setOf("a"), setOf("b")]);
  expect(replies?.map(({ status }) => status)).toEqual([ReplyStatus.committed, ReplyStatus.committed]);
  expect(store.readEntry(Buffer.from("a"))).toBeDefined();
  expect(store.readEntry(Buffer.from("b"))).toBeDefined();
  expect(control.commits(SHARD)).not.toBe(before);
  expect(ring.tail).not.toBe(ring.position);
  expect(control.watermark()).toBe(control.counter + 1);
});

test("nothing is done while the shard's thread is awake", () => {
  const { control, store, inline } = sleepingShard();
  control.lockWriter(SHARD);
  expect(inline.run([setOf("a")])).toBeNull();
  expect(store.readEntry(Buffer.from("a"))).toBeUndefined();
  letGo(control);
  expect(inline.run([setOf("a")])).not.toBeNull();
});

test("nothing is done after a round that has not finished elsewhere, nor while a cut holds the shards back, nor when the engine stops", () => {
  const { control, inline } = sleepingShard();
  control.setRoundEntered(SHARD, 1);
  expect(inline.run([setOf("a")])).toBeNull();
  control.setRoundEntered(SHARD, 0);
  control.closeCutGate(CALLER);
  expect(inline.run([setOf("a")])).toBeNull();
  control.openCutGate(CALLER);
  expect(inline.run([setOf("a")])).not.toBeNull();
  control.stop();
  expect(inline.run([setOf("a")])).toBeNull();
});

test("two writers that take turns go on in the ring where the other has ended", () => {
  const { control, store, changes, thread, inline } = sleepingShard();
  const ring = new ChangeRingReader(changes);
  let published = 0;
  for (let turn = 0; turn < 200; turn++) {
    expect(inline.run([setOf(`inline ${turn}`)])).not.toBeNull();
    control.lockWriter(SHARD);
    thread.commit(1, (batch) => {
      const counter = control.takeCounter(SHARD);
      const value = { encoding: 1, value: Buffer.from("v"), expiresAtMs: 0 };
      batch.apply(
        [{ shard: SHARD, key: Buffer.from(`thread ${turn}`), place: 0, before: null, after: value }],
        counter,
        1,
        false,
      );
    });
    letGo(control);
    published += recordsIn(ring);
  }
  expect(published).toBe(400);
  const logged = store.log.read(new Uint8Array(10), 2 ** 20);
  expect(logged.reduce((sum, row) => sum + recordsOf(row), 0)).toBe(400);
});

test("an entry that expires earlier than the sweeper knew wakes the thread, one that expires later does not", () => {
  const { control, inline } = sleepingShard();
  const bell = control.doorbell(SHARD);
  inline.run([setOf("a", Date.now() + 60_000)]);
  expect(control.doorbell(SHARD)).not.toBe(bell);
  const dueMs = control.dueMs(SHARD);
  const later = control.doorbell(SHARD);
  inline.run([setOf("b", Date.now() + 120_000)]);
  expect(control.doorbell(SHARD)).toBe(later);
  expect(control.dueMs(SHARD)).toBe(dueMs);
});

test("a transaction that fails changes nothing, says so, and lets the thread on", () => {
  const { control, store, inline } = sleepingShard();
  store.transaction = () => {
    throw new Error("no room");
  };
  const replies = inline.run([setOf("a")]);
  expect(replies).toEqual([{ status: ReplyStatus.storage, message: expect.stringContaining("no room") }]);
  expect(store.readEntry(Buffer.from("a"))).toBeUndefined();
  expect(control.watermark()).toBe(control.counter + 1);
  expect(control.tryLockWriter(SHARD)).toBe(true);
});

test("what is committed and can't be published condemns the thread, whose successor takes it from the log", async () => {
  const { control, changes, inline } = sleepingShard();
  const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
  // As if somebody wrote beside the lock: the ring finds that out, and takes nothing more.
  Atomics.add(new Int32Array(changes), CHANGE_INTENT_WORD, 1);
  expect(inline.run([setOf("a")])).toEqual([{ status: ReplyStatus.unknown }]);
  expect(inline.run([setOf("b")])).toBeNull();
  expect(control.takeCondemned(SHARD)).toBe(true);
  expect(control.takeCondemned(SHARD)).toBe(false);
  // The watermark stays below what nobody can read.
  expect(control.watermark()).toBeLessThan(control.counter + 1);
  expect((await warned).message).toMatch(/starts anew/);
});

test("nothing is made while the disk is far behind; the shard's thread makes it, after a wait that ends", () => {
  const { control, store, thread, inline } = sleepingShard();
  control.setFlushed(SHARD, control.commits(SHARD));
  control.setDiskLagMax(1);
  expect(inline.run([setOf("a")])).not.toBeNull();
  expect(inline.run([setOf("b")])).toBeNull();
  expect(store.readEntry(Buffer.from("b"))).toBeUndefined();
  let wasFarAhead = false;
  thread.commit(1, () => {
    wasFarAhead = control.isFarAheadOfDisk(SHARD);
  });
  expect(wasFarAhead).toBe(true);
  control.setFlushed(SHARD, control.commits(SHARD));
  expect(inline.run([setOf("b")])).not.toBeNull();
});
