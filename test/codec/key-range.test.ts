import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareBytes, encodeKey, type KvKey } from "../../src/codec/key.js";
import {
  applyCursor,
  checkSelectorShape,
  decodeCursor,
  encodeCursor,
  type KeyRange,
  type KvListSelector,
  selectorRange,
} from "../../src/codec/key-range.js";
import { KvTypeError } from "../../src/errors.js";
import { hexOf } from "./bytes.js";

const name = fc.string({ unit: fc.constantFrom("\0", "a", "b", "ÿ"), maxLength: 3 });
const key = fc.array(fc.oneof(name, fc.uint8Array({ maxLength: 2 }), fc.integer()), { maxLength: 4 });

function contains(range: KeyRange, wanted: KvKey): boolean {
  const encoded = encodeKey(wanted);
  return compareBytes(encoded, range.start) >= 0 && compareBytes(encoded, range.end) < 0;
}

describe("selectors", () => {
  it("give their golden ranges", () => {
    const under = selectorRange({ prefix: ["a"] });
    expect([hexOf(under.start), hexOf(under.end)]).toStrictEqual(["02610000", "026100ff"]);
    expect(hexOf(under.cursorBase)).toBe("026100");
    const from = selectorRange({ prefix: ["a"], start: ["a", "b"] });
    expect([hexOf(from.start), hexOf(from.end)]).toStrictEqual(["026100026200", "026100ff"]);
    const until = selectorRange({ prefix: ["a"], end: ["a", "b"] });
    expect([hexOf(until.start), hexOf(until.end)]).toStrictEqual(["02610000", "026100026200"]);
    const between = selectorRange({ start: ["ab"], end: ["ac"] });
    expect([hexOf(between.start), hexOf(between.end)]).toStrictEqual(["02616200", "02616300"]);
    expect(hexOf(between.cursorBase)).toBe("0261");
  });

  it("select exactly the strictly longer keys by prefix", () => {
    fc.assert(
      fc.property(key, key, (prefix, other) => {
        const range = selectorRange({ prefix });
        expect(contains(range, prefix)).toBe(false);
        expect(contains(range, [...prefix, "x", ...other])).toBe(true);
        const otherHead = other.slice(0, prefix.length);
        const isUnder =
          other.length > prefix.length && compareBytes(encodeKey(otherHead), encodeKey(prefix)) === 0;
        expect(contains(range, other)).toBe(isUnder);
      }),
    );
  });

  it.each<[string, unknown, string]>([
    [
      "everything",
      { prefix: ["a"], start: ["a"], end: ["a"] },
      "Selector can not specify both 'start' and 'end' key when specifying 'prefix'",
    ],
    ["nothing", {}, "Selector must specify either 'prefix' or both 'start' and 'end' key"],
    ["start alone", { start: ["a"] }, "Selector must specify either 'prefix' or both 'start' and 'end' key"],
    ["end alone", { end: ["a"] }, "Selector must specify either 'prefix' or both 'start' and 'end' key"],
    ["null", null, "Selector must specify either 'prefix' or both 'start' and 'end' key"],
  ])("refuse a shape of %s", (_, selector, message) => {
    expect(() => checkSelectorShape(selector as KvListSelector)).toThrow(
      expect.objectContaining({ name: "TypeError", message, code: "KV_INVALID_SELECTOR" }),
    );
  });

  it.each<[KvListSelector, string]>([
    [{ prefix: ["a"], start: ["b"] }, "Start key is not in the keyspace defined by prefix"],
    [{ prefix: ["a"], start: ["a"] }, "Start key is not in the keyspace defined by prefix"],
    [{ prefix: ["a"], start: ["a\0b"] }, "Start key is not in the keyspace defined by prefix"],
    [{ prefix: ["a"], end: ["b"] }, "End key is not in the keyspace defined by prefix"],
    [{ prefix: ["a"], end: ["a"] }, "End key is not in the keyspace defined by prefix"],
    [{ start: ["b"], end: ["a"] }, "Start key is greater than end key"],
  ])("refuse keys that don't fit: %j", (selector, message) => {
    expect(() => checkSelectorShape(selector)).not.toThrow();
    expect(() => selectorRange(selector)).toThrow(
      expect.objectContaining({ name: "TypeError", message, code: "KV_INVALID_SELECTOR" }),
    );
  });
});

describe("cursors", () => {
  const base = encodeKey(["a"]);

  it("are the strings that Deno's tests pin", () => {
    expect(encodeCursor(encodeKey(["a", "b"]), base)).toBe("AmIA");
    expect(encodeCursor(encodeKey(["a", "d"]), base)).toBe("AmQA");
    expect(encodeCursor(encodeKey(["a", true]), base)).toBe("Jw==");
  });

  it("lead back to their key", () => {
    fc.assert(
      fc.property(key, key, (prefix, rest) => {
        const cursorBase = encodeKey(prefix);
        const encoded = encodeKey([...prefix, ...rest]);
        expect(hexOf(decodeCursor(encodeCursor(encoded, cursorBase), cursorBase))).toBe(hexOf(encoded));
      }),
    );
  });

  it.each(["Jw", "Jx==", "A+==", "A/==", "J w=", "====", "Jw==Jw==", "é===", 7])("refuse %s", (cursor) => {
    expect(() => decodeCursor(cursor as string, base)).toThrow(
      expect.objectContaining({ name: "TypeError", message: "invalid cursor", code: "KV_INVALID_CURSOR" }),
    );
  });

  it("are refused or lead back to themselves, whatever their text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
        try {
          expect(encodeCursor(decodeCursor(text, base), base)).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(KvTypeError);
        }
      }),
    );
  });

  it("resume after their key, in either direction", () => {
    const range = selectorRange({ prefix: ["a"] });
    const at = encodeKey(["a", "b"]);
    const after = applyCursor(range, at, false);
    expect([hexOf(after.start), hexOf(after.end)]).toStrictEqual(["02610002620000", "026100ff"]);
    const before = applyCursor(range, at, true);
    expect([hexOf(before.start), hexOf(before.end)]).toStrictEqual(["02610000", "026100026200"]);
    expect(contains(after, ["a", "b"]) || contains(before, ["a", "b"])).toBe(false);
    expect(contains(after, ["a", "b", "c"]) && contains(before, ["a", "a"])).toBe(true);
  });

  it("never lead out of the range", () => {
    const range = selectorRange({ prefix: ["a"], start: ["a", "c"] });
    const before = [["a", "b"], ["A"]];
    const behind = [["b"], ["a\0"]];
    for (const reverse of [false, true]) {
      for (const outside of reverse ? before : behind) {
        const { start, end } = applyCursor(range, encodeKey(outside), reverse);
        expect(compareBytes(start, end)).toBeGreaterThan(0);
      }
      for (const outside of reverse ? behind : before) {
        expect(() => applyCursor(range, encodeKey(outside), reverse)).toThrow(
          expect.objectContaining({ message: "cursor out of bounds", code: "KV_INVALID_CURSOR" }),
        );
      }
    }
  });
});
