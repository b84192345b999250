/** Versionstamps and positions that were given out are never given out again, whatever of them the store remembers. */
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { readCounter } from "../../src/codec/versionstamp.js";
import { type Kv, openKv } from "../../src/index.js";
import { COUNTERS_LEFT_OUT, COUNTERS_UNMARKED_MAX } from "../../src/limits.js";
import { createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { CommitExecutor } from "../../src/shard/commit-executor.js";
import { Faults } from "../../src/shard/faults.js";
import { ShardWriter } from "../../src/shard/shard-writer.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { tempPath } from "./temp-store.js";

/** The position that a feed has come to when it has nothing more to give. */
async function positionOf(kv: Kv): Promise<string> {
  const feed = kv.changes({ prefix: [] }, { progressMs: 1 });
  for await (const item of feed) if (item.type === "progress") return item.position;
  throw new Error("the feed ended");
}

/** Commits that take counter values and change nothing. */
async function refused(kv: Kv, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    const { ok } = await kv
      .atomic()
      .check({ key: ["k"], versionstamp: "f".repeat(20) })
      .set(["k"], 0)
      .commit();
    expect(ok).toBe(false);
  }
}

test.each([
  ["relaxed", 1],
  ["sync", 1],
  ["relaxed", 3],
] as const)(
  "a position behind commits that changed nothing goes on in the next opening: %s, %i shards",
  async (durability, shards) => {
    const path = tempPath();
    let position: string;
    {
      await using kv = await openKv(path, { durability, shards });
      await kv.set(["k"], 1);
      await refused(kv, 20);
      position = await positionOf(kv);
    }
    await using kv = await openKv(path, { durability });
    const feed = kv.changes({ prefix: [] }, { since: position });
    const { versionstamp } = await kv.set(["k"], 2);
    expect(versionstamp > position.slice(0, 20)).toBe(true);
    for await (const change of feed) {
      expect(change.versionstamp).toBe(versionstamp);
      break;
    }
  },
);

test("a store in which nothing was ever written goes on as well", async () => {
  const path = tempPath();
  let position: string;
  {
    await using kv = await openKv(path, { durability: "relaxed", shards: 1 });
    await refused(kv, 20);
    position = await positionOf(kv);
  }
  await using kv = await openKv(path, { durability: "relaxed" });
  const feed = kv.changes({ prefix: [] }, { since: position });
  await kv.set(["k"], 2);
  for await (const { value } of feed) {
    expect(value).toBe(2);
    break;
  }
});

test("however many transactions change nothing, the store knows of a counter value close to the last", () => {
  const store = ShardStore.open(tempPath(), "relaxed");
  onTestFinished(() => store.close());
  const control = Control.create(1, 0, 0);
  const log = { bytesMax: 2 ** 20, ageMsMax: Number.POSITIVE_INFINITY };
  const faults = new Faults(null, 0);
  const changes = createChangeRing(2 ** 16);
  const writer = new ShardWriter(
    { shard: 0, control, store, clock: systemClock, changes, faults, log },
    null,
  );
  const executor = new CommitExecutor(writer, null, 2);
  const nothing = () => writer.commit(1, (batch) => executor.begin(batch));
  nothing();
  expect(store.head()).toBeUndefined();
  for (let taken = 0; taken < COUNTERS_UNMARKED_MAX; taken++) control.takeFurtherCounter();
  nothing();
  const { lastVersionstamp } = store.head()!;
  expect(control.counter - readCounter(lastVersionstamp, 0)).toBeLessThanOrEqual(COUNTERS_UNMARKED_MAX);
  expect(COUNTERS_UNMARKED_MAX * 2).toBeLessThan(COUNTERS_LEFT_OUT);
});
