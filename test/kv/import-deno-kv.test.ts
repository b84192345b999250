/** Reading a store that the real Deno 2.9.6 wrote (write-deno-store.js). */
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { importDenoKv, type KvKey, KvU64 } from "../../src/index.js";
import { PACKAGE_ROOT } from "../docs/source-root.js";
import { everything, tempKv, tempPath } from "./temp-store.js";

/** A copy of the fixture: reading SQLite may leave files beside it. */
function denoStore(): string {
  const path = tempPath();
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(join(PACKAGE_ROOT, "test/kv/deno-2.9.6.sqlite"), path);
  return path;
}

/** In the order in which Deno committed them. */
const COMMITS: KvKey[][] = [
  [["z", "first"]],
  [
    ["one", 1],
    ["another", 2],
  ],
  [["a", "later"]],
  [["bytes"]],
  [["count"]],
  [["undefined"]],
  [["error"]],
  [["expires"]],
  [[Uint8Array.of(0, 255), -1n, Number.NaN, false, "\0é"]],
];

describe.each([1, 3])("into a store of %i shards", (shards) => {
  test("entries come with their values, and in the order of their versionstamps", async () => {
    const kv = await tempKv(":memory:", { shards });
    expect(await importDenoKv(denoStore(), kv)).toEqual({ entries: 11, expired: 1, messagesLeft: 1 });
    const value = async (key: KvKey) => (await kv.get(key)).value;
    expect(await value(["z", "first"])).toEqual({
      a: [1, "two", 3n],
      when: new Date(7),
      view: new Float64Array([1.5]),
    });
    expect(await value(["a", "later"])).toEqual(new Map([[Uint8Array.of(1, 2), new Set(["x"])]]));
    expect(await value(["bytes"])).toStrictEqual(Uint8Array.of(1, 2, 3));
    expect(await value(["count"])).toStrictEqual(new KvU64(2n ** 64n - 1n));
    expect(await value(["error"])).toMatchObject({ name: "AbortError", message: "m" });
    expect(await value(COMMITS.at(-1)![0]!)).toBe("key of all types");
    let last = "";
    for (const keys of COMMITS) {
      const stamps = new Set((await kv.getMany(keys)).map(({ versionstamp }) => versionstamp));
      const [stamp] = stamps;
      expect(stamps.size).toBe(1);
      expect(stamp! > last).toBe(true);
      last = stamp!;
    }
  });
});

test("what is left of a time to live goes on, and what is over is left out", async () => {
  const kv = await tempKv(":memory:", { shards: 2 });
  await importDenoKv(denoStore(), kv);
  expect((await kv.get(["expires"])).value).toBe("in 2046");
  expect((await kv.get(["expired"])).versionstamp).toBeNull();
  const reimport = await tempKv(":memory:", { shards: 1 });
  await reimport.set(["expires"], "what was there");
  await importDenoKv(denoStore(), reimport);
  expect((await reimport.get(["expires"])).value).toBe("in 2046");
});

test("a Blob, whose bytes Deno did not store, says so when it is read, and harms nothing else", async () => {
  const kv = await tempKv(":memory:", { shards: 1 });
  await importDenoKv(denoStore(), kv);
  await expect(kv.get(["blob"])).rejects.toMatchObject({
    code: "KV_CORRUPT",
    message: expect.stringContaining("never stored"),
  });
  await kv.delete(["blob"]);
  expect(await everything(kv)).toHaveLength(10);
});

test.each<[string, (path: string) => void]>([
  ["no file", () => {}],
  ["another file", (path) => writeFileSync(path, "this is no database, though it is long enough".repeat(99))],
])("%s is refused with a code, and nothing is written", async (_name, prepare) => {
  const kv = await tempKv(":memory:", { shards: 1 });
  const path = tempPath();
  prepare(path);
  await expect(importDenoKv(path, kv)).rejects.toMatchObject({ code: "KV_NOT_A_DENO_STORE" });
  expect(await everything(kv)).toEqual([]);
});

test("without anything that reads SQLite, the error says what to install", async () => {
  const path = denoStore();
  const hide = `export async function resolve(name, context, next) {
    if (name !== "libsql" && name !== "node:sqlite") return next(name, context);
    throw Object.assign(new Error("hidden"), { code: "ERR_MODULE_NOT_FOUND" });
  }`;
  const program = `
    import { register } from "node:module";
    register("data:text/javascript," + encodeURIComponent(${JSON.stringify(hide)}));
    const { openSqlite } = await import(${JSON.stringify(new URL("../../src/kv/sqlite-file.js", import.meta.url).href)});
    await openSqlite(${JSON.stringify(path)}).catch(({ code, message }) => console.log(code, message));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  expect(stdout).toMatch(/^KV_SQLITE_MISSING .*npm install libsql/);
});
