/** `kv.compact()`: the files of a store that is open, under reads, writes, feeds and listeners. */
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Kv, openKv, verifyStore } from "../../src/index.js";
import { until } from "./queue-waiting.js";
import { everything, keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

const SHARDS = 2;
const HISTORY = { bytesMax: 50_000 };

/** Makes the files large, and what is in them small. */
async function bloat(kv: Kv): Promise<void> {
  for (let n = 0; n < 40; n++) await kv.set(["bulk", n], new Uint8Array(100_000).fill(n));
  for (let n = 1; n < 40; n++) await kv.delete(["bulk", n]);
}

function fileBytes(path: string): number {
  return [0, 1].reduce((sum, shard) => sum + statSync(join(path, `shard-00${shard}`, "data.mdb")).size, 0);
}

describe.each(["sync", "relaxed"] as const)("compacting an open store (%s)", (durability) => {
  test("gives free pages back, and keeps every entry, versionstamp and change", async () => {
    const path = tempPath();
    const kv = await openKv(path, { shards: SHARDS, durability, history: HISTORY });
    await bloat(kv);
    const { versionstamp } = await kv.set(["kept"], "as it was", { expireIn: 1e9 });
    const before = await everything(kv);
    const { bytesBefore, bytesAfter } = await kv.compact();
    expect(bytesBefore).toBeGreaterThan(3_000_000);
    expect(bytesAfter).toBeLessThan(bytesBefore / 4);
    expect(fileBytes(path)).toBe(bytesAfter);
    expect(existsSync(join(path, "shard-000", "compact"))).toBe(false);
    expect(await everything(kv)).toEqual(before);
    expect(await kv.get(["kept"])).toMatchObject({ value: "as it was", versionstamp });
    expect((await kv.set(["after"], 1)).versionstamp > versionstamp).toBe(true);
    expect((await kv.compact()).bytesAfter).toBeLessThan(bytesBefore / 4);
    await kv.close();
    expect((await verifyStore(path)).problems).toEqual([]);
    await using again = await openKv(path);
    expect((await again.get(["after"])).value).toBe(1);
  });

  test("goes on under writers, readers and feeds: all of them see one store", async () => {
    const path = tempPath();
    const kv = await openKv(path, { shards: SHARDS, durability });
    await bloat(kv);
    const model = new Map<number, number>();
    const keys = keyOnEachShard("both", SHARDS);
    let isDone = false;
    let rounds = 0;
    const heard: { readonly key: unknown; readonly value: number | null; readonly versionstamp: string }[] =
      [];
    const feed = kv.changes<number>({ prefix: ["row"] });
    const following = (async () => {
      for await (const { key, value, versionstamp } of feed) heard.push({ key: key[1], value, versionstamp });
    })();
    const writing = [0, 1, 2].map(async (writer) => {
      for (let n = 0; !isDone; n++) {
        const row = writer * 100 + (n % 50);
        await kv.set(["row", row], n);
        model.set(row, n);
        expect(kv.getSync(["row", row]).value).toBe(n);
        let commit = kv.atomic();
        for (const key of keys) commit = commit.sum(key, 1n);
        await commit.commit();
        rounds++;
      }
    });
    const reading = (async () => {
      while (!isDone) {
        const [a, b] = await kv.getMany<[bigint, bigint]>([keys[0]!, keys[1]!]);
        expect(a.value).toEqual(b.value);
        // A read without a wait is no turn of the event loop.
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await until("they write", () => rounds > 10);
    for (let times = 0; times < 3; times++) {
      const before = rounds;
      await kv.compact();
      await until("they write again", () => rounds > before + 5);
    }
    isDone = true;
    await Promise.all([...writing, reading]);
    for (const [row, n] of model) expect((await kv.get(["row", row])).value).toBe(n);
    expect((await kv.get<{ value: bigint }>(keys[0]!)).value!.value).toBe(BigInt(rounds));
    const last = await kv.set(["row", "last"], -1);
    await until("the feed has heard all", () => heard.at(-1)?.versionstamp === last.versionstamp);
    const state = new Map(heard.map(({ key, value }) => [key, value]));
    state.delete("last");
    expect(state).toEqual(model);
    expect(heard.map(({ versionstamp }) => versionstamp)).toEqual(
      heard.map(({ versionstamp }) => versionstamp).sort(),
    );
    feed.close();
    await following;
    await kv.close();
    expect((await verifyStore(path)).problems).toEqual([]);
  });
});

test("a message that is being handled stays with its handler, and others are handed out afterwards", async () => {
  const path = tempPath();
  const kv = await openKv(path, { shards: SHARDS });
  const handled: unknown[] = [];
  const finish = new AbortController();
  void kv.listenQueue(async (value) => {
    if (value === "long") await once(finish.signal, "abort");
    handled.push(value);
  });
  await kv.enqueue("long");
  await until("it is leased", () => kv.queueStats().leased === 1);
  await kv.compact();
  expect(kv.queueStats().leased).toBe(1);
  for (let n = 0; n < 4; n++) await kv.enqueue(n);
  await until("the others are handled", () => handled.length === 4);
  finish.abort();
  await until("it is settled", () => kv.queueStats().leased === 0);
  expect(handled.filter((value) => value === "long")).toHaveLength(1);
  await kv.close();
  expect((await verifyStore(path)).problems).toEqual([]);
});

test("an open snapshot keeps it from that: a clear error, and the store goes on", async () => {
  const kv = await tempKv(tempPath(), { shards: SHARDS });
  await kv.set(["a"], 1);
  const snapshot = await kv.snapshot();
  const compacting = kv.compact();
  const waiting = kv.set(["a"], 2);
  await expect(compacting).rejects.toMatchObject({
    code: "KV_IN_USE",
    message: /a snapshot, a backup or a feed/,
  });
  await waiting;
  expect(snapshot.get(["a"]).value).toBe(1);
  expect((await kv.get(["a"])).value).toBe(2);
  snapshot.close();
  await kv.compact();
  expect((await kv.get(["a"])).value).toBe(2);
});

test("other threads that share the store keep it from that, and none joins meanwhile", async () => {
  const kv = await tempKv(tempPath(), { shards: SHARDS });
  await kv.set(["a"], 1);
  const handle = kv.share();
  await expect(kv.compact()).rejects.toMatchObject({ code: "KV_IN_USE", message: /1 other threads share/ });
  for (const port of handle.transfer) port.close();
  // The opening thread hears in a moment that the handle was thrown away.
  const isFree = () =>
    kv.compact().then(
      () => true,
      (error) => {
        expect(error).toMatchObject({ code: "KV_IN_USE" });
        return false;
      },
    );
  while (!(await isFree())) await new Promise((resolve) => setTimeout(resolve, 5));
  const compacting = kv.compact();
  expect(() => kv.share()).toThrow(expect.objectContaining({ code: "KV_IN_USE" }));
  await compacting;
  await kv.set(["a"], 2);
  expect((await kv.get(["a"])).value).toBe(2);
});

test("two at once are one; closing waits for it, and what waited is answered", async () => {
  const path = tempPath();
  const kv = await openKv(path, { shards: SHARDS });
  const other = await openKv(path);
  await bloat(kv);
  const [first, second] = await Promise.all([kv.compact(), other.compact()]);
  expect(first.bytesAfter).toBe(second.bytesAfter);
  const compacting = kv.compact();
  const waiting = other.set(["waits"], 1);
  await Promise.all([kv.close(), compacting]);
  await waiting;
  await other.close();
  await using again = await openKv(path);
  expect((await again.get(["waits"])).value).toBe(1);
  await expect(kv.compact()).rejects.toMatchObject({ code: "KV_CLOSED" });
});
