/** Small commits of the opening thread are made on it while the shards sleep: nothing of what holds for commits, and for the event loop, may suffer. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { formatVersionstamp } from "../../src/codec/versionstamp.js";
import type { Kv, KvChange, KvU64 } from "../../src/index.js";
import { tempKv, tempPath } from "./temp-store.js";

const SETS = 3000;

async function relaxedKv(shards: number): Promise<Kv> {
  const kv = await tempKv(tempPath(), { shards, durability: "relaxed" });
  // The shards are awake when they start.
  await new Promise((resolve) => setTimeout(resolve, 50));
  return kv;
}

/** Counts the turns of the event loop while `work` goes on. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  await work;
  isOver = true;
  return turns;
}

test("a loop of awaited sets leaves the event loop its turns", async () => {
  const kv = await relaxedKv(1);
  const sets = (async () => {
    for (let n = 0; n < SETS; n++) await kv.set(["n"], n);
  })();
  expect(await turnsDuring(sets)).toBeGreaterThan(20);
  expect((await kv.get(["n"])).value).toBe(SETS - 1);
});

test("a follower that answers each change with a set leaves the event loop its turns", async () => {
  const kv = await relaxedKv(1);
  const feed = kv.changes({ key: ["n"] });
  const answers = (async () => {
    for await (const { value } of feed) {
      if ((value as number) >= SETS) return feed.close();
      void kv.set(["n"], (value as number) + 1);
    }
  })();
  await kv.set(["n"], 0);
  expect(await turnsDuring(answers)).toBeGreaterThan(20);
});

test("commits of the opening thread and of another are one order, and every one is heard once", async () => {
  const kv = await relaxedKv(2);
  const keys = [
    ["a", 1],
    ["b", 2],
    ["c", 3],
  ];
  const heard: KvChange[] = [];
  const feed = kv.changes({ prefix: [] });
  const following = (async () => {
    for await (const change of feed) heard.push(change);
  })();
  const handle = kv.share();
  const writer = new Worker(new URL("ordered-writer-thread.js", import.meta.url), {
    workerData: { handle, keys, count: 500 },
    transferList: [...handle.transfer],
  });
  let isRunning = true;
  const ended = once(writer, "exit").then(() => {
    isRunning = false;
  });
  let own = 0;
  while (isRunning) {
    for (let n = 0; n < 5; n++)
      await kv
        .atomic()
        .sum(["own", own % 7], 1n)
        .set(["last"], own++)
        .commit();
    await new Promise(setImmediate);
  }
  await ended;
  // The last of all: when it is heard, everything is.
  const { versionstamp } = await kv.set(["end"], 0);
  while (heard.at(-1)?.versionstamp !== versionstamp) await new Promise(setImmediate);
  feed.close();
  await following;
  const stamps = heard.map((change) => change.versionstamp);
  expect(stamps).toEqual([...stamps].sort());
  expect(stamps[0]! > formatVersionstamp(0, 0)).toBe(true);
  expect(heard.filter(({ key }) => key[0] === "own").length).toBe(own);
  for (const key of keys) {
    const values = heard.filter((change) => change.key[0] === key[0]).map(({ value }) => value);
    expect(values).toEqual(Array.from({ length: 500 }, (_, index) => index + 1));
  }
  let total = 0n;
  for await (const { value } of kv.list<KvU64>({ prefix: ["own"] })) total += value.value;
  expect(total).toBe(BigInt(own));
});

test("what expires is swept though the caller wrote it, and the shard slept", async () => {
  const kv = await relaxedKv(1);
  const feed = kv.changes({ key: ["fleeting"] });
  await kv.set(["fleeting"], 1, { expireIn: 30 });
  for await (const { type, cause } of feed) {
    if (type !== "delete") continue;
    expect(cause).toBe("expired");
    break;
  }
});

test("many at once go to the shard, few are made here, and each gets its answer in order", async () => {
  const kv = await relaxedKv(2);
  const stamps: string[] = [];
  for (const count of [1, 5, 40, 1, 500, 3, 1, 1]) {
    const results = await Promise.all(Array.from({ length: count }, (_, n) => kv.set(["same"], n)));
    stamps.push(...results.map(({ versionstamp }) => versionstamp));
    expect((await kv.get(["same"])).value).toBe(count - 1);
  }
  expect(stamps).toEqual([...stamps].sort());
  expect(new Set(stamps).size).toBe(stamps.length);
});
