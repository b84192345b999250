import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { KvKey } from "../../src/index.js";
import { formatKeyPath, parseKeyPath } from "../../src/wire/key-path.js";

describe("a key path", () => {
  it.each<[string, KvKey]>([
    ["", []],
    ["users/42", ["users", 42]],
    ['users/"42"', ["users", "42"]],
    ["a%2Fb/-1.5/1e+21", ["a/b", -1.5, 1e21]],
    ["42n/-7n", [42n, -7n]],
    ["true/false", [true, false]],
    ["0x/0x00ff", [new Uint8Array(0), new Uint8Array([0, 255])]],
    ['NaN/-0/Infinity/"NaN"', [Number.NaN, -0, Number.POSITIVE_INFINITY, "NaN"]],
    ['""', [""]],
    ["ü/漢", ["ü", "漢"]],
  ])("%s is a key, and back", (path, key) => {
    expect(parseKeyPath(path)).toStrictEqual(key);
    expect(formatKeyPath(key)).toBe(path);
  });

  it.each(["%zz", '"open', '"a"b"'])("%s is none", (path) => {
    expect(() => parseKeyPath(path)).toThrow(expect.objectContaining({ code: "KV_INVALID_KEY" }));
  });

  it("writes every key", () => {
    const part = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string(),
      fc.double(),
      fc.bigInt(),
      fc.boolean(),
      fc.uint8Array(),
      fc.constantFrom("0x00", "7n", "%", "/", '"', "\ud800", "\n", "-Infinity"),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (key) => {
        expect(parseKeyPath(formatKeyPath(key))).toStrictEqual(key);
      }),
    );
  });
});
