/** The end of a Kv: what is pending, what comes later, and that it is the same however it is ended. */
import { describe, expect, test } from "vitest";
import { type Kv, KvClosedError, KvInterruptedError, openKv } from "../../src/index.js";
import { everything, keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

test("after close every call throws or rejects KvClosedError", async () => {
  const kv = await openKv(":memory:", { shards: 2 });
  const list = kv.list({ prefix: [] });
  const operation = kv.atomic().set(["a"], 1);
  const snapshot = await kv.snapshot();
  await kv.close();
  const rejected: (() => Promise<unknown>)[] = [
    () => kv.get(["a"]),
    () => kv.getMany([["a"]]),
    () => kv.set(["a"], 1),
    () => kv.delete(["a"]),
    () => kv.snapshot(),
    () => operation.commit(),
    () => kv.atomic().commit(),
    () => list.next(),
    () => kv.list({ prefix: [] }).next(),
  ];
  for (const call of rejected) {
    await expect(call()).rejects.toBeInstanceOf(KvClosedError);
    await expect(call()).rejects.toMatchObject({ code: "KV_CLOSED" });
  }
  const thrown: (() => unknown)[] = [
    () => kv.getSync(["a"]),
    () => kv.watch([["a"]]),
    () => kv.changes({ prefix: [] }),
    () => snapshot.get(["a"]),
  ];
  for (const call of thrown) expect(call).toThrow(KvClosedError);
});

test("disposing after closing does nothing, and closing again throws", async () => {
  const kv = await openKv(":memory:", { shards: 2 });
  const first = kv.close();
  expect(() => kv.close()).toThrow(KvClosedError);
  expect(kv[Symbol.asyncDispose]()).toBe(first);
  await first;
  expect(() => kv.close()).toThrow("Bad resource ID");
  kv[Symbol.dispose]();
  await kv[Symbol.asyncDispose]();
});

test.each([1, 5])("what is pending at close rejects KvInterruptedError, over %i shards", async (shards) => {
  const kv = await openKv(":memory:", { shards });
  const keys = keyOnEachShard("k", shards);
  const pending: Promise<unknown>[] = [];
  for (let n = 0; n < 50; n++) pending.push(kv.set(["n", n], n));
  const operation = kv.atomic();
  for (const key of keys) operation.set(key, 1);
  pending.push(operation.commit());
  const settled = Promise.allSettled(pending);
  await kv.close();
  for (const result of await settled) {
    expect(result.status).toBe("rejected");
    expect((result as PromiseRejectedResult).reason).toBeInstanceOf(KvInterruptedError);
  }
});

test("feeds end at close, and what was in their buffers still comes", async () => {
  const kv = await openKv(":memory:", { shards: 2 });
  const feed = kv.changes({ prefix: [] })[Symbol.asyncIterator]();
  const idle = kv.changes({ prefix: ["nothing"] })[Symbol.asyncIterator]();
  const pending = idle.next();
  await kv.set(["a"], 1);
  expect((await feed.next()).value).toMatchObject({ key: ["a"] });
  await kv.close();
  expect((await pending).done).toBe(true);
  expect((await feed.next()).done).toBe(true);
});

test.each([1, 3])("whatever a close interrupts, a reopened store of %i shards is whole", async (shards) => {
  const path = tempPath();
  const keys = keyOnEachShard("k", 3);
  for (let pass = 0; pass < 8; pass++) {
    const kv = await openKv(path, { shards });
    const seen = await kv.getMany(keys);
    expect(new Set(seen.map(({ value }) => value)).size).toBe(1);
    expect(new Set(seen.map(({ versionstamp }) => versionstamp)).size).toBe(1);
    const pending = Array.from({ length: 30 }, (_, n) => {
      const operation = kv.atomic();
      for (const key of keys) operation.set(key, `${pass}.${n}`);
      return operation.commit();
    });
    const settled = Promise.allSettled(pending);
    if (pass % 2 === 1) await pending[pass];
    await kv.close();
    await settled;
  }
});

describe("using", () => {
  test("await using closes at the end of the block, and the path is free", async () => {
    const path = tempPath();
    let kept: Kv;
    {
      await using kv = await openKv(path, { shards: 2 });
      await kv.set(["a"], 1);
      kept = kv;
    }
    await expect(kept.get(["a"])).rejects.toBeInstanceOf(KvClosedError);
    await using again = await openKv(path);
    expect((await again.get(["a"])).value).toBe(1);
  });

  test("using closes too, and the next opening waits for it", async () => {
    const path = tempPath();
    {
      using kv = await openKv(path, { shards: 2 });
      await kv.set(["a"], 1);
    }
    const again = await tempKv(path);
    expect(await everything(again)).toEqual([{ key: ["a"], value: 1 }]);
  });
});
