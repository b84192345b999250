import { expect, test } from "vitest";
import { readChangeRecord } from "../../src/codec/change-record.js";
import { type Kv, openKv } from "../../src/index.js";
import { LOG_ROW_BYTES_MAX } from "../../src/limits.js";
import { aligned } from "../../src/ring/ring-memory.js";
import { shardDirectory } from "../../src/store/manifest.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { temporaryDirectory } from "../life/temporary-directory.js";

const VALUE = "x".repeat(200);

test("a log row holds as many whole commits as fit in, and never a part of one", async () => {
  const path = temporaryDirectory();
  const kv = await openKv(path, { shards: 1 });
  await Promise.all(Array.from({ length: 300 }, (_, n) => commitOf(kv, n, n % 30 === 29 ? 40 : 1 + (n % 3))));
  await kv.close();
  const rows = await rowsOf(path);
  const counts = rows.map(versionstampsOf);
  const shared = rows.filter((_, index) => counts[index]!.size > 1);
  expect(counts.reduce((sum, { size }) => sum + size, 0)).toBe(300);
  expect(new Set(counts.flatMap((stamps) => [...stamps])).size).toBe(300);
  expect(shared.length).toBeGreaterThan(5);
  expect(Math.max(...shared.map(({ length }) => length))).toBeLessThanOrEqual(LOG_ROW_BYTES_MAX);
  expect(rows.filter(({ length }) => length > LOG_ROW_BYTES_MAX).length).toBe(10);
});

test("a log of small rows keeps its bound when large batches come", async () => {
  const path = temporaryDirectory();
  const bytesMax = 300_000;
  const kv = await openKv(path, { shards: 1, history: { bytesMax } });
  for (let n = 0; n < 500; n++) await kv.set(["n", n], VALUE);
  for (let round = 0; round < 5; round++)
    await Promise.all(Array.from({ length: 1000 }, (_, n) => kv.set(["n", n], VALUE)));
  await kv.close();
  const logBytes = (await rowsOf(path)).reduce((sum, { length }) => sum + length, 0);
  expect(logBytes).toBeGreaterThan(bytesMax / 2);
  expect(logBytes).toBeLessThanOrEqual(bytesMax);
});

function commitOf(kv: Kv, n: number, sets: number) {
  let commit = kv.atomic();
  for (let index = 0; index < sets; index++) commit = commit.set(["key", n, index], VALUE);
  return commit.commit();
}

async function rowsOf(path: string): Promise<Uint8Array[]> {
  const store = ShardStore.open(shardDirectory(path, 0), "sync");
  const rows = store.log.read(new Uint8Array(10), Number.POSITIVE_INFINITY);
  await store.close();
  return rows;
}

function versionstampsOf(row: Uint8Array): Set<string> {
  const stamps = new Set<string>();
  for (let offset = 0; offset < row.length; ) {
    const { counter, order, length } = readChangeRecord(row, offset);
    stamps.add(`${counter}.${order}`);
    offset += aligned(length);
  }
  return stamps;
}
