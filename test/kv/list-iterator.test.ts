/** `list`: what a selector selects, in which order, in which batches, and where errors are thrown. */
import { describe, expect, test } from "vitest";
import { type Kv, KvError, type KvKey, type KvListOptions, type KvListSelector } from "../../src/index.js";
import { tempKv } from "./temp-store.js";

const LETTERS = ["a", "b", "c", "d", "e", "f", "g"];

async function letters(shards = 5): Promise<Kv> {
  const kv = await tempKv(":memory:", { shards });
  for (const letter of LETTERS) await kv.set(["x", letter], letter);
  await kv.set(["x"], "the prefix itself");
  await kv.set(["w", "z"], "before");
  await kv.set(["y"], "after");
  return kv;
}

async function valuesOf(kv: Kv, selector: KvListSelector, options?: KvListOptions): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const { value } of kv.list(selector, options)) values.push(value);
  return values;
}

describe("selectors", () => {
  test("a prefix selects the keys below it, and not itself", async () => {
    expect(await valuesOf(await letters(), { prefix: ["x"] })).toEqual(LETTERS);
  });

  test("a prefix is whole parts: ['a'] does not select ['ab'] or ['a\\0']", async () => {
    const kv = await tempKv();
    for (const key of [["a", 1], ["ab", 1], ["a\0", 1], ["a\0b"]] as KvKey[]) await kv.set(key, key);
    expect(await valuesOf(kv, { prefix: ["a"] })).toEqual([["a", 1]]);
  });

  test("the empty prefix selects everything", async () => {
    expect(await valuesOf(await letters(), { prefix: [] })).toHaveLength(LETTERS.length + 3);
  });

  test("start is inclusive, end is exclusive, with a prefix and without", async () => {
    const kv = await letters();
    expect(await valuesOf(kv, { prefix: ["x"], start: ["x", "c"] })).toEqual(["c", "d", "e", "f", "g"]);
    expect(await valuesOf(kv, { prefix: ["x"], end: ["x", "c"] })).toEqual(["a", "b"]);
    expect(await valuesOf(kv, { start: ["x", "b"], end: ["x", "d"] })).toEqual(["b", "c"]);
    expect(await valuesOf(kv, { start: ["x"], end: ["x", "b"] })).toEqual(["the prefix itself", "a"]);
    expect(await valuesOf(kv, { start: ["x", "b"], end: ["x", "b"] })).toEqual([]);
  });

  test("reverse, limit and bounds go together", async () => {
    const kv = await letters();
    expect(await valuesOf(kv, { prefix: ["x"] }, { reverse: true })).toEqual([...LETTERS].reverse());
    expect(await valuesOf(kv, { prefix: ["x"] }, { limit: 3 })).toEqual(["a", "b", "c"]);
    expect(await valuesOf(kv, { prefix: ["x"] }, { limit: 3, reverse: true })).toEqual(["g", "f", "e"]);
    const bounds = { start: ["x", "b"], end: ["x", "e"] };
    expect(await valuesOf(kv, bounds, { reverse: true })).toEqual(["d", "c", "b"]);
    expect(await valuesOf(kv, bounds, { reverse: true, limit: 2, batchSize: 1 })).toEqual(["d", "c"]);
  });

  test("a selector is copied at the call", async () => {
    const kv = await letters();
    using snapshot = await kv.snapshot();
    const prefix = ["x"];
    const lists = [kv.list({ prefix }), snapshot.list({ prefix })];
    prefix[0] = "w";
    for (const list of lists) expect((await list.next()).value).toMatchObject({ value: "a" });
  });
});

describe("batches", () => {
  test.each([1, 2, 3, 7, 8, 1000])("batches of %i give the same entries", async (batchSize) => {
    const kv = await letters();
    expect(await valuesOf(kv, { prefix: ["x"] }, { batchSize })).toEqual(LETTERS);
    expect(await valuesOf(kv, { prefix: ["x"] }, { batchSize, reverse: true })).toEqual(
      [...LETTERS].reverse(),
    );
    expect(await valuesOf(kv, { prefix: ["x"] }, { batchSize, limit: 4 })).toEqual(["a", "b", "c", "d"]);
  });

  test("more entries than one default batch all come, once and in order, over one and over five shards", async () => {
    for (const shards of [1, 5]) {
      const kv = await tempKv(":memory:", { shards });
      const count = 1234;
      for (let from = 0; from < count; from += 200) {
        const operation = kv.atomic();
        for (let n = from; n < Math.min(count, from + 200); n++) operation.set(["n", n], n);
        await operation.commit();
      }
      const all = Array.from({ length: count }, (_, n) => n);
      expect(await valuesOf(kv, { prefix: ["n"] })).toEqual(all);
      expect(await valuesOf(kv, { prefix: ["n"] }, { reverse: true, limit: 700 })).toEqual(
        all.reverse().slice(0, 700),
      );
    }
  });

  test("a later batch sees what was written meanwhile, an earlier one is a moment of its own", async () => {
    const kv = await letters();
    const list = kv.list<string>({ prefix: ["x"] }, { batchSize: 3 });
    expect((await list.next()).value!.value).toBe("a");
    await kv.atomic().set(["x", "b"], "changed").delete(["x", "e"]).set(["x", "f"], "changed").commit();
    const rest: string[] = [];
    for await (const { value } of list) rest.push(value);
    expect(rest).toEqual(["b", "c", "d", "changed", "g"]);
  });

  test("an abandoned iteration leaves nothing behind that would hold up writing or closing", async () => {
    const kv = await letters();
    for await (const _ of kv.list({ prefix: ["x"] }, { batchSize: 1 })) break;
    await kv.set(["x", "a"], "again");
    expect((await kv.get(["x", "a"])).value).toBe("again");
  });
});

describe("cursors", () => {
  test("a cursor is Deno's: the rest of the encoded key in base64url", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    for (const letter of ["a", "b", "c", "d"]) await kv.set(["a", letter], letter);
    const list = kv.list({ prefix: ["a"] });
    await list.next();
    await list.next();
    expect(list.cursor).toBe("AmIA");
    await list.next();
    await list.next();
    expect(list.cursor).toBe("AmQA");
    expect((await list.next()).done).toBe(true);
    expect(list.cursor).toBe("");
  });

  test("an iteration goes on behind its cursor, forwards and in reverse, also when that key is gone", async () => {
    const kv = await letters();
    for (const reverse of [false, true]) {
      const all = reverse ? [...LETTERS].reverse() : LETTERS;
      for (let taken = 1; taken < LETTERS.length; taken++) {
        const list = kv.list({ prefix: ["x"] }, { reverse });
        for (let n = 0; n < taken; n++) await list.next();
        const rest = await valuesOf(kv, { prefix: ["x"] }, { reverse, cursor: list.cursor });
        expect(rest).toEqual(all.slice(taken));
      }
    }
    const list = kv.list({ start: ["x", "b"], end: ["x", "f"] });
    await list.next();
    await kv.delete(["x", "b"]);
    expect(await valuesOf(kv, { start: ["x", "b"], end: ["x", "f"] }, { cursor: list.cursor })).toEqual([
      "c",
      "d",
      "e",
    ]);
  });

  test("there is no cursor before the first entry, unless the iteration began at one", async () => {
    const kv = await letters();
    expect(() => kv.list({ prefix: ["x"] }).cursor).toThrow("Cannot get cursor before first iteration");
    expect(kv.list({ prefix: ["x"] }, { cursor: "AmIA" }).cursor).toBe("AmIA");
  });

  test("a cursor that is none, and one from elsewhere, are refused with the first entry", async () => {
    const kv = await letters();
    const refused = (selector: KvListSelector, cursor: string) => kv.list(selector, { cursor }).next();
    await expect(refused({ prefix: ["x"] }, "!!")).rejects.toMatchObject({ code: "KV_INVALID_CURSOR" });
    await expect(refused({ prefix: ["x"] }, "!!")).rejects.toThrow("invalid cursor");
    const bounds = { start: ["x", "b"], end: ["x", "c"] };
    await expect(refused(bounds, "AmIA")).rejects.toThrow("cursor out of bounds");
    expect((await refused(bounds, "_w==")).done).toBe(true);
  });
});

describe("errors", () => {
  test("bad options and a selector of the wrong shape are thrown at once", async () => {
    const kv = await letters();
    const list = (selector: unknown, options?: KvListOptions) => () =>
      kv.list(selector as KvListSelector, options);
    expect(list({})).toThrow("Selector must specify either 'prefix' or both 'start' and 'end' key");
    expect(list({ start: ["x"] })).toThrow(TypeError);
    expect(list({ prefix: ["x"], start: ["x", "a"], end: ["x", "b"] })).toThrow(
      "Selector can not specify both 'start' and 'end' key when specifying 'prefix'",
    );
    expect(list({ prefix: [] }, { limit: 0 })).toThrow("Limit must be a positive integer: received 0");
    expect(list({ prefix: [] }, { limit: 1.5 })).toThrow(KvError);
    expect(list({ prefix: [] }, { batchSize: 2.3 })).toThrow(
      "batchSize must be a positive integer: received 2.3",
    );
  });

  test("what is wrong with the content of keys is thrown with the first entry", async () => {
    const kv = await letters();
    const first = (selector: KvListSelector, options?: KvListOptions) => kv.list(selector, options).next();
    await expect(first({ prefix: ["x"], start: ["y"] })).rejects.toThrow(
      "Start key is not in the keyspace defined by prefix",
    );
    await expect(first({ prefix: ["x"], start: ["x"] })).rejects.toThrow("Start key is not in the keyspace");
    await expect(first({ prefix: ["x"], end: ["y"] })).rejects.toThrow("End key is not in the keyspace");
    await expect(first({ start: ["y"], end: ["x"] })).rejects.toThrow("Start key is greater than end key");
    await expect(first({ prefix: [{}] as unknown as KvKey })).rejects.toMatchObject({
      code: "KV_INVALID_KEY",
    });
    await expect(first({ prefix: [] }, { consistency: "foo" as "strong" })).rejects.toThrow(
      "unknown variant `foo`",
    );
    await expect(first({ prefix: [] }, { batchSize: 1001 })).rejects.toThrow("Too many entries (max 1000)");
  });
});

test("a cursor at a start key that begins the end key goes on behind it", async () => {
  const kv = await tempKv();
  for (const key of [["a"], ["a", "b"], ["a", "c"]]) await kv.set(key, key);
  const selector = { start: ["a"], end: ["a", "z"] };
  const iterator = kv.list(selector);
  await iterator.next();
  expect(await valuesOf(kv, selector, { cursor: iterator.cursor })).toEqual([
    ["a", "b"],
    ["a", "c"],
  ]);
  expect(await valuesOf(kv, selector, { cursor: iterator.cursor, reverse: true })).toEqual([]);
});
