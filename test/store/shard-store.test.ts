/** One shard's environment: transactions, snapshots, ranges, due times, the log and the meta table. */
import { mkdirSync, writeFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { ShardStore } from "../../src/store/shard-store.js";
import { tempPath } from "../kv/temp-store.js";

const bytes = (...values: number[]) => Uint8Array.from(values);

function opened(path = tempPath()): ShardStore {
  const store = ShardStore.open(path, "sync");
  onTestFinished(() => store.close());
  return store;
}

function keysOf(rows: Iterable<{ key: Uint8Array }>): number[] {
  return [...rows].map(({ key }) => key[0]!);
}

test("an entry that was put is read, as a plain Uint8Array of its own length", () => {
  const store = opened();
  store.transaction(() => {
    store.putEntry(bytes(1), bytes(1, 2, 3));
    store.putEntry(bytes(2), new Uint8Array(100_000).fill(7));
  });
  store.renew();
  const entry = store.readEntry(bytes(1))!;
  expect(Object.getPrototypeOf(entry)).toBe(Uint8Array.prototype);
  expect(entry.slice()).toEqual(bytes(1, 2, 3));
  expect(store.readEntry(bytes(2))!.slice()).toEqual(new Uint8Array(100_000).fill(7));
  expect(store.readEntry(bytes(3))).toBeUndefined();
});

test("a transaction sees its own writes, and when it throws nothing has changed", () => {
  const store = opened();
  store.transaction(() => store.putEntry(bytes(1), bytes(1)));
  const attempt = () =>
    store.transaction(() => {
      store.putEntry(bytes(1), bytes(2));
      store.putEntry(bytes(2), bytes(2));
      store.log.append([{ last: bytes(0, 0, 0, 0, 0, 0, 0, 1, 0, 0), records: bytes(1) }], 1000);
      expect(store.readEntry(bytes(1))!.slice()).toEqual(bytes(2));
      throw new Error("no");
    });
  expect(attempt).toThrow("no");
  store.renew();
  expect(store.readEntry(bytes(1))!.slice()).toEqual(bytes(1));
  expect(store.readEntry(bytes(2))).toBeUndefined();
  expect(store.log.read(new Uint8Array(10), 1000)).toEqual([]);
});

test("a held snapshot keeps its moment while others move on", () => {
  const store = opened();
  store.transaction(() => store.putEntry(bytes(1), bytes(1)));
  const held = store.hold();
  store.transaction(() => {
    store.putEntry(bytes(1), bytes(2));
    store.putEntry(bytes(2), bytes(2));
  });
  store.renew();
  expect(store.readEntry(bytes(1), held)!.slice()).toEqual(bytes(1));
  expect(keysOf(store.rangeEntries(bytes(0), bytes(255), false, held))).toEqual([1]);
  expect(store.readEntry(bytes(1))!.slice()).toEqual(bytes(2));
  held.done();
});

test("a range has its start and not its end, in both directions, and keeps its bytes when it goes on", () => {
  const store = opened();
  store.transaction(() => {
    for (let n = 1; n <= 5; n++) store.putEntry(bytes(n), bytes(n));
  });
  const held = store.hold();
  expect(keysOf(store.rangeEntries(bytes(2), bytes(4), false, held))).toEqual([2, 3]);
  expect(keysOf(store.rangeEntries(bytes(2), bytes(4), true, held))).toEqual([3, 2]);
  expect(keysOf(store.rangeEntries(bytes(2, 0), bytes(9), false, held))).toEqual([3, 4, 5]);
  expect(keysOf(store.rangeEntries(bytes(0), bytes(3, 0), true, held))).toEqual([3, 2, 1]);
  expect(keysOf(store.rangeEntries(bytes(6), bytes(9), true, held))).toEqual([]);
  const rows = [...store.rangeEntries(bytes(0), bytes(9), false, held)];
  expect(rows.map(({ key, value }) => [key[0], value[0]])).toEqual([1, 2, 3, 4, 5].map((n) => [n, n]));
  held.done();
});

test("due keys come earliest first, up to now, up to the limit; the first due time is told", () => {
  const store = opened();
  store.transaction(() => {
    expect(store.firstDueMs()).toBe(Number.POSITIVE_INFINITY);
    store.putExpiry(1_700_000_000_000, bytes(1));
    store.putExpiry(5, bytes(2));
    store.putExpiry(5, bytes(1));
    store.putExpiry(70, bytes(3));
    expect(store.firstDueMs()).toBe(5);
    expect(store.dueKeys(4, 10)).toEqual([]);
    const due = store.dueKeys(70, 10).map(({ dueMs, key }) => [dueMs, ...key]);
    expect(due).toEqual([
      [5, 1],
      [5, 2],
      [70, 3],
    ]);
    expect(store.dueKeys(70, 2)).toHaveLength(2);
    store.removeExpiry(5, bytes(1));
    store.removeExpiry(5, bytes(2));
    expect(store.firstDueMs()).toBe(70);
  });
});

test("where a shard stands, the round and its redo record are kept over a reopening", async () => {
  const path = tempPath();
  const head = {
    lastVersionstamp: bytes(0, 0, 0, 0, 0, 0, 0, 9, 0, 1),
    trimmedThrough: bytes(0, 0, 0, 0, 0, 0, 0, 5, 0, 1),
    logBytes: 2 ** 40 + 1,
  };
  const first = ShardStore.open(path, "sync");
  expect([first.lastVersionstamp(), first.appliedRound(), first.redo()]).toEqual([undefined, 0, undefined]);
  first.transaction(() => {
    first.putHead(head);
    first.putRound(0xffff_fff0, bytes(1, 2, 3));
  });
  await first.close();
  const second = opened(path);
  expect(second.head()).toEqual(head);
  expect(second.lastVersionstamp()).toEqual(head.lastVersionstamp);
  expect(second.appliedRound()).toBe(0xffff_fff0);
  expect(second.redo()).toEqual(bytes(1, 2, 3));
});

test("what can't be opened is a KvStorageError that says where and why", () => {
  const path = tempPath();
  mkdirSync(path);
  writeFileSync(`${path}/file`, "");
  expect(() => ShardStore.open(`${path}/file`, "sync")).toThrow(
    expect.objectContaining({ code: "KV_STORAGE" }),
  );
  expect(() => ShardStore.open(`${path}/file`, "sync")).toThrow(`${path}/file`);
});
