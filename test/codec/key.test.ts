import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  appendVersionstampPart,
  borrowKey,
  checkReadKey,
  checkWriteKey,
  compareBytes,
  countParts,
  decodeKey,
  encodeKey,
  hashBytes,
  hashPrefixes,
  type KvKeyPart,
  partitionOf,
} from "../../src/codec/key.js";
import { KvCorruptError } from "../../src/errors.js";
import { PREFIX_DEPTH_MAX } from "../../src/limits.js";
import { bytesOf, hexOf, isPlainBytes } from "./bytes.js";

const u8 = (...bytes: number[]): Uint8Array => new Uint8Array(bytes);

const bigintPart = fc.oneof(
  fc.bigInt({ min: -70000n, max: 70000n }),
  fc.bigInt({ min: -(2n ** 72n), max: 2n ** 72n }),
  fc.bigInt({ min: -(2n ** 2040n) + 1n, max: 2n ** 2040n - 1n }),
  fc.constantFrom(255n, 256n, -255n, -256n, 2n ** 64n, 2n ** 64n - 1n, -(2n ** 64n), -(2n ** 64n) + 1n),
);
const bytesPart = fc.oneof(
  fc.uint8Array({ maxLength: 8 }),
  fc.array(fc.constantFrom(0, 1, 0xfe, 0xff), { maxLength: 6 }).map((bytes) => u8(...bytes)),
);
const stringPart = fc.oneof(
  fc.string({ maxLength: 100 }),
  fc.string({ unit: fc.constantFrom("\0", "a", "é", "€", "𝕏", "\uffff", "\ufeff"), maxLength: 80 }),
);
const part = fc.oneof(bytesPart, stringPart, bigintPart, fc.double(), fc.boolean());
const key = fc.array(part, { maxLength: 5 });

/** The naive model of key order: part by part, types in their order. */
function compareKeys(a: readonly KvKeyPart[], b: readonly KvKeyPart[]): number {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const order = compareParts(a[index]!, b[index]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function rank(value: KvKeyPart): number {
  if (typeof value === "boolean") return value ? 5 : 4;
  return value instanceof Uint8Array ? 0 : { string: 1, bigint: 2, number: 3 }[typeof value as "string"];
}

function compareParts(a: KvKeyPart, b: KvKeyPart): number {
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array);
  if (typeof a === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b as string));
  if (typeof a === "number") return compareNumbers(a, b as number);
  return a === b ? 0 : a < b ? -1 : 1;
}

function compareNumbers(a: number, b: number): number {
  if (Object.is(a, b)) return 0;
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
  if (a === b) return Object.is(a, -0) ? -1 : 1;
  return a < b ? -1 : 1;
}

describe("encodeKey", () => {
  const golden: [KvKeyPart[], string][] = [
    [[], ""],
    [["a"], "02 61 00"],
    [[""], "02 00"],
    [["a\0b"], "02 61 00ff 62 00"],
    [["é€𝕏"], "02 c3a9 e282ac f09d958f 00"],
    [["\ud800"], "02 efbfbd 00"],
    [["a\udc00é"], "02 61 efbfbd c3a9 00"],
    [["\ufeffx"], "02 efbbbf 78 00"],
    [[u8()], "01 00"],
    [[u8(0, 1, 0xff, 0)], "01 00ff 01 ff 00ff 00"],
    [[0n], "14"],
    [[1n], "15 01"],
    [[-1n], "13 fe"],
    [[255n], "15 ff"],
    [[256n], "16 0100"],
    [[-256n], "12 feff"],
    [[2n ** 64n - 1n], "1c ffffffffffffffff"],
    [[-(2n ** 64n) + 1n], "0c 0000000000000000"],
    [[2n ** 64n], "1d 09 010000000000000000"],
    [[-(2n ** 64n)], "0b f6 feffffffffffffffff"],
    [[2n ** 70n], "1d 09 400000000000000000"],
    [[-(2n ** 70n)], "0b f6 bfffffffffffffffff"],
    [[0], "21 8000000000000000"],
    [[-0], "21 7fffffffffffffff"],
    [[1], "21 bff0000000000000"],
    [[-1], "21 400fffffffffffff"],
    [[1.5], "21 bff8000000000000"],
    [[Number.POSITIVE_INFINITY], "21 fff0000000000000"],
    [[Number.NEGATIVE_INFINITY], "21 000fffffffffffff"],
    [[Number.NaN], "21 fff8000000000000"],
    [[false], "26"],
    [[true], "27"],
    [["users", 7, true], "02 7573657273 00 21 c01c000000000000 27"],
  ];
  it.each(golden)("gives Deno KV's bytes: %s is %s", (parts, hex) => {
    expect(hexOf(encodeKey(parts))).toBe(hexOf(bytesOf(hex)));
    expect(decodeKey(bytesOf(hex))).toStrictEqual(parts.map((item) => wellFormed(item)));
  });

  it("gives one NaN for every bit pattern", () => {
    const odd = new Float64Array(new Uint8Array([1, 0, 0, 0, 0, 0, 0xf8, 0xff]).buffer)[0]!;
    expect(hexOf(encodeKey([odd]))).toBe("21fff8000000000000");
  });

  it("takes any view as bytes", () => {
    const memory = u8(9, 1, 0, 2, 9).buffer;
    const expected = hexOf(encodeKey([u8(1, 0, 2)]));
    const views: ArrayBufferView[] = [
      Buffer.from([1, 0, 2]),
      new DataView(memory, 1, 3),
      new Int8Array(memory, 1, 3),
    ];
    const shared = new Uint8Array(new SharedArrayBuffer(3));
    shared.set([1, 0, 2]);
    for (const view of [...views, shared]) {
      expect(hexOf(encodeKey([view as Uint8Array]))).toBe(expected);
    }
  });

  it("gives private plain bytes, from large keys too", () => {
    const first = encodeKey(["first"]);
    const large = encodeKey(["x".repeat(100_000), u8(...new Array<number>(5000).fill(0))]);
    const second = encodeKey(["second"]);
    expect(hexOf(first)).toBe(hexOf(bytesOf("02 6669727374 00")));
    expect(decodeKey(large)).toStrictEqual(["x".repeat(100_000), new Uint8Array(5000)]);
    expect([first, large, second].every(isPlainBytes)).toBe(true);
    expect(first.byteLength).toBe(first.buffer.byteLength);
  });

  it("takes bigints of up to 255 bytes", () => {
    const largest = 2n ** 2040n - 1n;
    expect(decodeKey(encodeKey([largest, -largest]))).toStrictEqual([largest, -largest]);
    for (const tooLarge of [largest + 1n, -largest - 1n]) {
      expect(() => encodeKey([tooLarge])).toThrow(
        expect.objectContaining({
          message: "BigUint requires more than 255 bytes to be represented",
          code: "KV_INVALID_KEY",
        }),
      );
    }
  });

  it.each([undefined, null, {}, [], Symbol("s"), () => 1, new ArrayBuffer(2)])(
    "refuses the part %s",
    (bad) => {
      expect(() => encodeKey(["a", bad as string])).toThrow(
        expect.objectContaining({
          name: "TypeError",
          message: "expected string, number, bigint, ArrayBufferView, boolean",
          code: "KV_INVALID_KEY",
        }),
      );
    },
  );

  it.each([undefined, null, "a", 1, {}, u8(1)])("refuses the key %s", (bad) => {
    expect(() => encodeKey(bad as unknown as KvKeyPart[])).toThrow(
      expect.objectContaining({ name: "TypeError", code: "KV_INVALID_KEY" }),
    );
  });

  it("comes back as the same key", () => {
    fc.assert(
      fc.property(key, (parts) => {
        expect(decodeKey(encodeKey(parts))).toStrictEqual(parts.map((item) => wellFormed(item)));
      }),
    );
  });

  it("sorts bytes as keys", () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        const order = compareBytes(encodeKey(a), encodeKey(b));
        expect(Math.sign(order)).toBe(Math.sign(compareKeys(a.map(wellFormed), b.map(wellFormed))));
      }),
      { numRuns: 2000 },
    );
  });

  it("sorts as Deno KV was seen to", () => {
    const seen: KvKeyPart[] = [
      ...[u8(), u8(0), "", "a", "a\0b", "z", "é", -(2n ** 70n), -1n, 0n, 1n, 2n ** 70n],
      ...[Number.NEGATIVE_INFINITY, -1, -0, 0, 1.5, Number.POSITIVE_INFINITY, Number.NaN, false, true],
    ];
    const encoded = seen.map((item) => encodeKey([item]));
    expect(encoded.toSorted(compareBytes)).toStrictEqual(encoded);
  });

  it("makes a key's bytes begin with its parent's", () => {
    fc.assert(
      fc.property(key, part, (parent, last) => {
        const parentBytes = encodeKey(parent);
        expect(hexOf(encodeKey([...parent, last])).startsWith(hexOf(parentBytes))).toBe(true);
      }),
    );
  });
});

describe("decodeKey", () => {
  it.each([
    ["an unknown code", "05"],
    ["a string without an end", "02 61"],
    ["a string that ends in an escape", "02 61 00ff"],
    ["bytes without an end", "01 01"],
    ["a number cut short", "21 80000000"],
    ["a bigint cut short", "16 01"],
    ["a bigint with a leading zero", "16 0001"],
    ["a negative bigint with a leading zero", "12 fffe"],
    ["a large bigint without a length", "1d"],
    ["a large bigint that is small", "1d 08 0100000000000000"],
    ["a large bigint cut short", "0b f6 fe"],
    ["a string that is not UTF-8", "02 c3 00"],
    ["an encoded surrogate", "02 eda080 00"],
  ])("refuses %s", (_, hex) => {
    expect(() => decodeKey(bytesOf(hex))).toThrow(KvCorruptError);
  });

  it("gives a key or a KvCorruptError for any bytes", () => {
    const code = fc.constantFrom(0, 1, 2, 0x0b, 0x0c, 0x13, 0x14, 0x15, 0x1c, 0x1d, 0x21, 0x26, 0x27, 0xff);
    const hostile = fc.array(fc.oneof(code, fc.nat(255)), { maxLength: 40 }).map((bytes) => u8(...bytes));
    fc.assert(
      fc.property(hostile, (bytes) => {
        expect(countParts(bytes)).toBeLessThanOrEqual(bytes.length);
        try {
          const parts = decodeKey(bytes);
          expect(parts.length).toBe(countParts(bytes));
          if (!parts.some(Number.isNaN)) expect(hexOf(encodeKey(parts))).toBe(hexOf(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(KvCorruptError);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it("copies byte parts into plain arrays", () => {
    const encoded = Buffer.from(encodeKey([u8(1, 2, 3)]));
    const [decoded] = decodeKey(encoded);
    encoded.fill(0);
    expect(decoded).toStrictEqual(u8(1, 2, 3));
    expect(isPlainBytes(decoded)).toBe(true);
  });
});

describe("size checks", () => {
  const long = (bytes: number): Uint8Array => encodeKey(["x".repeat(bytes - 2)]);
  it("let a write have 1 to 2048 bytes", () => {
    expect(() => checkWriteKey(long(2048))).not.toThrow();
    expect(() => checkWriteKey(long(2049))).toThrow(
      expect.objectContaining({
        message: "Key too large for write (max 2048 bytes)",
        code: "KV_LIMIT_EXCEEDED",
      }),
    );
    expect(() => checkWriteKey(encodeKey([]))).toThrow(
      expect.objectContaining({ message: "key cannot be empty", code: "KV_INVALID_KEY" }),
    );
  });
  it("let a read have 0 to 2049 bytes", () => {
    expect(() => checkReadKey(encodeKey([]))).not.toThrow();
    expect(() => checkReadKey(long(2049))).not.toThrow();
    expect(() => checkReadKey(long(2050))).toThrow(
      expect.objectContaining({
        message: "Key too large for read (max 2049 bytes)",
        code: "KV_LIMIT_EXCEEDED",
      }),
    );
  });
});

describe("hashes", () => {
  const out = new Uint32Array(PREFIX_DEPTH_MAX);
  it("never change", () => {
    expect(hashBytes(u8())).toBe(0xab3e7c0b);
    expect(hashBytes(encodeKey(["a"]))).toBe(0x65e12b72);
    expect(hashBytes(encodeKey(["users", 7]))).toBe(0x0691c874);
    const shards = ["a", "b", "c", "d", "e", "f"].map((name) => partitionOf(encodeKey([name, 1n]), 2, 4));
    expect(shards).toStrictEqual([1, 3, 0, 1, 0, 2]);
  });

  it("of prefixes are the hashes of their bytes", () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
        const encoded = encodeKey(parts);
        const count = hashPrefixes(encoded, out);
        expect(count).toBe(Math.min(parts.length, PREFIX_DEPTH_MAX));
        expect(countParts(encoded)).toBe(parts.length);
        for (let index = 0; index < count; index++) {
          expect(out[index]).toBe(hashBytes(encodeKey(parts.slice(0, index + 1))));
        }
      }),
    );
  });

  it("fill no more than they are given", () => {
    const two = new Uint32Array(2);
    expect(hashPrefixes(encodeKey(["a", "b", "c"]), two)).toBe(2);
  });

  it("choose a shard by the leading parts alone", () => {
    fc.assert(
      fc.property(
        key,
        key,
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 31 }),
        (a, b, depth, shards) => {
          const head = a.slice(0, depth);
          const shard = partitionOf(encodeKey(a), depth, shards);
          expect(shard).toBe(head.length === 0 ? 0 : hashBytes(encodeKey(head)) % shards);
          if (a.length >= depth) expect(partitionOf(encodeKey([...a, ...b]), depth, shards)).toBe(shard);
        },
      ),
    );
    expect(partitionOf(encodeKey([]), 2, 31)).toBe(0);
  });

  it("spread keys evenly", () => {
    const counts = [0, 0, 0, 0, 0];
    for (let id = 0; id < 10_000; id++) counts[partitionOf(encodeKey(["users", id]), 2, 5)]!++;
    expect(Math.min(...counts)).toBeGreaterThan(1800);
    expect(Math.max(...counts)).toBeLessThan(2200);
  });
});

describe("appendVersionstampPart", () => {
  it("is the key with the stamp as its last part", () => {
    const stamped = appendVersionstampPart(encodeKey(["log"]), "0000000000000a0b0002");
    expect(decodeKey(stamped)).toStrictEqual(["log", "0000000000000a0b0002"]);
  });
});

function wellFormed(item: KvKeyPart): KvKeyPart {
  return typeof item === "string" ? Buffer.from(item).toString() : item;
}

describe("a borrowed key", () => {
  it("has the bytes of an encoded one, until the next key is encoded", () => {
    fc.assert(
      fc.property(key, (parts) => {
        const borrowed = hexOf(borrowKey(parts));
        expect(borrowed).toBe(hexOf(encodeKey(parts)));
      }),
    );
  });

  it("is a plain array of its length, the same one for the next of that length", () => {
    const first = borrowKey(["a", 1]);
    expect([isPlainBytes(first), first.length]).toStrictEqual([true, 12]);
    expect(borrowKey(["b", 2])).toBe(first);
    expect(hexOf(first)).toBe(hexOf(encodeKey(["b", 2])));
  });

  it("is good after a key that took more room than is kept", () => {
    const before = borrowKey(["a"]);
    expect(hexOf(borrowKey(["x".repeat(30_000)]))).toBe(hexOf(encodeKey(["x".repeat(30_000)])));
    const after = borrowKey(["b"]);
    expect(after).not.toBe(before);
    expect(hexOf(after)).toBe("026200");
  });
});
