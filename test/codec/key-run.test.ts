import fc from "fast-check";
import { expect, test } from "vitest";
import { compareBytes, decodeKey, encodeKey, type KvKey } from "../../src/codec/key.js";
import { applyCursor, type KvListSelector, selectorRange } from "../../src/codec/key-range.js";
import { KeyRun } from "../../src/codec/key-run.js";

const part = fc.oneof(
  fc.constantFrom("", "a", "a\0", "a\0\u00ff", "ab", "\0", "\u00ff", "€"),
  fc.constantFrom(0, -1, 1.5, Number.NaN, 0n, -300n, 2n ** 70n, true, false),
  fc.constantFrom([], [0], [0, 255], [1]).map((bytes) => Uint8Array.from(bytes)),
);
const key = fc.array(part, { maxLength: 4 });
const selector = fc.oneof(
  key.map((prefix) => ({ prefix })),
  fc
    .tuple(key, key)
    .map((bounds) => bounds.sort((a, b) => compareBytes(encodeKey(a), encodeKey(b))))
    .map(([start, end]) => ({ start: start!, end: end! })),
);

function isUnder(bytes: Uint8Array, { start, end }: { start: Uint8Array; end: Uint8Array }): boolean {
  return compareBytes(bytes, start) >= 0 && compareBytes(bytes, end) < 0;
}

test("keys of any range are given as they are, in parts and in bytes", () => {
  fc.assert(
    fc.property(
      selector,
      fc.array(key, { maxLength: 30 }),
      fc.array(part, { maxLength: 3 }),
      (chosen, keys, rest) => {
        const range = selectorRange(chosen as KvListSelector);
        const near = [
          ...keys,
          ...Object.values(chosen),
          ...keys.map((begin) => [...begin, ...rest]),
        ] as KvKey[];
        for (const base of Object.values(chosen) as KvKey[])
          for (const end of keys) near.push([...base, ...end]);
        const found = near.map(encodeKey).filter((bytes) => isUnder(bytes, range));
        const run = new KeyRun(range);
        for (const bytes of found) expect(run.decode(bytes)).toStrictEqual(decodeKey(bytes));
        const kept = found.map((_, index) => run.bytesOf(index));
        expect(kept).toStrictEqual(found);
      },
    ),
    { numRuns: 1000 },
  );
});

test("what is left of a range behind a cursor shares as much", () => {
  const range = selectorRange({ prefix: ["list", 7] });
  for (const isReverse of [false, true]) {
    const run = new KeyRun(applyCursor(range, encodeKey(["list", 7, 500]), isReverse));
    const [first, second] = [
      run.decode(encodeKey(["list", 7, "x"])),
      run.decode(encodeKey(["list", 7, "y", 1, 2])),
    ];
    expect([first, second]).toStrictEqual([
      ["list", 7, "x"],
      ["list", 7, "y", 1, 2],
    ]);
    expect(decodeKey(run.bytesOf(1))).toStrictEqual(second);
  }
});

test("no two keys share an array", () => {
  const shared = Uint8Array.of(1, 2);
  const run = new KeyRun(selectorRange({ prefix: [shared] }));
  const bytes = encodeKey([shared, 1]);
  const [first, second] = [run.decode(bytes), run.decode(bytes)];
  expect(first).not.toBe(second);
  expect(first[0]).not.toBe(second[0]);
});

test("damaged bytes are refused as they are in a key by itself", () => {
  const run = new KeyRun(selectorRange({ prefix: ["a"] }));
  const damaged = Uint8Array.of(...encodeKey(["a"]), 0x99);
  expect(() => run.decode(damaged)).toThrow(expect.objectContaining({ code: "KV_CORRUPT" }));
});
