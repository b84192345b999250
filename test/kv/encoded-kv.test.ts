import { describe, expect, it } from "vitest";
import { encodeKey } from "../../src/codec/key.js";
import { encodeValue } from "../../src/codec/value.js";
import type { KvKey } from "../../src/index.js";
import { keyOnEachShard, tempKv } from "./temp-store.js";

function setOf(key: KvKey, value: unknown) {
  const { encoding, bytes } = encodeValue(value);
  return { type: "set", key: encodeKey(key), value: bytes, encoding } as const;
}

describe("the store as bytes", () => {
  it("writes what the Kv reads, and reads what the Kv writes", async () => {
    const kv = await tempKv(undefined, { shards: 2 });
    const encoded = kv.encoded();
    const keys = keyOnEachShard("k", 2);
    const result = await encoded.commit({ checks: [], mutations: keys.map((key) => setOf(key, { key })) });
    expect(result.ok).toBe(true);
    expect((await kv.getMany(keys)).map(({ value }) => value)).toEqual(keys.map((key) => ({ key })));
    const [found] = await encoded.read([
      { start: encodeKey(["k"]), end: new Uint8Array([0xff]), limit: 10, reverse: false },
    ]);
    expect(found).toHaveLength(2);
    expect(found![0]).toMatchObject({ encoding: 1, versionstamp: (await kv.get(keys[0]!)).versionstamp });
  });

  it("keeps a value of a newer V8 byte for byte", async () => {
    const kv = await tempKv(undefined, { shards: 1 });
    const value = new Uint8Array([0xff, 0x10, 0x49, 0x02]);
    await kv.encoded().commit({
      checks: [],
      mutations: [{ type: "set", key: encodeKey(["n"]), value, encoding: 1 }],
    });
    expect((await kv.get(["n"])).value).toBe(1);
    const [[entry] = []] = await kv
      .encoded()
      .read([{ start: encodeKey(["n"]), end: new Uint8Array([0xff]), limit: 1, reverse: false }]);
    expect(entry!.value).toEqual(value);
  });

  it.each([
    ["a key that is none", { key: new Uint8Array([0x99]) }, "KV_INVALID_KEY"],
    ["an empty key", { key: new Uint8Array(0) }, "KV_INVALID_KEY"],
    ["a value that V8 can't read", { value: new Uint8Array([0xff, 0x0f, 0x99]) }, "KV_INVALID_VALUE"],
    ["an unknown encoding", { encoding: 7 }, "KV_INVALID_VALUE"],
    ["an expiry that is no time", { expireAtMs: -5 }, "KV_INVALID_OPTION"],
  ])("refuses %s, and writes nothing", async (_, bad, code) => {
    const kv = await tempKv(undefined, { shards: 1 });
    const commit = { checks: [], mutations: [setOf(["ok"], 1), { ...setOf(["bad"], 1), ...bad }] };
    await expect(kv.encoded().commit(commit)).rejects.toMatchObject({ code });
    expect((await kv.get(["ok"])).value).toBeNull();
  });

  it("tells which check failed", async () => {
    const kv = await tempKv(undefined, { shards: 1 });
    await kv.set(["a"], 1);
    const result = await kv.encoded().commit({
      checks: [{ key: encodeKey(["a"]), versionstamp: null }],
      mutations: [setOf(["a"], 2)],
    });
    expect(result).toMatchObject({ ok: false, failedChecks: [{ index: 0, key: ["a"] }] });
  });

  it("watches, and ends with the Kv", async () => {
    const kv = await tempKv(undefined, { shards: 1 });
    const states = kv
      .encoded()
      .watch([encodeKey(["a"])])
      [Symbol.asyncIterator]();
    expect((await states.next()).value).toEqual([null]);
    await kv.set(["a"], 1);
    expect((await states.next()).value?.[0]).toMatchObject({ encoding: 1 });
    await kv.close();
    expect((await states.next()).done).toBe(true);
  });
});
