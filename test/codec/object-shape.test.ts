import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { deserializeNatively, serializeNatively } from "../../src/codec/native-serializer.js";
import { decodePlainValue, NOT_PLAIN } from "../../src/codec/plain-value-decoder.js";

/** Often enough for a shape to be made, and used. */
const OFTEN = 40;

/** Decodes, and says so if V8 would give something else: another value, or names in another order. */
function decoded(value: unknown): unknown {
  const bytes = serializeNatively(value);
  const found = decodePlainValue(bytes);
  expect(found).not.toBe(NOT_PLAIN);
  expect(isDeepStrictEqual(found, deserializeNatively(bytes))).toBe(true);
  if (typeof value === "object" && value !== null)
    expect(Object.keys(found as object)).toStrictEqual(Object.keys(deserializeNatively(bytes) as object));
  return found;
}

function repeat(make: (index: number) => unknown): void {
  for (let index = 0; index < OFTEN; index++) decoded(make(index));
}

describe("an object whose names come again and again", () => {
  it("is what V8 gives, whatever its values are", () => {
    repeat((id) => ({ id, name: `n${id}`, tags: ["a", id], at: { x: id, y: [null] }, big: BigInt(id) }));
    repeat((id) => ({ id, name: id % 2 === 0 ? undefined : "€", tags: {}, at: id / 3, big: [] }));
  });

  it("is what V8 gives, whatever comes among them", () => {
    const name = fc.constantFrom(
      "id",
      "name",
      "mail",
      "7",
      "é",
      "€",
      "__proto__",
      "toString",
      'a"b\\',
      "\u2028",
      "x".repeat(120),
    );
    const record = fc.uniqueArray(name, { maxLength: 5 });
    const values = fc.array(fc.tuple(fc.nat(2), fc.nat(5), fc.anything({ maxDepth: 1 })), { maxLength: 90 });
    fc.assert(
      fc.property(fc.array(record, { minLength: 3, maxLength: 3 }), values, (records, picks) => {
        for (const [which, cut, extra] of picks) {
          const names = records[which]!;
          const entries = names.slice(0, cut === 5 ? names.length : cut).map((key, index) => [key, index]);
          const value = Object.fromEntries(cut === 0 ? [...entries, ["extra", 1]] : entries) as object;
          const bytes = serializeNatively([value, value, typeof extra === "number" ? extra : null]);
          const found = decodePlainValue(bytes);
          if (found === NOT_PLAIN) continue;
          expect(isDeepStrictEqual(found, deserializeNatively(bytes))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("may refer to itself and to others", () => {
    const cyclic = (index: number): unknown => {
      const value: Record<string, unknown> = { index, me: null, other: { index } };
      if (index % 3 === 0) value["me"] = value["other"];
      return value;
    };
    repeat((index) => [cyclic(index), cyclic(index + 1)]);
    for (let index = 0; index < OFTEN; index++) {
      const value = cyclic(index) as { me: unknown };
      value.me = value;
      const bytes = serializeNatively(value);
      const found = decodePlainValue(bytes);
      // V8 reads what refers to an object that is not made yet.
      if (found !== NOT_PLAIN) expect(isDeepStrictEqual(found, deserializeNatively(bytes))).toBe(true);
    }
    const twice = { index: 1, me: null, other: { index: 2 } };
    const [first, second] = decoded([twice, twice]) as [unknown, unknown];
    expect(first).toBe(second);
  });

  it("has own properties only, of names that a prototype holds as well", () => {
    const setters: unknown[] = [];
    Object.defineProperty(Object.prototype, "trapped", {
      set: (value) => setters.push(value),
      configurable: true,
    });
    try {
      for (let index = 0; index < OFTEN; index++) {
        const source = Object.defineProperty({ index }, "trapped", { value: index, enumerable: true });
        const found = decodePlainValue(serializeNatively(source)) as object;
        expect(Object.getOwnPropertyNames(found)).toStrictEqual(["index", "trapped"]);
        const inherits = JSON.parse(`{"proto": ${index}, "__proto__": {"evil": true}}`) as object;
        const bare = decodePlainValue(serializeNatively(inherits)) as Record<string, unknown>;
        expect([Object.getPrototypeOf(bare), bare["evil"]]).toEqual([Object.prototype, undefined]);
      }
      expect(setters).toStrictEqual([]);
    } finally {
      Reflect.deleteProperty(Object.prototype, "trapped");
    }
  });

  it("keeps a name apart from another whose characters end in the same bytes", () => {
    // The shape is made by the 16th and given up by the next, so each count is tried.
    for (let often = 1; often < OFTEN; often++) {
      for (let index = 0; index < often; index++) decoded({ apart: 1, "€": index });
      expect(decoded({ apart: 1, "\u00ac": often })).toStrictEqual({ apart: 1, "\u00ac": often });
    }
  });

  it("is left to V8 wherever its bytes are damaged", () => {
    repeat((id) => ({ id, name: "Ada", nested: { id, on: true } }));
    const bytes = serializeNatively({ id: 7, name: "Ada", nested: { id: 8, on: true } });
    for (let at = 2; at < bytes.length; at++) {
      for (const byte of [0, 0x22, 0x6f, 0x7b, 0xff, bytes[at]! ^ 1]) {
        const damaged = Uint8Array.from(bytes);
        damaged[at] = byte;
        for (const cut of [damaged, damaged.slice(0, at)]) {
          const found = decodePlainValue(cut);
          if (found !== NOT_PLAIN) expect(isDeepStrictEqual(found, deserializeNatively(cut))).toBe(true);
        }
      }
    }
  });

  it("is read as well where no functions may be made of text", () => {
    const decoder = new URL("../../src/codec/plain-value-decoder.js", import.meta.url).href;
    const program = `
      const { decodePlainValue } = await import(${JSON.stringify(decoder)});
      const { serialize } = await import("node:v8");
      const read = Array.from({ length: ${OFTEN} }, (_, id) => decodePlainValue(serialize({ id, name: "Ada" })));
      console.log(JSON.stringify(read.at(-1)));`;
    const flags = ["--disallow-code-generation-from-strings", "--input-type=module", "-e", program];
    const printed = execFileSync(process.execPath, flags, { encoding: "utf8" });
    expect(printed.trim()).toBe(JSON.stringify({ id: OFTEN - 1, name: "Ada" }));
  });
});
