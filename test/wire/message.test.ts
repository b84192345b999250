import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KvU64 } from "../../src/index.js";
import { decodeMessage, encodeMessage, type MessageForm } from "../../src/wire/message.js";

const FORMS: readonly MessageForm[] = ["json", "binary"];

function roundTrip(value: unknown, form: MessageForm): unknown {
  const encoded = encodeMessage(value, form);
  return decodeMessage(typeof encoded === "string" ? new TextEncoder().encode(encoded) : encoded, form);
}

const hole: unknown[] = [1];
hole[3] = 2;
const extra: unknown[] & { more?: string } = [1, 2];
extra.more = "x";
const failure = new RangeError("too far", { cause: new Error("why") });

describe.each(FORMS)("a message as %s", (form) => {
  it.each<[string, unknown]>([
    [
      "numbers",
      [0, -0, 1.5, -7, 2 ** 30, -(2 ** 31), 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, -1e-300],
    ],
    ["texts", ["", "é", "漢字 😀", "\ud800 alone", "\0", "a".repeat(300)]],
    ["bigints", [0n, -1n, 2n ** 70n]],
    ["undefined and null", [undefined, null, true, false]],
    ["bytes", [new Uint8Array([0, 255, 1]), new Uint8Array(0), new Uint8Array([1]).buffer]],
    [
      "views",
      [
        new Float64Array([1, -0]),
        new Int16Array([-1]),
        new BigInt64Array([-5n]),
        new DataView(new ArrayBuffer(3)),
      ],
    ],
    ["dates", [new Date(0), new Date(-1), new Date(Number.NaN)]],
    [
      "maps and sets",
      [
        new Map<unknown, unknown>([
          [{ a: 1 }, new Set([1n])],
          ["k", undefined],
        ]),
      ],
    ],
    ["a regular expression", /a\/b$/giu],
    ["boxed primitives", [Object(1), Object("x"), Object(false), Object(1n)]],
    ["a sparse array", hole],
    ["an array with more", extra],
    ["objects that look like tags", [{ $bigint: "1" }, { $x: 1 }, { $a: 1, $b: 2 }, { $object: {} }]],
    ["a KvU64", new KvU64(18_446_744_073_709_551_615n)],
  ])("keeps %s", (_, value) => {
    expect(roundTrip(value, form)).toStrictEqual(value);
  });

  it("keeps errors", () => {
    const back = roundTrip(failure, form) as RangeError;
    expect(back).toBeInstanceOf(RangeError);
    expect([back.message, back.stack]).toEqual([failure.message, failure.stack]);
    expect(back.cause).toMatchObject({ message: "why" });
  });

  it("keeps what is shared, and cycles", () => {
    const shared = { n: 1 };
    const value: { list: unknown[]; self?: unknown } = { list: [shared, new Map([[shared, shared]])] };
    value.self = value;
    const back = roundTrip(value, form) as { list: [object, Map<object, object>]; self: unknown };
    expect(back.self).toBe(back);
    expect(back.list[1].get(back.list[0])).toBe(back.list[0]);
  });

  it("sets no prototype", () => {
    const value = JSON.parse('{"__proto__":{"isAdmin":true},"a":1}');
    const back = roundTrip(value, form) as { isAdmin?: boolean };
    expect(back.isAdmin).toBeUndefined();
    expect(Object.keys(back)).toEqual(["__proto__", "a"]);
  });

  it.each<[string, unknown]>([
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a promise", { p: Promise.resolve() }],
    ["shared memory", new Uint8Array(new SharedArrayBuffer(1))],
  ])("refuses %s", (_, value) => {
    expect(() => encodeMessage(value, form)).toThrow(expect.objectContaining({ code: "KV_INVALID_VALUE" }));
  });

  it("bounds nesting on both sides", () => {
    let deep: unknown = 1;
    for (let level = 0; level < 400; level++) deep = [deep];
    expect(roundTrip(deep, form)).toEqual(deep);
    for (let level = 0; level < 5000; level++) deep = [deep];
    expect(() => encodeMessage(deep, form)).toThrow(expect.objectContaining({ code: "KV_LIMIT_EXCEEDED" }));
    const bytes =
      form === "json"
        ? new TextEncoder().encode("[".repeat(9000) + "]".repeat(9000))
        : new Uint8Array(9000).fill(8).fill(1, 8000);
    expect(() => decodeMessage(bytes, form)).toThrow(TypeError);
  });

  it("keeps whatever JavaScript has", () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withSparseArray: true,
          withNullPrototype: false,
          withBoxedValues: true,
        }),
        (value) => {
          expect(roundTrip(value, form)).toStrictEqual(value);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("gives a value or a misuse error for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeMessage(bytes, form);
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^KV_/) });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("tags", () => {
  it.each([
    '{"$bigint":"x"}',
    '{"$bytes":"%%"}',
    '{"$view":["Function","AA=="]}',
    '{"$view":["Float64Array","AA=="]}',
    '{"$ref":0}',
    '{"$map":[[1]]}',
    '{"$array":[-1,[]]}',
    '{"$regexp":["(","g"]}',
    '{"$u64":"-1"}',
    '{"$nothing":1}',
    '{"$number":"12"}',
    '{"$error":{}}',
  ])("refuses %s", (text) => {
    expect(() => decodeMessage(new TextEncoder().encode(text), "json")).toThrow(
      expect.objectContaining({ code: "KV_INVALID_VALUE" }),
    );
  });
});
