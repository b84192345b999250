import fc from "fast-check";
import { expect, test } from "vitest";
import { compareBytes } from "../../src/codec/key.js";
import { RangeIndex } from "../../src/watch/range-index.js";

const bytes = fc.uint8Array({ maxLength: 3, max: 4 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant("add" as const), start: bytes, end: bytes }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("remove" as const), at: fc.nat(1000) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("find" as const), key: bytes }) },
);

test("finds the ranges that naive comparing finds, in the order of their bounds", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const index = new RangeIndex<string>();
      const model = new Map<string, { start: Uint8Array; end: Uint8Array }>();
      for (const each of steps) {
        if (each.op === "add") {
          const name = `${each.start}-${each.end}`;
          const isKnown = model.has(name);
          let made = false;
          const seat = index.obtain(each.start, each.end, () => {
            made = true;
            return name;
          });
          expect([seat, made]).toEqual([name, !isKnown]);
          model.set(name, each);
        } else if (each.op === "remove") {
          const name = [...model.keys()][each.at % Math.max(1, model.size)];
          if (name === undefined) continue;
          const { start, end } = model.get(name)!;
          index.remove(start, end);
          model.delete(name);
        } else {
          expect(index.at(each.key)).toEqual(naive(model, each.key));
        }
        expect(index.count).toBe(model.size);
      }
    }),
    { numRuns: 500 },
  );
});

test("a hundred thousand ranges, added in order, are neither deep nor slow to ask", () => {
  const index = new RangeIndex<number>();
  const bound = (at: number) => Uint8Array.of(at >> 16, at >> 8, at);
  for (let at = 0; at < 100_000; at++) index.obtain(bound(at), bound(at + 2), () => at);
  const started = performance.now();
  let found = 0;
  for (let at = 2; at < 100_000; at++) found += index.at(bound(at)).length;
  expect(found).toBe(2 * (100_000 - 2));
  // Walking all of them for each would take minutes.
  expect(performance.now() - started).toBeLessThan(3000);
  for (let at = 0; at < 100_000; at++) index.remove(bound(at), bound(at + 2));
  expect(index.at(bound(7))).toEqual([]);
});

function naive(model: Map<string, { start: Uint8Array; end: Uint8Array }>, key: Uint8Array): string[] {
  return [...model]
    .filter(([, range]) => compareBytes(range.start, key) <= 0 && compareBytes(key, range.end) < 0)
    .sort(([, a], [, b]) => compareBytes(a.start, b.start) || compareBytes(a.end, b.end))
    .map(([name]) => name);
}
