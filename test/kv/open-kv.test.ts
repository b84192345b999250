/** `openKv`: paths, options, one engine shared by all who open a path in a process, and private stores. */
import { existsSync, mkdirSync, readdirSync, readlinkSync, realpathSync, symlinkSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type KvOpenOptions, ManualClock, openKv } from "../../src/index.js";
import { shardDirectory } from "../../src/store/manifest.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { everything, keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

test("a store whose shards nobody has counted leaves a core to its callers", async () => {
  const kv = await tempKv(undefined, {});
  expect(kv.stats().shards).toHaveLength(Math.min(8, Math.max(1, availableParallelism() - 1)));
});

describe("private stores", () => {
  test.each([undefined, ":memory:"])("each opening of %o is a store of its own", async (path) => {
    const [one, two] = await Promise.all([tempKv(path, { shards: 2 }), tempKv(path, { shards: 2 })]);
    await one.set(["a"], 1);
    expect(await everything(two)).toEqual([]);
    expect((await two.get(["a"])).versionstamp).toBeNull();
  });

  test("its directory vanishes when it is closed", async () => {
    // A place of its own: others on this machine may open private stores too.
    const place = tempPath();
    mkdirSync(place);
    vi.stubEnv("TMPDIR", place);
    onTestFinished(() => void vi.unstubAllEnvs());
    const kv = await openKv(":memory:", { shards: 2 });
    await kv.set(["a"], 1);
    expect(readdirSync(place)).toHaveLength(1);
    await kv.close();
    expect(readdirSync(place)).toEqual([]);
  });
});

describe("one engine for a path", () => {
  test("300 openings at once share one engine, and the last to close frees the path", async () => {
    const path = tempPath();
    const all = await Promise.all(Array.from({ length: 300 }, () => openKv(path, { shards: 2 })));
    await Promise.all(all.map((kv, n) => kv.set(["n", n], n)));
    expect(await everything(all[299]!)).toHaveLength(300);
    expect(readdirSync(path).filter((name) => name.startsWith("lock-"))).toHaveLength(1);
    await Promise.all(all.slice(1).map((kv) => kv.close()));
    await all[0]!.set(["last"], 1);
    expect(readdirSync(path).some((name) => name.startsWith("lock-"))).toBe(true);
    await all[0]!.close();
    expect(readdirSync(path).some((name) => name.startsWith("lock-"))).toBe(false);
  });

  test("20 instances hear each other, see each other, and stay atomic among each other", async () => {
    const path = tempPath();
    const all = await Promise.all(Array.from({ length: 20 }, () => tempKv(path, { shards: 5 })));
    const readers = all.map((kv) => kv.watch<[number]>([["shared"]]).getReader());
    const feeds = all.map((kv) => kv.changes({ prefix: [] })[Symbol.asyncIterator]());
    for (const reader of readers) await reader.read();
    await all[7]!.set(["shared"], 7);
    for (const reader of readers) expect((await reader.read()).value).toMatchObject([{ value: 7 }]);
    for (const feed of feeds) expect((await feed.next()).value).toMatchObject({ key: ["shared"], value: 7 });
    for (const kv of all) expect(kv.getSync(["shared"]).value).toBe(7);
    await Promise.all(all.map((kv) => kv.atomic().sum(["a"], 1n).sum(["b"], 2n).commit()));
    expect(await everything(all[0]!)).toMatchObject([
      { key: ["a"], value: { value: 20n } },
      { key: ["b"], value: { value: 40n } },
      { key: ["shared"] },
    ]);
  });

  test("closing one instance ends its own watches and nothing of the others", async () => {
    const path = tempPath();
    const [one, two] = [await openKv(path, { shards: 2 }), await tempKv(path)];
    const readers = [one, two].map((kv) => kv.watch([["a"]]).getReader());
    for (const reader of readers) await reader.read();
    const pending = two.set(["b"], 1);
    await one.close();
    expect((await readers[0]!.read()).done).toBe(true);
    expect((await pending).ok).toBe(true);
    await two.set(["a"], 1);
    expect((await readers[1]!.read()).value).toMatchObject([{ value: 1 }]);
  });

  test("all ways to write a path mean the same store", async () => {
    const path = tempPath();
    mkdirSync(path);
    const link = join(dirname(path), "link");
    symlinkSync(path, link);
    const one = await tempKv(path, { shards: 2 });
    await one.set(["a"], 1);
    for (const other of [`${path}/`, join(path, "..", "store"), link]) {
      expect((await (await tempKv(other)).get(["a"])).value).toBe(1);
    }
  });

  test("opening while the last one closes waits, and finds everything", async () => {
    const path = tempPath();
    let kv = await openKv(path, { shards: 2 });
    for (let n = 0; n < 10; n++) {
      await kv.set(["n", n], n);
      const closing = kv.close();
      kv = await openKv(path);
      await closing;
    }
    expect(await everything(kv)).toHaveLength(10);
    await kv.close();
  });

  test("who asks for other fixed settings than the open store has is told so, and the open one goes on", async () => {
    const path = tempPath();
    const kv = await tempKv(path, { shards: 2, partitionDepth: 2, durability: "relaxed" });
    const conflicts: KvOpenOptions[] = [
      { shards: 3, durability: "relaxed" },
      { partitionDepth: 1, durability: "relaxed" },
      { durability: "sync" },
      { durability: "relaxed", clock: new ManualClock() },
    ];
    for (const options of conflicts) {
      await expect(openKv(path, options)).rejects.toMatchObject({ code: "KV_OPTIONS_CONFLICT" });
    }
    await tempKv(path, { shards: 2, durability: "relaxed" });
    await tempKv(path, { durability: "relaxed" });
    expect((await kv.set(["a"], 1)).ok).toBe(true);
  });

  test("also when the first one had left the settings to the store", async () => {
    const path = tempPath();
    const made = await openKv(path, { shards: 2, partitionDepth: 3 });
    await made.close();
    const kv = await openKv(path);
    await expect(openKv(path, { shards: 3 })).rejects.toMatchObject({ code: "KV_OPTIONS_CONFLICT" });
    await expect(openKv(path, { partitionDepth: 1 })).rejects.toMatchObject({ code: "KV_OPTIONS_CONFLICT" });
    await tempKv(path, { shards: 2, partitionDepth: 3 });
    await kv.close();
  });

  test("an opening that failed leaves the path free for the next", async () => {
    const path = tempPath();
    await (await openKv(path, { shards: 2 })).close();
    const attempts = await Promise.allSettled([openKv(path, { shards: 3 }), openKv(path, { shards: 3 })]);
    for (const attempt of attempts) expect(attempt).toMatchObject({ reason: { code: "KV_SHARD_COUNT" } });
    const kv = await tempKv(path);
    expect((await kv.set(["a"], 1)).ok).toBe(true);
  });
});

describe("what can't be opened", () => {
  test.each<[unknown, string]>([
    ["", "Filename cannot be empty"],
    [":elsewhere", "Filename cannot start with ':' unless prefixed with './'"],
    [5, "path must be a string: received number"],
  ])("the path %o", async (path, message) => {
    await expect(openKv(path as string)).rejects.toMatchObject({ code: "KV_INVALID_PATH", message });
  });

  test.each<[KvOpenOptions]>([
    [{ shards: 0 }],
    [{ shards: 32 }],
    [{ shards: 1.5 }],
    [{ partitionDepth: 0 }],
    [{ partitionDepth: 9 }],
    [{ durability: "never" as "sync" }],
    [{ limits: { valueBytesMax: 0 } }],
    [{ limits: { valueBytesMax: 2 ** 30 } }],
    [{ limits: { checksMax: 1.5 } }],
    [{ limits: { commitBytesMax: Number.POSITIVE_INFINITY } }],
    [{ limits: { nothing: 1 } as object }],
    [{ limits: "node" as "deno" }],
    [{ changeRingBytes: 5000 }],
    [{ clock: { nowMs: () => 0 } }],
  ])("the options %o: an error, and nothing is created", async (options) => {
    const path = tempPath();
    await expect(openKv(path, options)).rejects.toMatchObject({ code: "KV_INVALID_OPTION" });
    await expect(openKv(path, options)).rejects.toBeInstanceOf(TypeError);
    expect(existsSync(path)).toBe(false);
  });
});

test("31 shards, the most there are, work together", async () => {
  const kv = await tempKv(":memory:", { shards: 31 });
  const keys = keyOnEachShard("k", 31);
  const operation = kv.atomic();
  for (const [shard, key] of keys.entries()) operation.set(key, shard);
  expect((await operation.commit()).ok).toBe(true);
  expect((await kv.getMany(keys)).map(({ value }) => value)).toEqual(keys.map((_, shard) => shard));
});

test.runIf(process.platform === "linux")(
  "an opening that fails half-way leaves no file of the store open",
  async () => {
    const place = tempPath();
    await (await openKv(place, { shards: 2 })).close();
    const path = realpathSync(place);
    const store = ShardStore.open(shardDirectory(path, 1), "sync");
    store.transaction(() => store.putRound(1, Uint8Array.of(1, 2, 3)));
    await store.close();
    await expect(openKv(path)).rejects.toMatchObject({ code: "KV_CORRUPT" });
    const openFiles = readdirSync("/proc/self/fd").map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "closed meanwhile";
      }
    });
    expect(openFiles.filter((file) => file.startsWith(path))).toEqual([]);
  },
);
