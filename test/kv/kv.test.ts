/** Reads, single writes, the fidelity and the size of values, and what is refused as a key. */
import { describe, expect, test } from "vitest";
import { type KvKey, KvU64, openKv } from "../../src/index.js";
import { everything, keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

const MIB = 1024 * 1024;

describe("get", () => {
  test("a missing key has a null value and a null versionstamp", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    expect(await kv.get(["nothing"])).toStrictEqual({ key: ["nothing"], value: null, versionstamp: null });
    expect(kv.getSync(["nothing"])).toStrictEqual({ key: ["nothing"], value: null, versionstamp: null });
  });

  test("the empty key holds nothing, and reading it is no error", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    await kv.set(["a"], 1);
    const nothing = { key: [], value: null, versionstamp: null };
    expect(await kv.get([])).toStrictEqual(nothing);
    expect(kv.getSync([])).toStrictEqual(nothing);
    expect(await kv.getMany([[], ["a"]])).toMatchObject([nothing, { value: 1 }]);
  });

  test("what was set is read with the versionstamp that its commit told", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    const { ok, versionstamp } = await kv.set(["a", 1], "x");
    expect(ok).toBe(true);
    expect(versionstamp).toMatch(/^[0-9a-f]{20}$/);
    expect(await kv.get(["a", 1])).toStrictEqual({ key: ["a", 1], value: "x", versionstamp });
    expect(kv.getSync(["a", 1])).toStrictEqual({ key: ["a", 1], value: "x", versionstamp });
  });

  test("undefined and null are values, told from nothing by the versionstamp", async () => {
    const kv = await tempKv();
    await kv.set(["null"], null);
    await kv.set(["undefined"], undefined);
    const [nothing, set] = await kv.getMany([["null"], ["undefined"]]);
    expect(nothing).toMatchObject({ value: null, versionstamp: expect.any(String) });
    expect(set).toMatchObject({ value: undefined, versionstamp: expect.any(String) });
  });

  test("getMany answers in the order of its keys, duplicates included, and [] for none", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    const keys = keyOnEachShard("k", 5);
    for (const [index, key] of keys.entries()) await kv.set(key, index);
    const asked = [keys[3]!, ["none"], keys[0]!, keys[3]!, keys[4]!];
    const entries = await kv.getMany(asked);
    expect(entries.map(({ key }) => key)).toEqual(asked);
    expect(entries.map(({ value }) => value)).toEqual([3, null, 0, 3, 4]);
    expect(await kv.getMany([])).toEqual([]);
  });

  test("a get whose option is read by code that gets another key finds its own", async () => {
    const kv = await tempKv();
    await kv.set(["a"], 1);
    await kv.set(["b"], 2);
    const options = {
      get consistency() {
        expect(kv.getSync(["b"]).value).toBe(2);
        return "strong" as const;
      },
    };
    expect(await kv.get(["a"], options)).toMatchObject({ key: ["a"], value: 1 });
  });

  test("both words of consistency are accepted, others are refused", async () => {
    const kv = await tempKv();
    await kv.set(["a"], 1);
    expect((await kv.get(["a"], { consistency: "eventual" })).value).toBe(1);
    expect((await kv.get(["a"], { consistency: "strong" })).value).toBe(1);
    const wrong = { consistency: "foo" as "strong" };
    await expect(kv.get(["a"], wrong)).rejects.toThrow(
      "unknown variant `foo`, expected `strong` or `eventual`",
    );
    await expect(kv.getMany([["a"]], wrong)).rejects.toThrow(TypeError);
  });
});

describe("set and delete", () => {
  test("setting again replaces, deleting removes, and deleting what is not there is no error", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    await kv.set(["a"], 1);
    await kv.set(["a"], 2);
    expect((await kv.get(["a"])).value).toBe(2);
    expect(await kv.delete(["a"])).toBeUndefined();
    expect((await kv.get(["a"])).versionstamp).toBeNull();
    expect(await kv.delete(["a"])).toBeUndefined();
  });

  test("keys that differ only in type, in the sign of zero or in a NUL are different keys", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    const keys: KvKey[] = [
      ["1"],
      [1],
      [1n],
      [true],
      [0],
      [-0],
      [Uint8Array.of(49)],
      ["1\0"],
      ["1", ""],
      [false],
    ];
    for (const [index, key] of keys.entries()) await kv.set(key, index);
    for (const [index, key] of keys.entries()) expect(kv.getSync(key).value).toBe(index);
    expect(await everything(kv)).toHaveLength(keys.length);
  });

  test("keys of all types are listed in Deno's order, over any number of shards", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    const inOrder: KvKey[] = [
      [new Uint8Array()],
      [Uint8Array.of(0)],
      [""],
      ["a"],
      ["a\0b"],
      ["z"],
      ["é"],
      [-(2n ** 70n)],
      [-1n],
      [0n],
      [1n],
      [2n ** 70n],
      [Number.NEGATIVE_INFINITY],
      [-1],
      [-0],
      [0],
      [1.5],
      [Number.POSITIVE_INFINITY],
      [Number.NaN],
      [false],
      [true],
    ];
    for (const key of [...inOrder].reverse()) await kv.set(key, 0);
    expect((await everything(kv)).map(({ key }) => key)).toStrictEqual(inOrder);
  });
});

describe("values", () => {
  const cyclic: { self?: unknown; list: unknown[] } = { list: [1] };
  cyclic.self = cyclic;
  const sparse: unknown[] = [1];
  sparse[5] = 2;

  test.each<[string, unknown]>([
    ["a string with a lone surrogate", "\ud800"],
    ["negative zero", -0],
    ["NaN", Number.NaN],
    ["a bigint", -(2n ** 100n)],
    ["a map with object keys", new Map([[{ a: 1 }, new Set([1, "2"])]])],
    ["a date", new Date(1_700_000_000_000)],
    ["a regular expression", /a+/giu],
    ["an error", new RangeError("far")],
    ["a typed array", new Float64Array([1.5, -0])],
    ["an array buffer", Uint8Array.of(1, 2, 3).buffer],
    ["a sparse array", sparse],
    ["nested plain data", { a: [1, { b: [null, undefined, true] }], "": "" }],
    ["a cycle", cyclic],
    ["an empty Uint8Array", new Uint8Array()],
    ["a KvU64", new KvU64(2n ** 64n - 1n)],
  ])("%s comes back as it went in", async (_name, value) => {
    const kv = await tempKv(":memory:", { shards: 1 });
    await kv.set(["v"], value);
    expect(kv.getSync(["v"]).value).toStrictEqual(value);
    expect((await kv.get(["v"])).value).toStrictEqual(value);
    for await (const entry of kv.list({ prefix: [] })) expect(entry.value).toStrictEqual(value);
  });

  test("a cycle keeps its identity", async () => {
    const kv = await tempKv();
    await kv.set(["v"], cyclic);
    const { value } = await kv.get<typeof cyclic>(["v"]);
    expect(value!.self).toBe(value);
  });

  test("bytes come out as plain Uint8Arrays in every kind of read, never as Buffers", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    const feed = kv.changes({ prefix: [] })[Symbol.asyncIterator]();
    await kv.set(["bytes"], Buffer.from("abc"));
    await kv.set(["nested"], { bytes: Buffer.from("abc") });
    using snapshot = await kv.snapshot();
    const listed: unknown[] = [];
    for await (const { value } of kv.list({ prefix: [] })) listed.push(value);
    const changes = [(await feed.next()).value!, (await feed.next()).value!];
    const watched = (
      await kv
        .watch([["bytes"]])
        .getReader()
        .read()
    ).value![0]!;
    const found = [
      (await kv.get(["bytes"])).value,
      kv.getSync(["bytes"]).value,
      (await kv.getMany([["bytes"]]))[0]!.value,
      snapshot.get(["bytes"]).value,
      listed[0],
      (listed[1] as { bytes: unknown }).bytes,
      kv.getSync<{ bytes: unknown }>(["nested"]).value!.bytes,
      changes[0]!.value,
      (changes[1]!.value as { bytes: unknown }).bytes,
      watched.value,
    ];
    for (const bytes of found) {
      expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype);
      expect(bytes).toEqual(Uint8Array.of(97, 98, 99));
    }
  });

  test("what a read returned stays as it was when the key is written again", async () => {
    const kv = await tempKv(":memory:", { shards: 1 });
    await kv.set(["v"], Uint8Array.of(1, 1, 1));
    const first = kv.getSync<Uint8Array>(["v"]).value!;
    for (let n = 0; n < 50; n++) await kv.set(["v"], Uint8Array.of(n, n, n));
    kv.getSync(["v"]);
    expect(first).toEqual(Uint8Array.of(1, 1, 1));
    first.fill(9);
    expect(kv.getSync(["v"]).value).toEqual(Uint8Array.of(49, 49, 49));
  });

  test("a value is taken as it is at the call: changing it afterwards changes nothing", async () => {
    const kv = await tempKv();
    const bytes = Uint8Array.of(1, 2, 3);
    const setting = kv.set(["v"], bytes);
    const operation = kv.atomic().set(["w"], bytes);
    bytes.fill(0);
    await setting;
    await operation.commit();
    expect(kv.getSync(["v"]).value).toEqual(Uint8Array.of(1, 2, 3));
    expect(kv.getSync(["w"]).value).toEqual(Uint8Array.of(1, 2, 3));
  });

  test.each<[string, unknown]>([
    ["a function", () => {}],
    ["a symbol", Symbol("s")],
    ["a WeakMap", new WeakMap()],
    ["a promise", Promise.resolve()],
    ["a SharedArrayBuffer", new SharedArrayBuffer(8)],
    ["a hidden function", { a: [{ b: () => {} }] }],
  ])("%s is refused, and nothing is written", async (_name, value) => {
    const kv = await tempKv();
    await expect(kv.set(["v"], value)).rejects.toMatchObject({ code: "KV_INVALID_VALUE" });
    await expect(kv.set(["v"], value)).rejects.toBeInstanceOf(TypeError);
    expect(await everything(kv)).toEqual([]);
  });

  test("a value of 16 MiB is kept, and one byte more is refused", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    const value = new Uint8Array(16 * MIB);
    for (let index = 0; index < value.length; index += 4093) value[index] = index;
    await kv.set(["big"], value);
    expect(Buffer.compare((await kv.get<Uint8Array>(["big"])).value!, value)).toBe(0);
    await expect(kv.set(["big"], new Uint8Array(16 * MIB + 1))).rejects.toMatchObject({
      code: "KV_LIMIT_EXCEEDED",
      message: `Value too large (max ${16 * MIB} bytes)`,
    });
    expect(kv.getSync<Uint8Array>(["big"]).value!.length).toBe(16 * MIB);
  });

  test("the limit of a value is an option of the one who opens", async () => {
    const kv = await tempKv(":memory:", { limits: { valueBytesMax: 10 } });
    await kv.set(["v"], new Uint8Array(10));
    await expect(kv.set(["v"], new Uint8Array(11))).rejects.toThrow("Value too large (max 10 bytes)");
  });

  test("values larger than every ring are committed over several shards at once, and heard", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    const keys = keyOnEachShard("k", 5);
    const feed = kv.changes({ prefix: [] })[Symbol.asyncIterator]();
    const values = keys.map((_, index) => new Uint8Array(5 * MIB).fill(index + 1));
    const operation = kv.atomic();
    keys.forEach((key, index) => {
      operation.set(key, values[index]);
    });
    const result = await operation.commit();
    expect(result.ok).toBe(true);
    const entries = await kv.getMany<Uint8Array[]>(keys);
    entries.forEach(({ value, versionstamp }, index) => {
      expect(Buffer.compare(value!, values[index]!)).toBe(0);
      expect(versionstamp).toBe((result as { versionstamp: string }).versionstamp);
    });
    for (const [index, key] of keys.entries()) {
      const { value: change } = await feed.next();
      expect(change).toMatchObject({ type: "create", key });
      expect(Buffer.compare(change!.value as Uint8Array, values[index]!)).toBe(0);
    }
  });

  test("large and small values, over one shard and over many, in flight together, keep the order of the caller", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    const [one, two] = keyOnEachShard("k", 2) as [KvKey, KvKey];
    const sizes = [10, 2 * MIB, 100, MIB / 2 - 50, MIB, 3 * MIB, 1];
    const stamps = await Promise.all(
      sizes.map((size) => kv.set(one, new Uint8Array(size)).then(({ versionstamp }) => versionstamp)),
    );
    expect([...stamps].sort()).toEqual(stamps);
    expect(kv.getSync<Uint8Array>(one).value!.length).toBe(1);
    const rounds = await Promise.all(
      sizes.map((size) => kv.atomic().set(one, new Uint8Array(size)).set(two, size).commit()),
    );
    const roundStamps = rounds.map((result) => (result as { versionstamp: string }).versionstamp);
    expect([...roundStamps].sort()).toEqual(roundStamps);
    expect(kv.getSync(two).value).toBe(1);
    expect(kv.getSync<Uint8Array>(one).value!.length).toBe(1);
  });

  test("a commit that is too large as a whole is refused, and nothing is written", async () => {
    const kv = await tempKv(":memory:", { shards: 1 });
    const operation = kv.atomic();
    for (let n = 0; n < 5; n++) operation.set([n], new Uint8Array(15 * MIB));
    await expect(operation.commit()).rejects.toMatchObject({ code: "KV_LIMIT_EXCEEDED" });
    expect(await everything(kv)).toEqual([]);
  });
});

describe("keys that are refused", () => {
  const long = (encodedBytes: number): KvKey => ["k".repeat(encodedBytes - 2)];

  test("the empty key can't be written, deleted or checked", async () => {
    const kv = await tempKv();
    const refusal = { code: "KV_INVALID_KEY", message: "key cannot be empty" };
    await expect(kv.set([], 1)).rejects.toMatchObject(refusal);
    await expect(kv.delete([])).rejects.toMatchObject(refusal);
    await expect(kv.atomic().check({ key: [], versionstamp: null }).commit()).rejects.toMatchObject(refusal);
    await expect((async () => kv.atomic().set([], 1).commit())()).rejects.toMatchObject(refusal);
    await expect((async () => kv.atomic().delete([]).commit())()).rejects.toMatchObject(refusal);
  });

  test("2048 bytes can be written and read, and 2049 be watched; one more is refused", async () => {
    const kv = await tempKv();
    await kv.set(long(2048), 1);
    expect((await kv.get(long(2048))).value).toBe(1);
    await expect(kv.set(long(2049), 1)).rejects.toThrow("Key too large for write (max 2048 bytes)");
    await expect(kv.delete(long(2049))).rejects.toMatchObject({ code: "KV_LIMIT_EXCEEDED" });
    await expect(kv.get(long(2049))).rejects.toThrow("Key too large for read (max 2049 bytes)");
    await expect(kv.getMany([long(2049)])).rejects.toMatchObject({ code: "KV_LIMIT_EXCEEDED" });
    expect(() => kv.getSync(long(2049))).toThrow("Key too large for read");
    expect(() => kv.watch([long(2050)])).toThrow("Key too large for read");
  });

  test("a key of the greatest length can expire", async () => {
    const kv = await tempKv();
    await kv.set(long(2048), 1, { expireIn: 60_000 });
    expect((await kv.get(long(2048))).value).toBe(1);
  });

  test.each<[string, unknown]>([
    ["no array", "abc"],
    ["null", null],
    ["a part that is an object", [{}]],
    ["a part that is undefined", [undefined]],
    ["a part that is a symbol", [Symbol("s")]],
    ["a bigint of 256 bytes", [2n ** 2040n]],
  ])("%s is a TypeError wherever a key is asked for", async (_name, key) => {
    const kv = await tempKv();
    const bad = key as KvKey;
    const refusal = { code: "KV_INVALID_KEY" };
    await expect(kv.get(bad)).rejects.toMatchObject(refusal);
    await expect(kv.get(bad)).rejects.toBeInstanceOf(TypeError);
    await expect(kv.getMany([bad])).rejects.toMatchObject(refusal);
    await expect(kv.set(bad, 1)).rejects.toMatchObject(refusal);
    await expect(kv.delete(bad)).rejects.toMatchObject(refusal);
    expect(() => kv.watch([bad])).toThrow(TypeError);
  });

  test("a key is copied at the call: changing the array afterwards changes nothing", async () => {
    const kv = await tempKv();
    const key = ["a"];
    const setting = kv.set(key, 1);
    key[0] = "b";
    await setting;
    expect((await everything(kv)).map((entry) => entry.key)).toEqual([["a"]]);
  });
});

test("everything is there after closing and opening again, on as many shards as it was made with", async () => {
  const path = tempPath();
  const first = await openKv(path, { shards: 3 });
  const keys = keyOnEachShard("k", 3);
  await Promise.all(keys.map((key, index) => first.set(key, { index })));
  const before = await first.getMany(keys);
  await first.close();
  const second = await tempKv(path);
  expect(await second.getMany(keys)).toStrictEqual(before);
});
