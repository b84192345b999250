import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { deserializeNatively, serializeNatively } from "../../src/codec/native-serializer.js";
import { decodePlainValue, NOT_PLAIN } from "../../src/codec/plain-value-decoder.js";
import { encodePlainValue } from "../../src/codec/plain-value-encoder.js";
import { hexOf, isPlainBytes, sparseArray } from "./bytes.js";

const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: fc.constantFrom("a", "é", "ÿ", "€", "\0", "\ud800", "𝕏"), maxLength: 30 }),
  fc.constantFrom(
    "x".repeat(127),
    "x".repeat(128),
    "é".repeat(300),
    "€".repeat(63),
    "€".repeat(64),
    "€".repeat(9000),
  ),
);
const name = fc.oneof(
  fc.string({ maxLength: 6 }),
  text,
  fc.constantFrom("__proto__", "constructor", "toString", "0", "7", "07", "-1", "1.5", "1e3", "Infinity"),
  fc.constantFrom("2147483647", "2147483648", "4294967294", "4294967295", "4294967296", "9007199254740993"),
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(-0, 2 ** 30, -(2 ** 30) - 1, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1),
);
const bigint = fc.oneof(
  fc.bigInt({ min: -1000n, max: 1000n }),
  fc.bigInt({ min: -(2n ** 600n), max: 2n ** 600n }),
  fc.constantFrom(2n ** 64n - 1n, 2n ** 64n, 2n ** 511n, -(2n ** 512n) + 1n),
);
const leaf = fc.oneof(text, number, bigint, fc.boolean(), fc.constantFrom<null | undefined>(null, undefined));
const { plain } = fc.letrec((tie) => ({
  plain: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    leaf,
    fc.array(tie("plain"), { maxLength: 6 }),
    fc.array(fc.tuple(name, tie("plain")), { maxLength: 6 }).map(objectOf),
  ),
}));

/** An object of the pairs, a pair named "__proto__" included. */
function objectOf(pairs: readonly (readonly [string, unknown])[]): object {
  return Object.fromEntries(pairs);
}

/**
 * The same value in the one form that JavaScript cannot ask V8 about: int32 numbers and only those as small integers, text in
 * one byte where that is enough, arrays that never had holes, objects whose fields were never specialised to doubles.
 */
function canonical(value: unknown): unknown {
  if (typeof value === "number") return Object.is(value, value | 0) ? value | 0 : value;
  if (typeof value === "string") return narrow(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const array: unknown[] = ["not a number, so that the elements stay tagged"];
    array.pop();
    for (const element of value) array.push(canonical(element));
    return array;
  }
  const object = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(value))
    object[narrow(key)] = canonical((value as Record<string, unknown>)[key]);
  return object;
}

function narrow(value: string): string {
  return /[^\0-\xff]/.test(value) ? value : Buffer.from(value, "latin1").toString("latin1");
}

describe("the fast encoder", () => {
  it("writes V8's own bytes, or leaves the value to V8", () => {
    let plainCount = 0;
    fc.assert(
      fc.property(plain, (value) => {
        const bytes = encodePlainValue(value);
        if (bytes === undefined) return;
        plainCount++;
        expect(isPlainBytes(bytes)).toBe(true);
        expect(hexOf(bytes)).toBe(hexOf(serializeNatively(canonical(value))));
      }),
      { numRuns: 5000 },
    );
    expect(plainCount).toBeGreaterThan(2000);
  });

  it("takes the values that it is there for", () => {
    const shared = { a: 1 };
    const values = [
      ...[
        undefined,
        null,
        true,
        7,
        -1.5,
        "text",
        "€",
        5n,
        [],
        [1, [2]],
        { a: { b: [null] } },
        [shared, shared],
      ],
      ...[Object.assign(Object.create(null), { a: 1 }), { 0: "index", 5: 1 }, "x".repeat(10_000)],
    ];
    for (const value of values) {
      const bytes = encodePlainValue(value);
      expect(bytes).toBeDefined();
      expect(hexOf(bytes!)).toBe(hexOf(serializeNatively(value)));
    }
  });

  it("writes references as V8 does", () => {
    const object: Record<string, unknown> = { text: "x", list: [] };
    object["self"] = object;
    (object["list"] as unknown[]).push(object["list"], object, { object });
    expect(hexOf(encodePlainValue(object)!)).toBe(hexOf(serializeNatively(object)));
  });

  it("leaves the unusual to V8", async () => {
    const unusual: unknown[] = [
      ...[
        {},
        new Proxy({ a: 1 }, {}),
        new Proxy([1], {}),
        sparseArray(3, { 0: 1, 2: 3 }),
        Object.assign([1], { a: 1 }),
        sparseArray(1, {}),
      ],
      ...[
        Object.assign(sparseArray(2, { 1: 1 }), { a: 1 }),
        new Date(),
        /a/,
        new Map(),
        new Set(),
        new Error("e"),
        Object("boxed"),
      ],
      ...[new (class A {})(), () => 1, Symbol("s"), new Uint8Array(1), 2n ** 512n, "x".repeat(40_000)],
      ...[await import("./bytes.js"), Object.setPrototypeOf(new Date(), Object.prototype)],
      ...[Object.setPrototypeOf(Object("boxed"), Object.prototype), new (class extends Array {})()],
      ...[Object.setPrototypeOf(new Map(), Object.prototype), Object.setPrototypeOf(new Uint8Array(2), null)],
      argumentsOf(1, 2),
      new Array(300).fill(1),
      Array.from({ length: 100 }, () => ["many objects"]),
    ];
    for (const value of unusual) {
      expect(encodePlainValue(value)).toBeUndefined();
      expect(encodePlainValue({ a: [value] })).toBeUndefined();
    }
  });

  it("stops at its bounds and not a byte beyond", () => {
    for (let length = 32_700; length < 32_780; length++) {
      for (const value of [
        "x".repeat(length),
        { k: "x".repeat(length), n: 1.5 },
        ["€".repeat(length >>> 1), 5n],
      ]) {
        const bytes = encodePlainValue(value);
        if (bytes !== undefined) expect(deserializeNatively(bytes)).toStrictEqual(value);
      }
    }
    const keys = (count: number): object =>
      objectOf(Array.from({ length: count }, (_, key) => [`key${key}`, key]));
    for (let count = 2000; count < 5000; count += 37) {
      const bytes = encodePlainValue(keys(count));
      if (bytes !== undefined) expect(deserializeNatively(bytes)).toStrictEqual(keys(count));
    }
  });

  it("holds no object after it returned or threw", () => {
    const failing = {
      a: { b: 1 },
      get c(): never {
        throw new Error("mine");
      },
    };
    expect(() => encodePlainValue(failing)).toThrow("mine");
    expect(hexOf(encodePlainValue({ a: failing.a })!)).toBe(hexOf(serializeNatively({ a: { b: 1 } })));
  });
});

describe("the fast decoder", () => {
  it("gives what V8 gives", () => {
    fc.assert(
      fc.property(plain, (value) => {
        const bytes = serializeNatively(value);
        const found = decodePlainValue(bytes);
        if (found !== NOT_PLAIN) expect(isDeepStrictEqual(found, deserializeNatively(bytes))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it("takes what the fast encoder makes", () => {
    fc.assert(
      fc.property(plain, (value) => {
        const bytes = encodePlainValue(value);
        if (bytes === undefined) return;
        const found = decodePlainValue(bytes);
        expect(found).not.toBe(NOT_PLAIN);
        expect(isDeepStrictEqual(found, structuredClone(value))).toBe(true);
      }),
    );
  });

  it("gives V8's value or NOT_PLAIN for any bytes", () => {
    const tag = fc.constantFrom(...Buffer.from('_0TFINZ"co{A$^\0\0\u0001\u0002\u0004'));
    const bytes = fc.array(fc.oneof({ weight: 3, arbitrary: tag }, fc.nat(255)), { maxLength: 24 });
    fc.assert(
      fc.property(bytes, (body) => {
        const source = new Uint8Array([0xff, 15, ...body]);
        const found = decodePlainValue(source);
        if (found !== NOT_PLAIN) expect(isDeepStrictEqual(found, deserializeNatively(source))).toBe(true);
      }),
      { numRuns: 20_000 },
    );
  });

  it("makes own properties of names that a prototype holds", () => {
    const setters: string[] = [];
    Object.defineProperty(Object.prototype, "trap", {
      set: (value) => setters.push(value),
      configurable: true,
    });
    try {
      const source = Object.defineProperty({ a: 1 }, "trap", { value: "own", enumerable: true });
      const found = decodePlainValue(serializeNatively(source)) as object;
      expect(Object.getOwnPropertyNames(found)).toStrictEqual(["a", "trap"]);
      expect(setters).toStrictEqual([]);
    } finally {
      Reflect.deleteProperty(Object.prototype, "trap");
    }
  });

  it("tells names apart that share a slot of its cache", () => {
    const names = Array.from({ length: 5000 }, (_, index) => `name-${index * 7919}`);
    for (const _ of [1, 2]) {
      for (const key of names) {
        expect(Object.keys(decodePlainValue(serializeNatively({ [key]: 1 })) as object)).toStrictEqual([key]);
      }
    }
  });
});

function argumentsOf(..._: number[]): unknown {
  // biome-ignore lint/complexity/noArguments: the object itself is under test
  return arguments;
}
