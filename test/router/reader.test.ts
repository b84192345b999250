import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { borrowKey, encodeKey } from "../../src/codec/key.js";
import { Control, ROUND_WORDS, ShardState } from "../../src/ring/control.js";
import { Cuts } from "../../src/router/cut.js";
import { renewFresh } from "../../src/router/fresh-snapshot.js";
import { Reader } from "../../src/router/reader.js";
import { ShardStore } from "../../src/store/shard-store.js";

const KEY = Buffer.from("k");
/** An entry that never expires; its first byte tells which. */
const entry = (first: number) => Uint8Array.from({ length: 24 }, (_, index) => (index === 0 ? first : 0));

test("a get sees what LMDB has committed, and so a cut before it may have seen, though the shard has not said yet that it has committed", async () => {
  const path = mkdtempSync(join(tmpdir(), "belfry-reader-"));
  const store = ShardStore.open(path, "relaxed");
  // As the shard's thread has it: a writer's own snapshot moves with its commits.
  const writer = ShardStore.open(path, "relaxed");
  try {
    const control = Control.create(1, 0, 0);
    control.setState(0, ShardState.running);
    const reader = new Reader(control, 0, [store], 2, systemClock);
    const get = () => reader.getSync(KEY, (bytes) => bytes?.[0]);
    writer.transaction(() => writer.putEntry(KEY, entry(1)));
    expect(get()).toBe(1);
    control.setState(0, ShardState.inTransaction);
    writer.transaction(() => writer.putEntry(KEY, entry(2)));
    expect(get()).toBe(2);
  } finally {
    await Promise.all([store.close(), writer.close()]);
    rmSync(path, { recursive: true, force: true });
  }
});

/**
 * LMDB may hand out what a writer is about to commit, to a thread that stood still while the transaction before ended. The place is inside
 * of LMDB, so these tests play it: what is read first is of the future, and the counter has been raised meanwhile.
 */
test("a snapshot that was taken while a transaction ended is taken again", async () => {
  const path = mkdtempSync(join(tmpdir(), "belfry-reader-"));
  const store = ShardStore.open(path, "relaxed");
  const control = Control.create(1, 0, 0);
  control.setState(0, ShardState.running);
  let taken = 0;
  const endTransactionAtFirst = () => {
    if (taken++ === 0) control.raiseCommits(0);
  };
  try {
    store.transaction(() => store.putEntry(KEY, entry(1)));
    const { readEntry, hold } = store;
    store.readEntry = (key, snapshot) => {
      const future = snapshot === undefined && taken === 0 ? entry(2) : undefined;
      if (snapshot === undefined) endTransactionAtFirst();
      return future ?? readEntry.call(store, key, snapshot);
    };
    const reader = new Reader(control, 0, [store], 2, systemClock);
    expect(reader.getSync(KEY, (bytes) => bytes?.[0])).toBe(1);
    expect(taken).toBe(2);

    let held = 0;
    store.hold = () => {
      const snapshot = hold.call(store);
      endTransactionAtFirst();
      held++;
      return {
        done: () => {
          snapshot.done();
          held--;
        },
      };
    };
    const cuts = new Cuts(control, 0, [store]);
    for (const take of [() => cuts.takeSync([0]), () => cuts.take([0])]) {
      taken = 0;
      const cut = await take();
      expect([taken, held]).toEqual([2, 1]);
      cut.done();
    }
    taken = 0;
    renewFresh(control, 0, store);
    expect([taken, held]).toEqual([2, 0]);
  } finally {
    await store.close();
    rmSync(path, { recursive: true, force: true });
  }
});

test("reads that are asked for in one microtask share one cut, taken after the call, and fail each by itself", async () => {
  const path = mkdtempSync(join(tmpdir(), "belfry-reader-"));
  const store = ShardStore.open(path, "relaxed");
  const control = Control.create(1, 0, 0);
  control.setState(0, ShardState.running);
  const { hold } = store;
  let held = 0;
  store.hold = () => {
    held++;
    return hold.call(store);
  };
  try {
    const reader = new Reader(control, 0, [store], 2, systemClock);
    const first = (): Promise<(number | undefined)[]> =>
      reader.getManySoon([KEY, Buffer.from("other")], (bytes) => bytes?.[0]);
    const together = [first(), first(), first()];
    const failing = reader.getManySoon([KEY], () => {
      throw new Error("not decoded");
    });
    store.transaction(() => store.putEntry(KEY, entry(1)));
    await expect(failing).rejects.toThrow("not decoded");
    expect(await Promise.all(together)).toEqual([
      [1, undefined],
      [1, undefined],
      [1, undefined],
    ]);
    expect(held).toBe(1);

    store.hold = () => {
      throw new Error("no snapshot");
    };
    const refused = await Promise.allSettled([first(), first()]);
    expect(refused.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    store.hold = hold;
    store.transaction(() => store.putEntry(KEY, entry(2)));
    expect(await first()).toEqual([2, undefined]);
  } finally {
    await store.close();
    rmSync(path, { recursive: true, force: true });
  }
});

test("a get that waits for a round keeps its key, which it was lent for the call", async () => {
  const path = mkdtempSync(join(tmpdir(), "belfry-reader-"));
  const stores = [0, 1].map((shard) => ShardStore.open(join(path, `${shard}`), "relaxed"));
  try {
    const control = Control.create(2, 0, 0);
    const key = encodeKey(["waits"]);
    for (const shard of [0, 1]) {
      control.setState(shard, ShardState.running);
      control.setRoundEntered(shard, 1);
      stores[shard]!.transaction(() => stores[shard]!.putEntry(key, entry(7)));
    }
    const reader = new Reader(control, 0, stores, 2, systemClock);
    const found = reader.get(borrowKey(["waits"]), (bytes) => bytes?.[0]);
    expect(found).toBeInstanceOf(Promise);
    borrowKey(["other"]);
    Atomics.store(control.words, ROUND_WORDS.finished, 1);
    Atomics.notify(control.words, ROUND_WORDS.finished);
    expect(await found).toBe(7);
  } finally {
    await Promise.all(stores.map((store) => store.close()));
    rmSync(path, { recursive: true, force: true });
  }
});
