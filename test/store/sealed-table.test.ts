import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PAGE_SIZE_BYTES } from "../../src/limits.js";
import { checksum32, checksum32OfView, rowChecksum } from "../../src/store/checksum.js";
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

test("it is the same of a view of numbers, for any length and seed", () => {
  const bytes = Uint8Array.from({ length: 600 }, (_, index) => index * 151);
  const view = new DataView(bytes.buffer);
  for (let length = 0; length <= bytes.length; length++)
    for (const seed of [0, 0x9747b28c])
      expect(checksum32OfView(view, length, seed), `${length}`).toBe(checksum32(bytes, length, seed));
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

test("rows of any length are lent whole, whichever was read before", async () => {
  const store = ShardStore.open(path, "sync");
  const lengths = [0, 1, 1023, 1024, 1025, 4095, 32_000, 33_000, 70_000, 300_000, 5, 120];
  const valueOfLength = (length: number) => new Uint8Array(length).fill(length);
  store.transaction(() => {
    for (const length of lengths) store.putEntry(Buffer.from(`${length}`), valueOfLength(length));
  });
  store.renew();
  for (const length of [...lengths, ...lengths.toReversed()]) {
    const row = store.readEntry(Buffer.from(`${length}`))!;
    expect(Buffer.compare(row, valueOfLength(length)), `${length}`).toBe(0);
  }
  await store.close();
});

test("a page that is no page any more is named when it is read, in every way", async () => {
  const store = ShardStore.open(path, "sync");
  store.transaction(() => {
    for (let n = 0; n < 300; n++) store.putEntry(Buffer.from(`key ${1000 + n}`), VALUE);
  });
  await store.close();
  const file = join(path, "data.mdb");
  const bytes = readFileSync(file);
  // Pages with entries say that they are of another kind.
  for (let page = 2 * PAGE_SIZE_BYTES; page < bytes.length; page += PAGE_SIZE_BYTES)
    if (bytes.subarray(page, page + PAGE_SIZE_BYTES).includes("key 1")) bytes.writeUInt16LE(0x04, page + 18);
  writeFileSync(file, bytes);
  const damaged = ShardStore.open(path, "sync");
  const named = expect.objectContaining({ code: "KV_CORRUPT", message: expect.stringContaining("MDB_") });
  const key = Buffer.from("key 1100");
  expect(() => damaged.readEntry(key)).toThrow(named);
  const held = damaged.hold();
  const [start, end] = [Buffer.from([0]), Buffer.from([255])];
  expect(() => [...damaged.rangeEntries(start, end, false, held)]).toThrow(named);
  expect(() => damaged.visitEntries(start, end, true, held, () => true)).toThrow(named);
  held.done();
  await damaged.close();
});
