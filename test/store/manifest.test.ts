/** The manifest: what it fixes, and that a store which can't be opened is told from others and left as it is. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  KvFormatError,
  KvManifestError,
  KvNotAStoreError,
  type KvOpenOptions,
  KvShardCountError,
  openKv,
} from "../../src/index.js";
import { createManifest, finishCreation, readManifest, shardDirectory } from "../../src/store/manifest.js";
import { tempPath } from "../kv/temp-store.js";
import { directoryState } from "./directory-state.js";

function emptyDirectory(): string {
  const path = tempPath();
  mkdirSync(path);
  return path;
}

/** A store with something in it, closed. */
async function madeStore(): Promise<string> {
  const path = tempPath();
  const kv = await openKv(path, { shards: 2, partitionDepth: 3 });
  await kv.set(["a"], 1);
  await kv.close();
  return path;
}

async function expectUntouched(path: string, error: object, options: KvOpenOptions = {}): Promise<void> {
  const before = directoryState(path);
  await expect(openKv(path, options)).rejects.toMatchObject(error);
  await expect(openKv(path, options)).rejects.toBeInstanceOf(Error);
  expect(directoryState(path)).toEqual(before);
}

/** As a program with format 1 wrote it. */
const OLDER_MANIFEST = `{
  "format": 1,
  "id": "0ef8e391-6116-4497-902b-c6b1614e7df7",
  "shards": 1,
  "partitionDepth": 2,
  "partitionHash": "fnv1a32-fmix32",
  "pageSizeBytes": 8192,
  "createdAt": "2026-11-22T01:35:24.525Z",
  "checksum": "aa24ed1a067cf8e2"
}
`;

const manifestOf = (path: string) => join(path, "manifest.json");
const fieldsOf = (path: string) => JSON.parse(readFileSync(manifestOf(path), "utf8"));

describe("reading", () => {
  test("what was fixed at creation is read back, and accepted when it is asked for", () => {
    const path = emptyDirectory();
    const made = createManifest(path, 5, 3);
    expect(made).toMatchObject({ shards: 5, partitionDepth: 3, format: 2 });
    // A crash here leaves shards that have never been open: they are made anew.
    expect(readManifest(path, {})).toBeNull();
    finishCreation(path);
    expect(readManifest(path, {})).toEqual(made);
    expect(readManifest(path, { shards: 5, partitionDepth: 3 })).toEqual(made);
    expect(existsSync(join(path, "manifest.json.new"))).toBe(false);
  });

  test("an empty directory has no manifest, and one with only a lock or an unfinished manifest neither", () => {
    const path = emptyDirectory();
    expect(readManifest(path, {})).toBeNull();
    writeFileSync(join(path, "lock-1-1"), "");
    writeFileSync(join(path, "manifest.json.new"), '{"form');
    expect(readManifest(path, {})).toBeNull();
  });

  test("two stores have different identities", () => {
    expect(createManifest(emptyDirectory(), 1, 1).id).not.toBe(createManifest(emptyDirectory(), 1, 1).id);
  });

  test("shards have directories whose names sort in their order", () => {
    const names = Array.from({ length: 31 }, (_, shard) => shardDirectory("p", shard));
    expect([...names].sort()).toEqual(names);
    expect(names[7]).toBe(join("p", "shard-007"));
  });
});

describe("a damaged manifest is told as such, and nothing is touched", () => {
  const damage: [string, (text: string) => string][] = [
    ["empty", () => ""],
    ["cut off", (text) => text.slice(0, text.length / 2)],
    ["without its last byte but one", (text) => text.slice(0, -2)],
    ["with a flipped digit in the shards", (text) => text.replace('"shards": 2', '"shards": 3')],
    ["with another partition depth", (text) => text.replace('"partitionDepth": 3', '"partitionDepth": 2')],
    ["with another identity", (text) => text.replace(/"id": "./, '"id": "x')],
    ["without its checksum", (text) => text.replace(/,\s*"checksum": "[^"]*"/, "")],
    ["with another checksum", (text) => text.replace(/"checksum": ".{4}/, '"checksum": "0000')],
    ["with one field more", (text) => text.replace("{", '{ "extra": 1,')],
    ["of foreign JSON", () => '{"name":"some-app","version":"1.0.0"}'],
    ["that is an array", () => "[]"],
    ["that is null", () => "null"],
    ["that is a number", () => "5"],
    ["of noise", () => "\0\u0001\u0002\uffff"],
  ];
  test.each(damage)("%s", async (_name, damaged) => {
    const path = await madeStore();
    const text = readFileSync(manifestOf(path), "utf8");
    expect(damaged(text)).not.toBe(text);
    writeFileSync(manifestOf(path), damaged(text));
    await expectUntouched(path, { name: "KvManifestError", code: "KV_MANIFEST_DAMAGED" });
    await expect(openKv(path)).rejects.toBeInstanceOf(KvManifestError);
    // The data beside it is whole: with the manifest from a backup everything is there.
    writeFileSync(manifestOf(path), text);
    await using kv = await openKv(path);
    expect((await kv.get(["a"])).value).toBe(1);
  });

  test("every single flipped bit of it is found", async () => {
    const path = emptyDirectory();
    createManifest(path, 2, 2);
    const bytes = readFileSync(manifestOf(path));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(manifestOf(path), damaged);
      let found: unknown;
      try {
        found = readManifest(path, {});
      } catch {
        continue;
      }
      // White space may change its kind; the meaning may not.
      writeFileSync(manifestOf(path), bytes);
      expect(found).toEqual(readManifest(path, {}));
    }
  });
});

describe("a store that can't be opened as asked", () => {
  test("a newer format: an error with both formats, and nothing is touched", async () => {
    const path = await madeStore();
    writeFileSync(manifestOf(path), JSON.stringify({ ...fieldsOf(path), format: 3, whatever: "comes" }));
    await expectUntouched(path, { code: "KV_FORMAT_NEWER", format: 3, formatRead: 2 });
    await expect(openKv(path)).rejects.toBeInstanceOf(KvFormatError);
  });

  test("an older format that is not read: the same, with what to do", async () => {
    const path = await madeStore();
    writeFileSync(manifestOf(path), OLDER_MANIFEST);
    await expectUntouched(path, { code: "KV_FORMAT_OLDER", format: 1, formatRead: 2 });
    await expect(openKv(path)).rejects.toThrow(/export it with the belfry that wrote it/);
  });

  test("another number of shards: an error that names belfry reshard, and nothing is touched", async () => {
    const path = await madeStore();
    await expectUntouched(path, { code: "KV_SHARD_COUNT" }, { shards: 3 });
    await expect(openKv(path, { shards: 3 })).rejects.toBeInstanceOf(KvShardCountError);
    await expect(openKv(path, { shards: 3 })).rejects.toThrow(/shards 2, asked 3.*belfry reshard/);
  });

  test("another partition depth: the same", async () => {
    const path = await madeStore();
    await expectUntouched(path, { code: "KV_SHARD_COUNT" }, { partitionDepth: 2 });
    await expect(openKv(path, { partitionDepth: 2 })).rejects.toThrow("partitionDepth 3, asked 2");
  });

  test("a directory with foreign files: an error that names one, and nothing is touched", async () => {
    const path = emptyDirectory();
    writeFileSync(join(path, "thesis.txt"), "irreplaceable");
    mkdirSync(join(path, "photos"));
    await expectUntouched(path, { name: "KvNotAStoreError", code: "KV_NOT_A_STORE" });
    await expect(openKv(path)).rejects.toBeInstanceOf(KvNotAStoreError);
    await expect(openKv(path)).rejects.toThrow(/it holds (thesis.txt|photos) but no manifest.json/);
  });

  test("shards whose manifest is gone are not overwritten by a new store", async () => {
    const path = await madeStore();
    const { renameSync } = await import("node:fs");
    renameSync(manifestOf(path), `${path}.manifest`);
    await expectUntouched(path, { code: "KV_NOT_A_STORE" });
    renameSync(`${path}.manifest`, manifestOf(path));
    await using kv = await openKv(path);
    expect((await kv.get(["a"])).value).toBe(1);
  });

  test("a path that is a file: an error, and the file is untouched", async () => {
    const path = tempPath();
    writeFileSync(path, "text");
    await expect(openKv(path)).rejects.toBeInstanceOf(Error);
    expect(readFileSync(path, "utf8")).toBe("text");
  });
});
