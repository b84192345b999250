/** Queues as callers see them: what Deno KV promises of them, and what goes beyond. Time is given where it matters. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type KvEnqueueOptions, type KvKey, ManualClock } from "../../src/index.js";
import { all, isEmpty, onError, sameBytes, take, until } from "./queue-waiting.js";
import { keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

describe("enqueue", () => {
  test("has the result of a commit, and takes a versionstamp", async () => {
    const kv = await tempKv();
    const before = await kv.set(["a"], 1);
    const result = await kv.enqueue("x");
    expect(result).toEqual({ ok: true, versionstamp: expect.stringMatching(/^[0-9a-f]{20}$/) });
    expect(result.versionstamp > before.versionstamp).toBe(true);
  });

  test("a handler gets a clone of the value as it was", async () => {
    const kv = await tempKv();
    const values = [
      undefined,
      null,
      0,
      "text",
      5n,
      new Map([[1, { a: [1, 2] }]]),
      new Uint8Array([1, 2]),
      new Date(5),
    ];
    const changed = { inner: [1] };
    const pending = kv.enqueue(changed);
    changed.inner.push(2);
    await pending;
    expect(await take(kv, 1)).toEqual([{ inner: [1] }]);
    for (const value of values) {
      await kv.enqueue(value);
      expect(await take(kv, 1)).toEqual([value]);
    }
  });

  const REFUSED: readonly [options: KvEnqueueOptions, message: string][] = [
    [{ delay: -1 }, "Delay must be >= 0: received -1"],
    [{ delay: 2_592_000_001 }, "Delay cannot be greater than 30 days: received 2592000001"],
    [{ delay: Number.NaN }, "Delay cannot be NaN"],
    [{ backoffSchedule: [1, 1, 1, 1, 1, 1] }, "Invalid backoffSchedule, max 5 intervals allowed"],
    [{ backoffSchedule: [-1] }, "Invalid backoffSchedule, interval at index 0 is invalid"],
    [{ backoffSchedule: [1, 3_600_001] }, "Invalid backoffSchedule, interval at index 1 is invalid"],
    [{ backoffSchedule: [1, 2, Number.NaN] }, "Invalid backoffSchedule, interval at index 2 is invalid"],
    [
      { keysIfUndelivered: Array.from({ length: 1001 }, (_, n) => [n]) },
      "Too many keys in keysIfUndelivered (max 1000)",
    ],
  ];
  const BAD_KEYS: readonly [key: KvKey, message: string][] = [
    [["k".repeat(3000)], "Key too large for write (max 2048 bytes)"],
    [[], "key cannot be empty"],
  ];
  test("refuses bad options in Deno's words: it rejects, and atomic().enqueue throws", async () => {
    const kv = await tempKv();
    for (const [options, message] of REFUSED) {
      await expect(kv.enqueue("x", options)).rejects.toMatchObject({ name: "TypeError", message });
      expect(() => kv.atomic().enqueue("x", options)).toThrow(message);
    }
    // As with the keys of mutations, atomic tells at the commit.
    for (const [key, message] of BAD_KEYS) {
      const options = { keysIfUndelivered: [key] };
      await expect(kv.enqueue("x", options)).rejects.toMatchObject({ name: "TypeError", message });
      await expect(kv.atomic().enqueue("x", options).commit()).rejects.toThrow(message);
    }
    expect(isEmpty(kv)).toBe(true);
  });

  test("takes the limits themselves", async () => {
    const kv = await tempKv();
    await kv.enqueue("x", { delay: 2_592_000_000, backoffSchedule: [0, 3_600_000, 1, 1, 1] });
    await kv.enqueue("x", { delay: 0.5, backoffSchedule: [] });
    expect(await take(kv, 1)).toEqual(["x"]);
  });

  test("refuses a payload above messageBytesMax, and what can't be cloned", async () => {
    const kv = await tempKv(undefined, { limits: { messageBytesMax: 1000 } });
    await expect(kv.enqueue("x".repeat(1000))).rejects.toThrow("enqueue payload too large (max 1000 bytes)");
    await expect(kv.enqueue(() => 1)).rejects.toMatchObject({ code: "KV_INVALID_VALUE" });
    await kv.enqueue(new Uint8Array(1000));
  });

  test("a payload that is too large for a ring arrives, alone and in a commit over several shards", async () => {
    const kv = await tempKv(undefined, { shards: 3 });
    const large = new Uint8Array(3_000_000).fill(9);
    await kv.enqueue(large);
    expect(sameBytes((await take(kv, 1))[0], large)).toBe(true);
    let commit = kv.atomic().enqueue(large);
    for (const key of keyOnEachShard("k", 3)) commit = commit.set(key, 1);
    await commit.commit();
    expect(sameBytes((await take(kv, 1))[0], large)).toBe(true);
  });
});

describe.each([1, 2, 5])("a commit with messages, on %i shards", (shards) => {
  test("stores all of them or none, in their order", async () => {
    const kv = await tempKv(undefined, { shards });
    const [key] = keyOnEachShard("k", shards);
    const refused = await kv
      .atomic()
      .check({ key: key!, versionstamp: `${"0".repeat(19)}1` })
      .enqueue("never")
      .commit();
    expect(refused.ok).toBe(false);
    await kv.set(["text"], "no number");
    await expect(kv.atomic().enqueue("never").sum(["text"], 1n).commit()).rejects.toThrow("non-U64");
    expect(isEmpty(kv)).toBe(true);
    await kv.atomic().set(key!, 1).enqueue("a").enqueue("b").set(["other"], 2).enqueue("c").commit();
    expect(await take(kv, 3)).toEqual(["a", "b", "c"]);
  });

  test("is read whole by the handler", async () => {
    const kv = await tempKv(undefined, { shards });
    const keys = keyOnEachShard("k", shards);
    const torn: unknown[] = [];
    let handled = 0;
    void kv.listenQueue(async (n) => {
      const entries = await Promise.all(keys.map((key) => kv.get<number>(key)));
      for (const { value } of entries) if (value === null || value < (n as number)) torn.push([n, value]);
      handled++;
    });
    for (let n = 1; n <= 100; n++) {
      const commit = kv.atomic().enqueue(n);
      for (const key of keys) commit.set(key, n);
      await commit.commit();
    }
    await until("all are handled", () => handled === 100);
    expect(torn).toEqual([]);
  });

  test("its messages live in the shard of its first key; commits of messages alone take turns", async () => {
    const kv = await tempKv(undefined, { shards });
    const keys = keyOnEachShard("k", shards);
    for (const [shard, key] of keys.entries()) {
      await kv.atomic().set(key, 1).set(keys[0]!, 2).enqueue("x").commit();
      expect(kv.queueStats().shards[shard]!.ready).toBe(1);
    }
    for (let n = 0; n < shards; n++) await kv.enqueue("y");
    expect(kv.queueStats().shards.map(({ ready }) => ready)).toEqual(keys.map(() => 2));
    await kv.atomic().set(["log", kv.commitVersionstamp()], 1).enqueue("z").commit();
    expect(kv.queueStats().ready).toBe(2 * shards + 1);
  });
});

describe("time", () => {
  test("a delayed message is handled when its time has come, and not before", async () => {
    const clock = new ManualClock(1_000_000);
    const kv = await tempKv(undefined, { clock, shards: 2 });
    const handled: unknown[] = [];
    void kv.listenQueue((value) => handled.push(value));
    await kv.enqueue("in a minute", { delay: 60_000 });
    await kv.enqueue("in a second", { delay: 1000 });
    await kv.enqueue("now");
    await until("the first is handled", () => handled.length === 1);
    expect(kv.queueStats()).toMatchObject({ delayed: 2, nextDueMs: 1_001_000 });
    clock.advance(999);
    await sleep(30);
    expect(handled).toEqual(["now"]);
    clock.advance(1);
    await until("the second is handled", () => handled.length === 2);
    clock.advance(59_000);
    await until("the third is handled", () => handled.length === 3);
    expect(handled).toEqual(["now", "in a second", "in a minute"]);
  });

  test("the system's time wakes a shard, too", async () => {
    const kv = await tempKv();
    const enqueuedMs = performance.now();
    await kv.enqueue("x", { delay: 60 });
    await take(kv, 1);
    expect(performance.now() - enqueuedMs).toBeGreaterThanOrEqual(59);
  });

  test("what is due becomes ready also while the only listener is too busy to ask for it", async () => {
    const kv = await tempKv(undefined, { shards: 1 });
    const handled: unknown[] = [];
    void kv.listenQueue((value) => handled.push(value));
    await kv.enqueue("x", { delay: 30 });
    const deadlineMs = Date.now() + 10_000;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    // Nothing of this thread runs meanwhile.
    while (kv.queueStats().ready === 0 && Date.now() < deadlineMs) Atomics.wait(pause, 0, 0, 10);
    expect(kv.queueStats()).toMatchObject({ ready: 1, delayed: 0 });
    expect(handled).toEqual([]);
    await until("it is handled", () => handled.length === 1);
  });

  test("a failing message is tried again after each interval, then put aside", async () => {
    const clock = new ManualClock(0);
    const kv = await tempKv(undefined, { clock, shards: 2 });
    const triedMs: number[] = [];
    const errors: unknown[] = [];
    const fail = () => {
      triedMs.push(clock.nowMs());
      throw new Error("broken");
    };
    void kv.listenQueue(fail, { onError: (error) => errors.push(error) });
    await kv.enqueue("x", { backoffSchedule: [10, 300] });
    await until("the first try", () => kv.queueStats().delayed === 1);
    clock.advance(9);
    await sleep(20);
    expect(triedMs).toEqual([0]);
    clock.advance(1);
    await until("the second try", () => triedMs.length === 2 && kv.queueStats().delayed === 1);
    clock.advance(300);
    await until("it is dead", () => kv.queueStats().dead === 1);
    expect(triedMs).toEqual([0, 10, 310]);
    expect(errors.map(String)).toEqual(Array(3).fill("Error: broken"));
    expect(isEmpty(kv)).toBe(true);
  });

  test("without a schedule of its own a message is tried six times", async () => {
    const clock = new ManualClock(0);
    const kv = await tempKv(undefined, { clock });
    const triedMs: number[] = [];
    void kv.listenQueue(
      async () => {
        triedMs.push(clock.nowMs());
        await Promise.reject(new Error("no"));
      },
      { onError },
    );
    await kv.enqueue("x");
    for (const [tries, intervalMs] of [100, 1000, 5000, 30_000, 60_000].entries()) {
      await until("it backs off", () => triedMs.length === tries + 1 && kv.queueStats().delayed === 1);
      clock.advance(intervalMs);
    }
    await until("it is dead", () => kv.queueStats().dead === 1);
    expect(triedMs).toEqual([0, 100, 1100, 6100, 36_100, 96_100]);
  });

  test("a handler that takes a day keeps its message, and so does one that blocks its thread", async () => {
    const clock = new ManualClock(0);
    const kv = await tempKv(undefined, { clock });
    const handled: unknown[] = [];
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    for (let listener = 0; listener < 2; listener++) {
      void kv.listenQueue(async (value) => {
        handled.push(value);
        await finished;
      });
    }
    await kv.enqueue("x");
    await until("it is begun", () => handled.length === 1);
    for (let hour = 0; hour < 24; hour++) {
      clock.advance(3_600_000);
      await sleep(2);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    expect(kv.queueStats()).toMatchObject({ leased: 1, ready: 0, running: 1 });
    finish();
    await until("it is gone", () => isEmpty(kv));
    expect(handled).toEqual(["x"]);
  });
});

describe.each([1, 3])("a message that can't be delivered, on %i shards", (shards) => {
  test("is written under its keys in one commit, which watchers hear, and is kept", async () => {
    const clock = new ManualClock(5000);
    const kv = await tempKv(undefined, { shards, clock });
    const keys = keyOnEachShard("undelivered", shards);
    await kv.set(keys[0]!, "before", { expireIn: 60_000 });
    const feed = kv.changes({ prefix: ["undelivered"] });
    const enqueued = await kv.enqueue({ order: 7 }, { backoffSchedule: [], keysIfUndelivered: keys });
    void kv.listenQueue(
      () => {
        throw new RangeError("no such order");
      },
      { onError },
    );
    const stamps = new Set<string>();
    let left = shards;
    for await (const change of feed) {
      expect(change).toMatchObject({ value: { order: 7 } });
      stamps.add(change.versionstamp);
      if (--left === 0) break;
    }
    expect(stamps.size).toBe(1);
    clock.advance(100_000);
    for (const key of keys) expect((await kv.get(key)).value).toEqual({ order: 7 });
    const letters = await all(kv.deadLetters.list());
    expect(letters).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{26}$/),
        value: { order: 7 },
        error: "RangeError: no such order",
        failures: 1,
        interruptions: 0,
        versionstamp: enqueued.versionstamp,
        enqueuedAtMs: 5000,
        diedAtMs: 5000,
        keysIfUndelivered: keys,
      },
    ]);
  });

  test("can be looked at, tried again, deleted and purged", async () => {
    const clock = new ManualClock(0);
    const kv = await tempKv(undefined, { shards, clock });
    const handled: unknown[] = [];
    let isBroken = true;
    void kv.listenQueue(
      (value) => {
        handled.push(value);
        if (isBroken) throw new Error("broken");
      },
      { onError },
    );
    for (let n = 0; n < 250; n++) await kv.enqueue(n, { backoffSchedule: [] });
    await until("all are dead", () => kv.queueStats().dead === 250);
    const { deadLetters } = kv;
    const ids: string[] = [];
    for await (const { id, value } of deadLetters.list()) {
      expect(value).toBe(ids.length);
      ids.push(id);
    }
    expect(ids).toHaveLength(250);
    const page = await all(deadLetters.list({ after: ids[99]!, limit: 20 }));
    expect(page.map(({ value }) => value)).toEqual(Array.from({ length: 20 }, (_, n) => 100 + n));
    expect((await deadLetters.get(ids[7]!))?.value).toBe(7);

    isBroken = false;
    handled.length = 0;
    expect(await deadLetters.requeue(ids[7]!)).toBe(true);
    expect(await deadLetters.requeue(ids[7]!)).toBe(false);
    await until("it is handled", () => isEmpty(kv));
    expect(handled).toEqual([7]);
    expect(await deadLetters.get(ids[7]!)).toBeNull();
    expect(await deadLetters.requeue(ids[9]!, { delay: 500 })).toBe(true);
    expect(kv.queueStats()).toMatchObject({ delayed: 1, nextDueMs: 500 });

    expect(await deadLetters.delete(ids[8]!)).toBe(true);
    expect(await deadLetters.delete(ids[8]!)).toBe(false);
    expect(await deadLetters.purge({ diedBeforeMs: 0 })).toBe(0);
    expect(await deadLetters.purge({ diedBeforeMs: 1 })).toBe(247);
    expect(await deadLetters.purge()).toBe(0);
    expect(kv.queueStats()).toMatchObject({ dead: 0, deadBytes: 0, dropped: 0 });
  });

  test("bad ids and options are refused", async () => {
    const kv = await tempKv(undefined, { shards });
    const { deadLetters } = kv;
    const misuse = { code: "KV_INVALID_OPTION" };
    for (const id of ["", "x".repeat(26), `${"0".repeat(24)}1f`, `${"0".repeat(24)}0`]) {
      await expect(deadLetters.get(id)).rejects.toMatchObject(misuse);
      await expect(deadLetters.requeue(id)).rejects.toMatchObject(misuse);
      await expect(deadLetters.delete(id)).rejects.toMatchObject(misuse);
      await expect(deadLetters.list({ after: id }).next()).rejects.toMatchObject(misuse);
    }
    await expect(deadLetters.list({ limit: 0 }).next()).rejects.toMatchObject(misuse);
    await expect(deadLetters.requeue("0".repeat(26), { delay: -1 })).rejects.toThrow("Delay must be >= 0");
    await expect(deadLetters.purge({ diedBeforeMs: Number.NaN })).rejects.toMatchObject(misuse);
    expect(await deadLetters.get("0".repeat(26))).toBeNull();
  });
});

describe("listeners", () => {
  test("several share the messages evenly, of one Kv and of several", async () => {
    const path = tempPath();
    const kvs = [await tempKv(path, { shards: 2 }), await tempKv(path)];
    const counts = [0, 0, 0, 0];
    const hold = { isOver: false };
    counts.forEach((_, index) => {
      void kvs[index % 2]!.listenQueue(
        async () => {
          counts[index]!++;
          await until("all are given out", () => hold.isOver);
        },
        { concurrency: 30 },
      );
    });
    await Promise.all(Array.from({ length: 40 }, (_, n) => kvs[0]!.enqueue(n)));
    await until("all are given out", () => counts.reduce((sum, count) => sum + count) === 40);
    hold.isOver = true;
    for (const count of counts) expect(count).toBe(10);
  });

  test("one is given no more than it handles at a time; the others wait in the store, and go to whoever has room", async () => {
    const kv = await tempKv(undefined, { shards: 2 });
    const begun: unknown[] = [];
    const ends: (() => void)[] = [];
    const slow = () =>
      new Promise<void>((resolve) => {
        begun.push(1);
        ends.push(resolve);
      });
    void kv.listenQueue(slow, { concurrency: 3 });
    await Promise.all(Array.from({ length: 20 }, (_, n) => kv.enqueue(n)));
    await until("it has three", () => begun.length === 3);
    await sleep(30);
    expect(begun).toHaveLength(3);
    expect(kv.queueStats()).toMatchObject({ leased: 3, ready: 17, running: 3, listeners: 1 });
    ends.shift()!();
    await until("it gets another", () => begun.length === 4);
    let quick = 0;
    void kv.listenQueue(() => quick++);
    await until("the other one gets the rest", () => quick === 16);
    for (const end of ends) end();
    await until("all are gone", () => isEmpty(kv));
  });

  test("with concurrency 1, messages of one shard are handled one after the other, in order", async () => {
    const kv = await tempKv(undefined, { shards: 1 });
    const handled: unknown[] = [];
    let running = 0;
    let runningMax = 0;
    void kv.listenQueue(
      async (value) => {
        runningMax = Math.max(runningMax, ++running);
        await sleep(Math.random() < 0.1 ? 1 : 0);
        handled.push(value);
        running--;
      },
      { concurrency: 1 },
    );
    await Promise.all(Array.from({ length: 100 }, (_, n) => kv.enqueue(n)));
    await until("all are handled", () => handled.length === 100);
    expect(handled).toEqual(Array.from({ length: 100 }, (_, n) => n));
    expect(runningMax).toBe(1);
  });

  test("bad handlers and options are refused", async () => {
    const kv = await tempKv();
    const misuse = { name: "TypeError", code: "KV_INVALID_OPTION" };
    await expect(kv.listenQueue("no" as never)).rejects.toMatchObject(misuse);
    for (const concurrency of [0, 1.5, 1001, Number.NaN]) {
      await expect(kv.listenQueue(() => {}, { concurrency })).rejects.toMatchObject(misuse);
    }
    await expect(kv.listenQueue(() => {}, { onError: 1 as never })).rejects.toMatchObject(misuse);
  });
});
