/** What verifyStore says of a change log, and of its tail, that do not agree with the rest. */
import { expect, test } from "vitest";
import { openKv, verifyStore } from "../../src/index.js";
import { shardDirectory } from "../../src/store/manifest.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { tempPath } from "./temp-store.js";

async function damaged(entries: number, how: (store: ShardStore) => void): Promise<readonly string[]> {
  const path = tempPath();
  const kv = await openKv(path, { shards: 1 });
  for (let n = 0; n < entries; n++) await kv.set(["n", n], "x".repeat(100));
  await kv.close();
  expect((await verifyStore(path)).problems).toEqual([]);
  const store = ShardStore.open(shardDirectory(path, 0), "relaxed");
  store.transaction(() => how(store));
  await store.close();
  return (await verifyStore(path)).problems.map(({ what }) => what);
}

test("a tail that is said to be above everything", async () => {
  const problems = await damaged(3, (store) => {
    const [records] = store.log.read(new Uint8Array(10), 1e6);
    store.log.append([{ last: new Uint8Array(10).fill(0xff), records: records!.slice() }], 5);
  });
  expect(problems.join("\n")).toMatch(/log: .* stands after /);
  expect(problems.join("\n")).toMatch(/log: the row of f{20} ends with /);
  expect(problems.join("\n")).toMatch(/log: it has \d+ bytes of changes, the shard says \d+/);
});

test("a row that is gone", async () => {
  const problems = await damaged(100, (store) => {
    const [oldest] = store.log.heads();
    store.log.remove(oldest!);
  });
  expect(problems.join("\n")).toMatch(/log: it has no change of /);
  expect(problems.join("\n")).toMatch(/log: it has \d+ bytes of changes, the shard says \d+/);
});
