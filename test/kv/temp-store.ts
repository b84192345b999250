/** Owns the stores and directories that one test opens: they are closed and removed when the test ends, however it ends. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { encodeKey, type KvKey, partitionOf } from "../../src/codec/key.js";
import { type Kv, type KvOpenOptions, openKv } from "../../src/index.js";

/** A path in which no store is yet. */
export function tempPath(): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "belfry-test-")));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "store");
}

/** An open store; without a path a private one. */
export async function tempKv(path?: string, options: KvOpenOptions = {}): Promise<Kv> {
  const kv = await openKv(path, options);
  onTestFinished(() => kv[Symbol.asyncDispose]());
  return kv;
}

/** One key `[name, n]` on each of the shards, with the default partition depth. */
export function keyOnEachShard(name: string, shards: number): KvKey[] {
  const keys: KvKey[] = [];
  for (let number = 0; keys.filter(Boolean).length < shards; number++) {
    const key = [name, number];
    keys[partitionOf(encodeKey(key), 2, shards)] ??= key;
  }
  return keys;
}

/** Everything in the store, in order. */
export async function everything(kv: Kv): Promise<{ key: KvKey; value: unknown }[]> {
  const found: { key: KvKey; value: unknown }[] = [];
  for await (const { key, value } of kv.list({ prefix: [] })) found.push({ key, value });
  return found;
}
