/** The quick look at a data file before LMDB maps it: what its end may look like. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { openKv, verifyStore } from "../../src/index.js";
import { PAGE_SIZE_BYTES } from "../../src/limits.js";
import { PAGE_HEADER_BYTES } from "../../src/store/data-file.js";
import { shardDirectory } from "../../src/store/manifest.js";
import { tempPath } from "../kv/temp-store.js";

const LAST_PAGE_OFFSET = PAGE_HEADER_BYTES + 120;
const ENTRIES = 500;

let path: string;
let file: string;
beforeEach(async () => {
  path = tempPath();
  file = join(shardDirectory(path, 0), "data.mdb");
  const kv = await openKv(path, { shards: 1 });
  for (let n = 0; n < ENTRIES; n += 50)
    await Promise.all(Array.from({ length: 50 }, (_, index) => kv.set(["n", n + index], "x".repeat(100))));
  await kv.close();
});

test("a file whose last pages nobody uses is opened, whether they are known to be free or not", async () => {
  const bytes = readFileSync(file);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // As LMDB leaves it when it forgets to write down that a large value's pages are free, and the process ends.
  for (const page of [0, 1]) {
    const at = page * PAGE_SIZE_BYTES + LAST_PAGE_OFFSET;
    view.setBigUint64(at, view.getBigUint64(at, true) + 10n, true);
  }
  writeFileSync(file, bytes);
  expect((await verifyStore(path)).problems).toEqual([]);
  await using kv = await openKv(path);
  expect((await kv.get(["n", ENTRIES - 1])).value).toBe("x".repeat(100));
  await kv.set(["large"], "y".repeat(100_000));
  expect((await kv.get(["large"])).value).toBe("y".repeat(100_000));
});

test("a file that lacks a page in use is refused, and left as it is", async () => {
  truncateSync(file, readFileSync(file).length - 3 * PAGE_SIZE_BYTES);
  const before = readFileSync(file);
  await expect(openKv(path)).rejects.toMatchObject({
    code: "KV_CORRUPT",
    message: expect.stringMatching(/is cut off: page|is beyond the end of the file/),
  });
  expect(readFileSync(file).equals(before)).toBe(true);
});
