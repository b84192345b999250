/** Time to live: invisible at the moment, swept soon after, and heard. The clock is held by hand. */
import { describe, expect, test } from "vitest";
import { type Kv, type KvChange, type KvKey, ManualClock, openKv } from "../../src/index.js";
import { everything, keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

async function next(feed: AsyncIterator<KvChange>, count: number): Promise<KvChange[]> {
  const heard: KvChange[] = [];
  while (heard.length < count) heard.push((await feed.next()).value);
  return heard;
}

const follow = (kv: Kv, prefix: KvKey = []) => kv.changes({ prefix })[Symbol.asyncIterator]();
const briefly = ({ type, cause, key }: KvChange) => `${type} ${cause} ${String(key[1])}`;

describe.each([1, 2, 5])("over %i shards", (shards) => {
  test("an entry is there until its last millisecond, and gone from every read at the next", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    const { versionstamp } = await kv.set(["k", 1], "x", { expireIn: 500 });
    using before = await kv.snapshot();
    clock.advance(499);
    expect((await kv.get(["k", 1])).value).toBe("x");
    clock.advance(1);
    const nothing = { key: ["k", 1], value: null, versionstamp: null };
    expect(kv.getSync(["k", 1])).toStrictEqual(nothing);
    expect(await kv.get(["k", 1])).toStrictEqual(nothing);
    expect(await kv.getMany([["k", 1]])).toStrictEqual([nothing]);
    expect(await everything(kv)).toEqual([]);
    expect(before.get(["k", 1])).toStrictEqual(nothing);
    const check = kv.atomic().check({ key: ["k", 1], versionstamp });
    expect(await check.commit()).toMatchObject({ ok: false, failedChecks: [{ actual: null }] });
  });

  test("a sweep is heard as a delete with the cause 'expired', under a later versionstamp", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    const feed = follow(kv);
    const { versionstamp } = await kv.set(["k", 1], "x", { expireIn: 500 });
    await next(feed, 1);
    clock.advance(500);
    const [expired] = await next(feed, 1);
    expect(expired).toMatchObject({ type: "delete", cause: "expired", key: ["k", 1], value: null });
    expect(expired!.versionstamp > versionstamp).toBe(true);
    const later = await kv.set(["k", 1], "y");
    expect(later.versionstamp > expired!.versionstamp).toBe(true);
    expect((await next(feed, 1))[0]).toMatchObject({ type: "create", key: ["k", 1] });
  });

  test("every entry of many is swept once, whenever and however it was written", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    const feed = follow(kv);
    // Commits over one shard and over all, in flight together: a turn of a shard's loop then has several transactions.
    for (let pass = 0; pass < 20; pass++) {
      const several = kv.atomic();
      for (let n = 0; n < 10; n++) several.set(["several", pass * 10 + n], n, { expireIn: 100 });
      const singles = Array.from({ length: 30 }, (_, n) => kv.set(["kept", n], pass));
      await Promise.all([several.commit(), ...singles]);
      clock.advance(100);
      const expired = new Set<unknown>();
      while (expired.size < 10) {
        const [change] = await next(feed, 1);
        if (change!.cause === "expired") expired.add(change!.key[1]);
      }
    }
    expect((await everything(kv)).map(({ key }) => key[0])).toEqual(Array(30).fill("kept"));
  });

  test("an expired entry that is written before its sweep is heard as expired, then created", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    const keys = keyOnEachShard("k", Math.max(2, shards)).slice(0, 2);
    for (let pass = 0; pass < 20; pass++) {
      const feed = follow(kv);
      const operation = kv.atomic();
      for (const key of keys) operation.set(key, pass, { expireIn: 10 });
      await operation.commit();
      // No turn of the event loop between: the shards may or may not be faster than the next commit.
      clock.advance(10);
      const again = kv.atomic();
      for (const key of keys) again.check({ key, versionstamp: null }).set(key, "again");
      expect((await again.commit()).ok).toBe(true);
      const heard = (await next(feed, 6)).map(briefly);
      for (const key of keys) {
        const ofKey = heard.filter((text) => text.endsWith(` ${String(key[1])}`));
        expect(ofKey.map((text) => text.split(" ").slice(0, 2).join(" "))).toEqual([
          "create set",
          "delete expired",
          "create set",
        ]);
      }
      await feed.return?.();
      for (const key of keys) await kv.delete(key);
    }
  });

  test("expireIn 0 is over at once, and heard", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    const feed = follow(kv);
    await kv.set(["k", 1], "x", { expireIn: 0 });
    expect(kv.getSync(["k", 1]).versionstamp).toBeNull();
    expect((await next(feed, 2)).map(briefly)).toEqual(["create set 1", "delete expired 1"]);
  });

  test("a later time to live replaces an earlier one, both ways", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    const feed = follow(kv);
    await kv.set(["k", 1], "longer", { expireIn: 10 });
    await kv.set(["k", 1], "longer", { expireIn: 1_000 });
    await kv.set(["k", 2], "shorter", { expireIn: 1_000 });
    await kv.set(["k", 2], "shorter", { expireIn: 10 });
    await kv.set(["k", 3], "deleted", { expireIn: 10 });
    await kv.delete(["k", 3]);
    clock.advance(10);
    expect((await next(feed, 7)).map(briefly).at(-1)).toBe("delete expired 2");
    expect((await everything(kv)).map(({ key }) => key)).toEqual([["k", 1]]);
    clock.advance(990);
    expect((await next(feed, 1)).map(briefly)).toEqual(["delete expired 1"]);
  });

  test("a watch of the key shows null when it expires", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    await kv.set(["k", 1], "x", { expireIn: 10 });
    const reader = kv.watch([["k", 1]]).getReader();
    expect((await reader.read()).value).toMatchObject([{ value: "x" }]);
    clock.advance(10);
    expect((await reader.read()).value).toMatchObject([{ value: null, versionstamp: null }]);
  });

  test("more expired entries than one sweep takes are all swept and heard", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    const operation = kv.atomic();
    for (let n = 0; n < 2500; n++) operation.set(["many", n], n, { expireIn: 5 });
    await operation.commit();
    const feed = follow(kv);
    clock.advance(5);
    const heard = await next(feed, 2500);
    expect(new Set(heard.map(({ key }) => key[1])).size).toBe(2500);
    expect(heard.every(({ cause }) => cause === "expired")).toBe(true);
  });
});

test("what expired while the store was closed is gone when it is opened, and what did not is there", async () => {
  const path = tempPath();
  const clock = new ManualClock(1_000);
  const first = await openKv(path, { shards: 2, clock });
  const keys = keyOnEachShard("k", 2);
  for (const key of keys) await first.set(key, "short", { expireIn: 10 });
  await first.set(["long"], "long", { expireIn: 100 });
  await first.close();
  clock.advance(50);
  const second = await tempKv(path, { clock });
  expect((await everything(second)).map(({ key }) => key)).toEqual([["long"]]);
  const feed = follow(second, []);
  clock.advance(50);
  let heard = await next(feed, 1);
  while (heard[0]!.key[0] !== "long") heard = await next(feed, 1);
  expect(heard[0]).toMatchObject({ cause: "expired" });
});

test("with the system's clock too, an entry goes by itself and is heard", async () => {
  const kv = await tempKv(":memory:", { shards: 2 });
  const feed = follow(kv);
  await kv.set(["k", 1], "x", { expireIn: 20 });
  expect((await next(feed, 2)).map(briefly)).toEqual(["create set 1", "delete expired 1"]);
  expect(kv.getSync(["k", 1]).versionstamp).toBeNull();
});
