import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { compactStore, openKv, restoreBackup, verifyStore } from "../../src/index.js";
import { keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

const SHARDS = 3;

test.each(["sync", "relaxed"] as const)(
  "a backup is one moment of all shards, made while commits over all of them go on (%s)",
  async (durability) => {
    const path = tempPath();
    const kv = await tempKv(path, { shards: SHARDS, durability, history: { bytesMax: 50_000 } });
    const keys = keyOnEachShard("k", SHARDS);
    const commit = (n: number) => {
      let operation = kv.atomic();
      for (const key of keys) operation = operation.set(key, n);
      return operation.commit();
    };
    await commit(0);
    await kv.set(["filler"], new Uint8Array(3_000_000).fill(7));
    let isDone = false;
    let last = 0;
    const writing = (async () => {
      while (!isDone) await commit(++last);
    })();
    const seen: number[] = [];
    const first = last;
    const backup = await kv.backup(join(dirname(path), "backup"), {
      onProgress: ({ copiedBytes, totalBytes }) => {
        expect(copiedBytes).toBeLessThanOrEqual(totalBytes);
        seen.push(copiedBytes);
      },
    });
    isDone = true;
    await writing;
    expect(seen.length).toBeGreaterThan(2);
    expect(backup.bytes).toBe(seen.at(-1));
    expect(backup.report.ok).toBe(true);

    const restored = join(dirname(path), "restored");
    await restoreBackup(backup.path, restored);
    await using copy = await openKv(restored);
    const values = (await copy.getMany<number[]>(keys as never)).map(({ value }) => value);
    expect(new Set(values).size).toBe(1);
    expect(values[0]).toBeGreaterThanOrEqual(first - 1);
    expect(values[0]).toBeLessThanOrEqual(last);
    expect((await copy.get<Uint8Array>(["filler"])).value!.length).toBe(3_000_000);
  },
);

test("a target that holds something is refused, and left as it is", async () => {
  const path = tempPath();
  const kv = await tempKv(path, { shards: 1 });
  const target = join(dirname(path), "taken");
  mkdirSync(target);
  writeFileSync(join(target, "mine"), "");
  await expect(kv.backup(target)).rejects.toMatchObject({ code: "KV_TARGET_EXISTS" });
  expect(existsSync(join(target, "manifest.json"))).toBe(false);
  await expect(kv.backup("")).rejects.toMatchObject({ code: "KV_INVALID_PATH" });
});

test("a backup that was interrupted is no store, and is replaced by the next", async () => {
  const path = tempPath();
  const kv = await tempKv(path, { shards: 2 });
  await kv.set(["a"], new Uint8Array(3_000_000));
  const target = join(dirname(path), "backup");
  const stop = new Error("enough");
  const interrupted = kv.backup(target, {
    onProgress: () => {
      throw stop;
    },
  });
  await expect(interrupted).rejects.toBe(stop);
  expect((await verifyStore(target)).ok).toBe(false);
  expect((await kv.backup(target)).report.ok).toBe(true);
});

test("verifyStore refuses a store that is open, and counts what a closed one holds", async () => {
  const path = tempPath();
  const kv = await openKv(path, { shards: 2 });
  await kv.atomic().set(["a"], 1).set(["b"], 2).set(["c"], 3, { expireIn: 1e6 }).commit();
  await expect(verifyStore(path)).rejects.toMatchObject({ code: "KV_LOCKED" });
  await kv.close();
  const { ok, shards } = await verifyStore(path);
  expect(ok).toBe(true);
  const total = (of: (shard: (typeof shards)[number]) => number) =>
    shards.reduce((sum, shard) => sum + of(shard), 0);
  expect([
    total(({ entries }) => entries),
    total(({ expiring }) => expiring),
    total(({ changes }) => changes),
  ]).toEqual([3, 1, 3]);
});

test("compacting gives free pages back, keeps every entry, and refuses a store that is open", async () => {
  const path = tempPath();
  const kv = await openKv(path, { shards: 2, history: { bytesMax: 1000 } });
  for (let n = 0; n < 40; n++) await kv.set(["bulk", n], new Uint8Array(100_000).fill(n));
  for (let n = 1; n < 40; n++) await kv.delete(["bulk", n]);
  const { versionstamp } = await kv.set(["kept"], "as it was");
  await expect(compactStore(path)).rejects.toMatchObject({ code: "KV_LOCKED" });
  await kv.close();
  const { bytesBefore, bytesAfter } = await compactStore(path);
  expect(bytesBefore).toBeGreaterThan(3_000_000);
  expect(bytesAfter).toBeLessThan(bytesBefore / 4);
  expect((await verifyStore(path)).problems).toEqual([]);
  await using again = await openKv(path);
  expect(await again.get(["kept"])).toMatchObject({ value: "as it was", versionstamp });
  expect((await again.get<Uint8Array>(["bulk", 0])).value!.length).toBe(100_000);
  expect((await again.set(["after"], 1)).versionstamp > versionstamp).toBe(true);
});
