import { isDeepStrictEqual } from "node:util";
import * as v8 from "node:v8";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KvU64 } from "../../src/codec/kv-u64.js";
import { decodeValue, Encoding, encodeValue } from "../../src/codec/value.js";
import { KvCorruptError } from "../../src/errors.js";
import { bytesOf, hexOf, isPlainBytes, sparseArray } from "./bytes.js";

class Point {
  x = 1;
  y = [2];
}

function roundTrip(value: unknown): unknown {
  const { encoding, bytes } = encodeValue(value);
  return decodeValue(encoding, bytes);
}

function cyclic(): Record<string, unknown> {
  const a: Record<string, unknown> = { name: "a", list: [1, "two"] };
  a["self"] = a;
  (a["list"] as unknown[]).push(a, a["list"]);
  return a;
}

const same = { shared: true };
const cases: [string, unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["true", true],
  ["false", false],
  ["zero", 0],
  ["minus zero", -0],
  ["NaN", Number.NaN],
  ["infinities", [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
  [
    "numbers at the edges of int32",
    [2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 30, -(2 ** 30) - 1],
  ],
  ["doubles", [0.1, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER]],
  ["bigints", [0n, 1n, -1n, 2n ** 64n, -(2n ** 64n), 2n ** 512n, -(2n ** 511n), 2n ** 2000n]],
  ["the empty string", ""],
  ["a one-byte string", "naïve"],
  ["a two-byte string", "a€𝕏"],
  ["lone surrogates", ["\ud800", "a\udc00b"]],
  ["long strings", ["x".repeat(5000), "é".repeat(500), "€".repeat(5000), "x".repeat(100_000)]],
  ["a plain object", { a: 1, b: "two", c: null, d: undefined, e: [true] }],
  ["nested objects", { a: { b: { c: { d: [[[{}]]] } } } }],
  ["index keys", { b: 1, 7: 2, a: 3, 4294967294: 4, 4294967295: 5, "-1": 6, "01": 7, "1.5": 8 }],
  ["two-byte keys", { "€": 1, é: 2, x: "€" }],
  ["empty things", [{}, [], new Map(), new Set(), "", new Uint8Array(0)]],
  ["one object in two places", [same, same]],
  ["a dense array", [1, "a", null, undefined, 2.5]],
  ["a sparse array", sparseArray(5, { 0: 1, 2: 3 })],
  ["a long sparse array", Object.assign([], { 5000000: 1 })],
  ["a long dense array", Array.from({ length: 5000 }, (_, index) => index)],
  ["an array with a property", Object.assign([1, 2], { extra: "x" })],
  [
    "a Map",
    new Map<unknown, unknown>([
      ["a", 1],
      [{ k: 1 }, new Map([[1, 2]])],
    ]),
  ],
  ["a Set", new Set<unknown>(["a", 1, new Set([2])])],
  ["a Date", new Date(123456789)],
  ["a RegExp", /a+(b)/giu],
  ["boxed primitives", [Object(true), Object("s"), Object(5), Object(6n)]],
  ["an ArrayBuffer", new Uint8Array([1, 2, 3]).buffer],
  [
    "typed arrays",
    [new Float32Array([1.5]), new Int16Array([-1]), new BigUint64Array([1n]), new Uint8Array([9])],
  ],
  ["a DataView", new DataView(new Uint8Array([1, 2]).buffer)],
  ["a null-prototype object's properties", { a: Object.assign(Object.create(null), { b: 1 }) }],
];

describe("values", () => {
  it.each(cases)("come back: %s", (_, value) => {
    // Node's own comparison knows -0, holes and lone surrogates; a clone has the prototypes that a stored value can have.
    expect(isDeepStrictEqual(roundTrip(value), structuredClone(value))).toBe(true);
  });

  it("keep cycles and identity", () => {
    const found = roundTrip(cyclic()) as ReturnType<typeof cyclic>;
    const list = found["list"] as unknown[];
    expect(found["self"]).toBe(found);
    expect(list[2]).toBe(found);
    expect(list[3]).toBe(list);
    const [first, second] = roundTrip([same, same]) as unknown[];
    expect(first).toBe(second);
    const map = new Map<unknown, unknown>();
    map.set("self", map);
    const foundMap = roundTrip({ map }) as { map: Map<unknown, unknown> };
    expect(foundMap.map.get("self")).toBe(foundMap.map);
  });

  it("keep an invalid Date invalid", () => {
    const found = roundTrip(new Date(Number.NaN)) as Date;
    expect([found instanceof Date, found.getTime()]).toStrictEqual([true, Number.NaN]);
  });

  it("keep errors", () => {
    const error = roundTrip(new RangeError("too far")) as Error;
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toBe("too far");
    expect((roundTrip({ error: new Error("in") }) as { error: Error }).error.message).toBe("in");
  });

  it("become plain objects when they are instances", () => {
    const found = roundTrip({ point: new Point() });
    expect(found).toStrictEqual({ point: { x: 1, y: [2] } });
  });

  it("keep -0, holes and undefined apart", () => {
    const found = roundTrip({ zero: -0, sparse: sparseArray(2, { 1: undefined }), missing: undefined }) as {
      zero: number;
      sparse: unknown[];
    };
    expect(Object.is(found.zero, -0)).toBe(true);
    expect([0 in found.sparse, 1 in found.sparse]).toStrictEqual([false, true]);
    expect(Object.keys(found)).toStrictEqual(["zero", "sparse", "missing"]);
  });

  it("read accessors", () => {
    const reading = {
      get now() {
        return 5;
      },
    };
    expect(roundTrip(reading)).toStrictEqual({ now: 5 });
  });

  it("let an accessor encode a value of its own, or throw its own error", () => {
    const reentrant = {
      before: 1,
      get inner() {
        return encodeValue({ other: "x".repeat(50) }).bytes.length;
      },
      after: "abc",
    };
    expect(roundTrip(reentrant)).toStrictEqual({ before: 1, inner: 64, after: "abc" });
    const failing = {
      get a(): never {
        throw new Error("mine");
      },
    };
    expect(() => encodeValue(failing)).toThrow("mine");
    expect(roundTrip({ fine: true })).toStrictEqual({ fine: true });
  });

  it("cannot reach a prototype", () => {
    const hostile = JSON.parse('{"__proto__":{"polluted":1},"constructor":2,"toString":3}') as object;
    for (const found of [roundTrip(hostile), roundTrip([hostile, new Date(0)])]) {
      const object = (Array.isArray(found) ? found[0] : found) as object;
      expect(Object.getPrototypeOf(object)).toBe(Object.prototype);
      expect(Object.keys(object)).toStrictEqual(["__proto__", "constructor", "toString"]);
    }
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("too deep for the stack are refused, not a crash", () => {
    let deep: unknown = [];
    for (let level = 0; level < 100_000; level++) deep = [deep];
    expect(() => encodeValue(deep)).toThrow(
      expect.objectContaining({ code: "KV_INVALID_VALUE", message: expect.stringContaining("too deeply") }),
    );
  });
});

describe("encodings", () => {
  it("have their golden bytes", () => {
    const golden: [unknown, number, string][] = [
      [true, Encoding.V8, "ff0f54"],
      [{ a: 1 }, Encoding.V8, "ff0f 6f 220161 4902 7b01"],
      [{ x: "a€" }, Encoding.V8, "ff0f 6f 220178 630461 00ac20 7b01"],
      [{ xx: "a€" }, Encoding.V8, "ff0f 6f 22027878 00 6304 6100ac20 7b01"],
      [new KvU64(258n), Encoding.LE64, "0201000000000000"],
      [new Uint8Array([1, 0, 2]), Encoding.BYTES, "010002"],
      [Buffer.from("hi"), Encoding.BYTES, "6869"],
    ];
    for (const [value, encoding, hex] of golden) {
      const encoded = encodeValue(value);
      expect([encoded.encoding, hexOf(encoded.bytes)]).toStrictEqual([encoding, hexOf(bytesOf(hex))]);
    }
  });

  it("give private plain bytes", () => {
    const source = new Uint8Array([1, 2, 3]);
    const pooled = Buffer.from("pooled");
    const values = [source, pooled, new KvU64(1n), { a: "x" }, new Date(0), "text"];
    const encoded = values.map((value) => encodeValue(value).bytes);
    const before = encoded.map(hexOf);
    source.fill(9);
    pooled.fill(9);
    encodeValue({ b: "other", c: [1, 2, 3] });
    encodeValue(new Date(1));
    expect(encoded.map(hexOf)).toStrictEqual(before);
    expect(encoded.every(isPlainBytes)).toBe(true);
    expect(encoded.map((bytes) => bytes.buffer.byteLength)).toStrictEqual(
      encoded.map((bytes) => bytes.length),
    );
  });

  it("give values that share nothing with the bytes", () => {
    for (const value of [
      new Uint8Array([1, 2]),
      { a: "text", b: new Uint8Array([7]) },
      "€uro",
      ["long".repeat(9)],
    ]) {
      const { encoding, bytes } = encodeValue(value);
      for (const borrowed of [bytes, Buffer.from(bytes), sharedCopy(bytes)]) {
        const found = decodeValue(encoding, borrowed);
        borrowed.fill(0);
        expect(found).toStrictEqual(value);
      }
      expect(bytes.every((byte) => byte === 0)).toBe(true);
    }
  });

  it("bring KvU64 back", () => {
    const found = roundTrip(new KvU64(2n ** 64n - 1n)) as KvU64;
    expect(found).toBeInstanceOf(KvU64);
    expect(found.value).toBe(2n ** 64n - 1n);
  });

  it("read Deno's format version 16", () => {
    for (const value of [{ a: 1 }, [new Date(5)], new Map([[1, new Uint8Array([1])]])]) {
      const { bytes } = encodeValue(value);
      bytes[1] = 16;
      expect(decodeValue(Encoding.V8, bytes)).toStrictEqual(value);
      expect(bytes[1]).toBe(16);
    }
  });

  it("read the host objects of Node's own v8.serialize, as plain arrays of their own", () => {
    const value = { buffer: Buffer.from("hi"), floats: new Float64Array([1.5]), bytes: new Uint8Array([1]) };
    const bytes = v8.serialize(value);
    const found = decodeValue(Encoding.V8, bytes) as { buffer: Uint8Array };
    bytes.fill(0);
    expect(found).toStrictEqual({ ...value, buffer: new Uint8Array([104, 105]) });
    expect(isPlainBytes(found.buffer)).toBe(true);
  });

  it.each([
    ["an unknown encoding", 0, "ff0f54"],
    ["an encoding of 4", 4, "ff0f54"],
    ["no bytes", 1, ""],
    ["no header", 1, "54"],
    ["a version from the future", 1, "ff1154"],
    ["a value cut short", 1, "ff0f6f2201"],
    ["an unknown tag", 1, "ff0f01"],
    ["a wrong count of properties", 1, "ff0f6f22016149027b02"],
    ["a dangling reference", 1, "ff0f5e05"],
    ["an array longer than its bytes", 1, "ff0f41ffffffff0f"],
    ["a u64 of 7 bytes", 2, "00000000000000"],
    ["a u64 of 9 bytes", 2, "000000000000000000"],
  ])("refuse %s", (_, encoding, hex) => {
    expect(() => decodeValue(encoding, bytesOf(hex))).toThrow(KvCorruptError);
  });

  it("give a value or a KvCorruptError for any bytes", () => {
    const tag = fc.constantFrom(...Buffer.from("_0TFINZ\"co{A$^a@BVDRrm\\;:'#,~|\0\u0001\u0002\u0005"));
    const body = fc.array(fc.oneof(tag, fc.nat(255)), { maxLength: 60 });
    fc.assert(
      fc.property(body, fc.constantFrom(13, 14, 15, 16), (bytes, version) => {
        expectValueOrCorrupt(Encoding.V8, new Uint8Array([0xff, version, ...bytes]));
      }),
      { numRuns: 5000 },
    );
    const anyValue = fc.anything({ withBigInt: true, withMap: true, withSet: true, withTypedArray: true });
    fc.assert(
      fc.property(anyValue, fc.nat(), fc.nat(255), fc.boolean(), (value, place, byte, isCut) => {
        const { encoding, bytes } = encodeValue(value);
        const offset = place % (bytes.length + 1);
        if (offset < bytes.length) bytes[offset] = byte;
        expectValueOrCorrupt(encoding, isCut ? bytes.subarray(0, offset) : bytes);
      }),
      { numRuns: 3000 },
    );
  });
});

function expectValueOrCorrupt(encoding: number, bytes: Uint8Array): void {
  try {
    decodeValue(encoding, bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(KvCorruptError);
  }
}

function sharedCopy(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
