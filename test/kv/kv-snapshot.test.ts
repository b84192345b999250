/** `snapshot()`: many reads at one moment of the whole store. */
import { describe, expect, test } from "vitest";
import { KvClosedError, KvError } from "../../src/index.js";
import { keyOnEachShard, tempKv } from "./temp-store.js";

describe.each([1, 2, 5])("over %i shards", (shards) => {
  const keys = keyOnEachShard("k", shards);

  test("it sees everything that was acknowledged before, and nothing of later", async () => {
    const kv = await tempKv(":memory:", { shards });
    for (const key of keys) await kv.set(key, "before");
    using snapshot = await kv.snapshot();
    const operation = kv.atomic().set(["new"], 1);
    for (const key of keys) operation.set(key, "after");
    await operation.commit();
    await kv.delete(keys[0]!);
    expect(snapshot.get(["new"])).toStrictEqual({ key: ["new"], value: null, versionstamp: null });
    expect(snapshot.getMany(keys).map(({ value }) => value)).toEqual(keys.map(() => "before"));
    const listed: unknown[] = [];
    for await (const { value } of snapshot.list({ prefix: [] }, { batchSize: 1 })) listed.push(value);
    expect(listed).toEqual(keys.map(() => "before"));
    expect(kv.getSync(["new"]).value).toBe(1);
  });

  test("several at once each keep their own moment", async () => {
    const kv = await tempKv(":memory:", { shards });
    const snapshots = [];
    for (let n = 0; n < 20; n++) {
      const operation = kv.atomic();
      for (const key of keys) operation.set(key, n);
      await operation.commit();
      snapshots.push(await kv.snapshot());
    }
    snapshots.forEach((snapshot, n) => {
      expect(snapshot.getMany(keys).map(({ value }) => value)).toEqual(keys.map(() => n));
      snapshot.close();
    });
  });
});

test("a closed one throws, closing twice does nothing, and other reads go on", async () => {
  const kv = await tempKv(":memory:", { shards: 2 });
  await kv.set(["a"], 1);
  const [one, two] = [await kv.snapshot(), await kv.snapshot()];
  const list = one.list({ prefix: [] });
  one.close();
  one.close();
  expect(() => one.get(["a"])).toThrow(KvClosedError);
  expect(() => one.getMany([])).toThrow(KvClosedError);
  await expect(list.next()).rejects.toThrow(KvClosedError);
  expect(two.get(["a"]).value).toBe(1);
  two.close();
  expect((await kv.get(["a"])).value).toBe(1);
});

test("the same refusals of keys and selectors as elsewhere", async () => {
  const kv = await tempKv();
  using snapshot = await kv.snapshot();
  expect(() => snapshot.get(["k".repeat(2048)])).toThrow("Key too large for read");
  expect(() => snapshot.list({} as { prefix: [] })).toThrow(TypeError);
  expect(() => snapshot.list({ prefix: [] }, { limit: 0 })).toThrow(KvError);
  expect(snapshot.get([])).toStrictEqual({ key: [], value: null, versionstamp: null });
});
