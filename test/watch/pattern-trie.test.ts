import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeKey, type KvKey } from "../../src/codec/key.js";
import { PatternTrie } from "../../src/watch/pattern-trie.js";

type Pattern = readonly (KvKey[number] | null)[];

const part = fc.constantFrom<KvKey[number]>(
  "a",
  "a\0",
  "a\0b",
  "*",
  "",
  0,
  -0,
  1,
  1n,
  true,
  new Uint8Array([97]),
);
const pattern = fc.array(fc.oneof(part, fc.constant(null)), { minLength: 1, maxLength: 4 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant("add" as const), pattern }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("remove" as const), at: fc.nat(1000) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("find" as const),
      key: fc.array(part, { minLength: 1, maxLength: 4 }),
    }),
  },
);

test("finds the patterns that naive comparing finds", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const trie = new PatternTrie<string>();
      const model = new Map<string, Pattern>();
      for (const each of steps) {
        if (each.op === "add") {
          const name = nameOf(each.pattern);
          expect(trie.obtain(encodePattern(each.pattern), () => name)).toBe(name);
          model.set(name, each.pattern);
        } else if (each.op === "remove") {
          const name = [...model.keys()][each.at % Math.max(1, model.size)];
          if (name === undefined) continue;
          trie.remove(encodePattern(model.get(name)!));
          model.delete(name);
        } else {
          const wanted = [...model].filter(([, one]) => fits(each.key, one)).map(([name]) => name);
          expect(trie.at(encodeKey(each.key)).sort()).toEqual(wanted.sort());
        }
        expect(trie.count).toBe(model.size);
      }
    }),
    { numRuns: 500 },
  );
});

test("a key asks no pattern that differs from it in a part before", () => {
  const trie = new PatternTrie<number>();
  for (let at = 0; at < 100_000; at++) trie.obtain(encodePattern(["users", at, null]), () => at);
  const started = performance.now();
  let rightCount = 0;
  for (let at = 0; at < 100_000; at++) {
    const found = trie.at(encodeKey(["users", at, "x"]));
    if (found.length === 1 && found[0] === at) rightCount++;
  }
  expect(rightCount).toBe(100_000);
  expect(performance.now() - started).toBeLessThan(3000);
});

function encodePattern(parts: Pattern): (Uint8Array | null)[] {
  return parts.map((one) => (one === null ? null : encodeKey([one])));
}

function nameOf(parts: Pattern): string {
  return encodePattern(parts).join("|");
}

function fits(key: KvKey, parts: Pattern): boolean {
  if (key.length !== parts.length) return false;
  return parts.every((one, index) => one === null || nameOf([one]) === nameOf([key[index]!]));
}
