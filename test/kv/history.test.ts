/**
 * The horizon of the change log, sets that say nothing twice, and values before a change.
 */
import { describe, expect, it } from "vitest";
import { ManualClock, openKv } from "../../src/index.js";

const ROUNDS = 20;
const KEYS = 200;

async function fill(kv: Awaited<ReturnType<typeof openKv>>): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(
      Array.from({ length: KEYS }, (_, index) =>
        kv.set(["key", index], { round, index, pad: "x".repeat(50) }),
      ),
    );
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !holds(); tries++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}

describe("the history", () => {
  it("starts empty, and tells how far it goes", async () => {
    await using kv = await openKv(":memory:", { shards: 2 });
    expect(kv.history()).toEqual({ oldest: "0".repeat(20), newest: "0".repeat(20), bytes: 0 });
    const { versionstamp } = await kv.set(["a"], 1);
    expect(kv.history()).toMatchObject({ oldest: "0".repeat(20), newest: versionstamp });
    expect(kv.history().bytes).toBeGreaterThan(0);
  });

  it("is trimmed to its bytes while writers write, and loses no entry by that", async () => {
    await using kv = await openKv(":memory:", { shards: 2, history: { bytesMax: 200_000 } });
    await fill(kv);
    const { bytes, oldest, newest } = kv.history();
    expect(bytes).toBeLessThanOrEqual(200_000);
    expect(oldest > "0".repeat(20) && oldest < newest).toBe(true);
    const rounds = new Set<number>();
    for await (const { value } of kv.list<{ round: number }>({ prefix: ["key"] })) rounds.add(value.round);
    expect(rounds).toEqual(new Set([ROUNDS - 1]));
  });

  it("is trimmed by age when nobody writes", async () => {
    const clock = new ManualClock(1_000_000);
    await using kv = await openKv(":memory:", { shards: 1, clock, history: { ageMsMax: 10_000 } });
    await fill(kv);
    const before = kv.history().bytes;
    clock.advance(10_001);
    clock.advance(10_000);
    await until(() => kv.history().bytes < before / 2);
    expect(kv.history().oldest > "0".repeat(20)).toBe(true);
  });
});

describe("ifChanged", () => {
  it("writes and announces nothing when the same bytes are there", async () => {
    await using kv = await openKv(":memory:", { shards: 2 });
    const first = await kv.set(["a"], { x: 1 }, { ifChanged: true });
    expect(first).toEqual({ ok: true, versionstamp: expect.any(String), changed: true });
    const feed = kv.changes({ prefix: [] });
    expect(await kv.set(["a"], { x: 1 }, { ifChanged: true })).toEqual({ ...first, changed: false });
    expect((await kv.get(["a"])).versionstamp).toBe(first.versionstamp);
    const second = await kv.set(["a"], { x: 2 }, { ifChanged: true });
    expect(second).toMatchObject({ changed: true });
    for await (const change of feed) {
      expect(change).toMatchObject({ type: "update", value: { x: 2 }, versionstamp: second.versionstamp });
      break;
    }
  });

  it("holds for each set of a commit over several shards", async () => {
    await using kv = await openKv(":memory:", { shards: 5, ifChanged: true });
    const commit = (last: number) =>
      kv.atomic().set(["a"], 1).set(["b"], 2).set(["c"], 3).set(["d"], 4).set(["e"], last).commit();
    const first = await commit(5);
    expect(first).toMatchObject({ ok: true, changed: true });
    expect(await commit(5)).toMatchObject({ ok: true, changed: false });
    expect(await commit(6)).toMatchObject({ ok: true, changed: true });
    const [a, e] = await kv.getMany([["a"], ["e"]]);
    expect(a!.versionstamp).toBe((first as { versionstamp: string }).versionstamp);
    expect(e!.value).toBe(6);
  });

  it("does not keep a time to live from beginning anew", async () => {
    const clock = new ManualClock(1_000_000);
    await using kv = await openKv(":memory:", { shards: 1, clock });
    await kv.set(["a"], 1, { expireIn: 100 });
    clock.advance(60);
    expect(await kv.set(["a"], 1, { expireIn: 100, ifChanged: true })).toMatchObject({ changed: true });
    clock.advance(60);
    expect((await kv.get(["a"])).value).toBe(1);
    expect(await kv.set(["a"], 1, { ifChanged: true })).toMatchObject({ changed: true });
    clock.advance(1000);
    expect((await kv.get(["a"])).value).toBe(1);
  });

  it("counts a set within a commit against what that commit has done before it", async () => {
    await using kv = await openKv(":memory:", { shards: 1 });
    await kv.set(["a"], 1);
    const result = await kv.atomic().set(["a"], 2).set(["a"], 2, { ifChanged: true }).commit();
    expect(result).toMatchObject({ ok: true, changed: true });
    expect(await kv.atomic().delete(["a"]).set(["a"], 2, { ifChanged: true }).commit()).toMatchObject({
      changed: true,
    });
    expect((await kv.get(["a"])).value).toBe(2);
  });
});

describe("the stats", () => {
  it("tell what each shard has done", async () => {
    await using kv = await openKv(":memory:", { shards: 2 });
    await Promise.all(Array.from({ length: 500 }, (_, index) => kv.set(["key", index], index)));
    const { shards, pendingCommits, openSnapshots } = kv.stats();
    expect({ pendingCommits, openSnapshots }).toEqual({ pendingCommits: 0, openSnapshots: 0 });
    expect(shards.map(({ shard, restarts }) => ({ shard, restarts }))).toEqual([
      { shard: 0, restarts: 0 },
      { shard: 1, restarts: 0 },
    ]);
    expect(shards[0]!.commits + shards[1]!.commits).toBe(500);
    expect(shards[0]!.changes + shards[1]!.changes).toBe(500);
    for (const shard of shards) {
      expect(shard.state).toMatch(/^(running|in-transaction)$/);
      expect(shard.transactions).toBeGreaterThan(0);
      expect(shard.meanBatch).toBe(shard.commits / shard.transactions);
      expect(shard.logBytes).toBeGreaterThan(0);
    }
  });
});
