import { expect, test } from "vitest";
import { type Kv, ManualClock, openKv } from "../../src/index.js";

const SHARDS = 5;
const ROUNDS = 40;

test("what a commit over several shards sweeps is heard in the order of its positions", async () => {
  const clock = new ManualClock(1_000_000);
  await using kv = await openKv(":memory:", { shards: SHARDS, clock });
  const feed = kv.changes({ prefix: [] });
  const keys = Array.from({ length: 2 * SHARDS }, (_, n) => ["key", n]);
  for (let round = 0; round < ROUNDS; round++) {
    await setAll(kv, keys, { expireIn: 1000 });
    // At once, before the shards sweep by themselves: so the commit does it, at least for some.
    clock.advance(1001);
    await setAll(kv, keys.toReversed());
  }
  await kv.set(["end"], 1);
  const positions: string[] = [];
  let expired = 0;
  for await (const change of feed) {
    if (change.key[0] === "end") break;
    positions.push(change.position);
    if (change.type === "delete") expired++;
  }
  expect(expired).toBe(ROUNDS * keys.length);
  expect(positions).toEqual(positions.toSorted());
});

async function setAll(kv: Kv, keys: (string | number)[][], options = {}): Promise<void> {
  let commit = kv.atomic();
  for (const key of keys) commit = commit.set(key, 1, options);
  await commit.commit();
}
