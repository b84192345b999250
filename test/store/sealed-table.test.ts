import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checksum32, rowChecksum } from "../../src/store/checksum.js";
import { ShardStore } from "../../src/store/shard-store.js";

const KEY = Buffer.from("the key of the row");
const VALUE = Buffer.from("the value of the row, long enough to be found in the file");

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "belfry-sealed-"));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

/** Changes the stored bytes where `text` stands in the file. */
function damage(text: Buffer, at: number): void {
  const file = join(path, "data.mdb");
  const bytes = readFileSync(file);
  for (let index = bytes.indexOf(text); index >= 0; index = bytes.indexOf(text, index + 1))
    bytes[index + at]! ^= 0x10;
  writeFileSync(file, bytes);
}

async function writeOne(): Promise<void> {
  const store = ShardStore.open(path, "sync");
  store.transaction(() => store.putEntry(KEY, VALUE));
  await store.close();
}

test("the checksum is MurmurHash3: its published vectors", () => {
  const hash = (text: string, seed: number) => checksum32(Buffer.from(text), text.length, seed);
  expect(hash("", 0)).toBe(0);
  expect(hash("", 1)).toBe(0x514e28b7);
  expect(hash("test", 0)).toBe(0xba6bd213);
  expect(hash("Hello, world!", 0x9747b28c)).toBe(0x24884cba);
  expect(hash("The quick brown fox jumps over the lazy dog", 0x9747b28c)).toBe(0x2fa826cd);
});

test.each([61, 555])(
  "every flipped bit of a row of %i bytes changes its checksum, in the key as in the payload",
  (length) => {
    const row = Uint8Array.from({ length }, (_, index) => index * 37);
    const sumOf = () => rowChecksum(row.subarray(0, 20), row.subarray(20));
    const whole = sumOf();
    for (let bit = 0; bit < row.length * 8; bit++) {
      row[bit >> 3]! ^= 1 << (bit & 7);
      expect(sumOf(), `bit ${bit}`).not.toBe(whole);
      row[bit >> 3]! ^= 1 << (bit & 7);
    }
  },
);

test("the checksum is of the bytes, wherever they are, and of their order", () => {
  const bytes = Uint8Array.from({ length: 1024 }, (_, index) => index * 37 + (index >> 8));
  const whole = checksum32(bytes, bytes.length, 7);
  const elsewhere = new Uint8Array(bytes.length + 3);
  elsewhere.set(bytes, 3);
  expect(checksum32(elsewhere.subarray(3), bytes.length, 7)).toBe(whole);
  for (const [one, other] of [
    [0, 4],
    [0, 12],
    [16, 32],
    [4, 1000],
  ] as const) {
    const swapped = bytes.slice();
    swapped.set(bytes.subarray(one, one + 4), other);
    swapped.set(bytes.subarray(other, other + 4), one);
    expect(checksum32(swapped, swapped.length, 7), `words at ${one} and ${other}`).not.toBe(whole);
  }
});

test("a damaged payload is named when it is read, alone and in a range", async () => {
  await writeOne();
  damage(VALUE, 3);
  const store = ShardStore.open(path, "sync");
  expect(() => store.readEntry(KEY)).toThrow(
    expect.objectContaining({ code: "KV_CORRUPT", message: expect.stringContaining(KEY.toString("hex")) }),
  );
  const held = store.hold();
  expect(() => [...store.rangeEntries(Buffer.from([0]), Buffer.from([255]), false, held)]).toThrow(
    expect.objectContaining({ code: "KV_CORRUPT" }),
  );
  held.done();
  await store.close();
});

test("a row under another key than its own is damaged", async () => {
  await writeOne();
  damage(KEY, KEY.length - 1);
  const store = ShardStore.open(path, "sync");
  const other = Buffer.from(KEY);
  other[KEY.length - 1]! ^= 0x10;
  expect(() => store.readEntry(other)).toThrow(expect.objectContaining({ code: "KV_CORRUPT" }));
  expect(store.readEntry(KEY)).toBeUndefined();
  await store.close();
});
