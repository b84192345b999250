/** Versionstamps grow over shards, kinds of commits and reopenings; and a commit may use its own as the last part of a key. */
import { describe, expect, test } from "vitest";
import { type Kv, type KvKey, openKv } from "../../src/index.js";
import { everything, keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

function expectIncreasing(stamps: readonly string[]): void {
  for (let index = 1; index < stamps.length; index++) {
    if (!(stamps[index]! > stamps[index - 1]!))
      expect.fail(`versionstamp ${stamps[index]} at ${index} comes after ${stamps[index - 1]}`);
  }
}

describe("order", () => {
  test("one after the other they grow strictly, over shards and over one-shard and many-shard commits", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    const keys = keyOnEachShard("k", 5);
    const stamps: string[] = [];
    for (let n = 0; n < 100; n++) {
      const operation = kv.atomic().set(keys[n % 5]!, n);
      if (n % 3 === 0) operation.set(keys[(n * 7 + 1) % 5]!, n);
      if (n % 7 === 0) operation.delete(keys[(n + 2) % 5]!);
      const result = await operation.commit();
      stamps.push(result.ok ? result.versionstamp : "");
    }
    expectIncreasing(stamps);
  });

  test("in flight together they are all different", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    const results = await Promise.all(Array.from({ length: 500 }, (_, n) => kv.set(["n", n], n)));
    expect(new Set(results.map(({ versionstamp }) => versionstamp)).size).toBe(500);
  });

  test("they go on growing when the store was closed and opened, also after deletes of missing keys on any shard", async () => {
    const path = tempPath();
    const keys = keyOnEachShard("k", 3);
    const stamps: string[] = [];
    for (let opening = 0; opening < 4; opening++) {
      const kv = await openKv(path, opening === 0 ? { shards: 3 } : {});
      stamps.push((await kv.set(keys[opening % 3]!, opening)).versionstamp);
      for (let n = 0; n < 5; n++) {
        const result = await kv.atomic().delete(["missing", n]).commit();
        stamps.push(result.ok ? result.versionstamp : "");
      }
      const several = kv.atomic();
      for (const [name] of keys.entries()) several.delete(["missing", "too", name]);
      const result = await several.commit();
      stamps.push(result.ok ? result.versionstamp : "");
      await kv.close();
    }
    expectIncreasing(stamps);
  });

  test("a failed check and a commit that rejects do not touch the versionstamps of entries", async () => {
    const kv = await tempKv();
    const { versionstamp } = await kv.set(["a"], "x");
    await kv
      .atomic()
      .check({ key: ["a"], versionstamp: null })
      .set(["a"], "y")
      .commit();
    await expect(kv.atomic().sum(["a"], 1n).commit()).rejects.toThrow();
    expect((await kv.get(["a"])).versionstamp).toBe(versionstamp);
  });
});

describe.each([
  { shards: 1, partitionDepth: 2 },
  { shards: 5, partitionDepth: 1 },
  { shards: 5, partitionDepth: 2 },
  { shards: 5, partitionDepth: 3 },
])("a key that ends in its commit's versionstamp: %o", (options) => {
  const open = (): Promise<Kv> => tempKv(":memory:", options);
  const prefixes: KvKey[] = [[], ["log"], ["log", 1], ["log", 1, "deep", true]];

  test.each(prefixes.map((prefix) => [prefix]))(
    "behind %o it is read by get and found by list",
    async (prefix) => {
      const kv = await open();
      for (let n = 0; n < 40; n++) {
        const { versionstamp } = await kv.set([...prefix, kv.commitVersionstamp()], n);
        const key = [...prefix, versionstamp];
        expect(await kv.get(key)).toStrictEqual({ key, value: n, versionstamp });
      }
      const values: unknown[] = [];
      for await (const { key, value, versionstamp } of kv.list({ prefix })) {
        expect(key).toEqual([...prefix, versionstamp]);
        values.push(value);
      }
      expect(values).toEqual(Array.from({ length: 40 }, (_, n) => n));
    },
  );

  test("in flight together, each has its own key, and the order of keys is that of the versionstamps", async () => {
    const kv = await open();
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, n) => kv.set(["log", kv.commitVersionstamp()], n)),
    );
    const stamps = results.map(({ versionstamp }) => versionstamp).sort();
    expect((await everything(kv)).map(({ key }) => key[1])).toEqual(stamps);
  });

  test("two in one commit, with other keys beside them, share the versionstamp", async () => {
    const kv = await open();
    const suffix = kv.commitVersionstamp();
    for (let n = 0; n < 20; n++) {
      const result = await kv
        .atomic()
        .set(["one", suffix], n)
        .set([suffix], n)
        .set(["two", n, suffix], n)
        .set(["plain", n], n)
        .commit();
      const stamp = result.ok ? result.versionstamp : "";
      const entries = await kv.getMany([["one", stamp], [stamp], ["two", n, stamp], ["plain", n]]);
      expect(entries.map(({ value, versionstamp }) => [value, versionstamp])).toEqual(
        Array(4).fill([n, stamp]),
      );
    }
    expect(await everything(kv)).toHaveLength(80);
  });

  test("one beside a plain key stays with it, whichever shard that is on", async () => {
    const kv = await open();
    for (let n = 0; n < 20; n++) {
      const result = await kv.atomic().set(["k", n], n).set(["log", kv.commitVersionstamp()], n).commit();
      const stamp = result.ok ? result.versionstamp : "";
      expect(
        (
          await kv.getMany([
            ["k", n],
            ["log", stamp],
          ])
        ).map(({ value }) => value),
      ).toEqual([n, n]);
    }
  });

  test("followers hear the real key", async () => {
    const kv = await open();
    const feed = kv.changes({ prefix: ["log"] })[Symbol.asyncIterator]();
    const { versionstamp } = await kv.set(["log", kv.commitVersionstamp()], 1);
    expect((await feed.next()).value).toMatchObject({
      type: "create",
      key: ["log", versionstamp],
      versionstamp,
    });
  });
});

test("the placeholder is the same at each call, and stands only as the last part of a key that is set", async () => {
  const kv = await tempKv();
  const suffix = kv.commitVersionstamp();
  expect(kv.commitVersionstamp()).toBe(suffix);
  await expect(kv.set([suffix, "a"], 1)).rejects.toThrow(TypeError);
  await expect(kv.get([suffix as unknown as string])).rejects.toThrow(TypeError);
  await expect(kv.delete([suffix as unknown as string])).rejects.toThrow(TypeError);
  await expect(kv.set(["k".repeat(2040), suffix], 1)).rejects.toThrow("Key too large for write");
});
