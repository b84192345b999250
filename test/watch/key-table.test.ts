import fc from "fast-check";
import { expect, test } from "vitest";
import { type KeyNode, KeyTable } from "../../src/watch/key-table.js";

function find(table: KeyTable<object>, hash: number, text: string): KeyNode<object> | undefined {
  return table.find(hash, { hasKeyText: (other) => other === text });
}

test("keys of one hash are different nodes, and one that goes leaves the others to be found", () => {
  const table = new KeyTable<object>();
  const nodes = ["a", "b", "c"].map((text) => table.obtain(7, text));
  expect(new Set(nodes).size).toBe(3);
  expect(table.obtain(7, "b")).toBe(nodes[1]);
  table.remove(nodes[0]!);
  expect(find(table, 7, "a")).toBeUndefined();
  expect(find(table, 7, "b")).toBe(nodes[1]);
  expect(find(table, 7, "c")).toBe(nodes[2]);
  expect(table.count).toBe(2);
});

test("a key whose hash is zero, or needs all 32 bits, is found like any other", () => {
  const table = new KeyTable<object>();
  for (const hash of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    const node = table.obtain(hash, `key of ${hash}`);
    expect(find(table, hash, `key of ${hash}`)).toBe(node);
    expect(find(table, hash, "another")).toBeUndefined();
  }
});

test("forgetting a node twice, or one whose key has a new node, takes nothing else away", () => {
  const table = new KeyTable<object>();
  const first = table.obtain(7, "a");
  const other = table.obtain(7, "b");
  table.remove(first);
  table.remove(first);
  expect(table.count).toBe(1);
  expect(find(table, 7, "b")).toBe(other);
});

test("it finds what a map finds, whatever comes and goes, at the end of its slots and around it", () => {
  // Few hashes that lie close together, also around the last slot: long chains that wrap.
  const hash = fc.constantFrom(0, 1, 2, 3, 14, 15, 16, 30, 31, 0xffff_fffe, 0xffff_ffff);
  const step = fc.record({ isAdded: fc.boolean(), hash, name: fc.nat(5) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const table = new KeyTable<object>();
      const model = new Map<string, KeyNode<object>>();
      for (const { isAdded, hash, name } of steps) {
        const text = `${hash}:${name}`;
        const known = model.get(text);
        if (isAdded) {
          const node = table.obtain(hash, text);
          if (known !== undefined) expect(node).toBe(known);
          model.set(text, node);
        } else if (known !== undefined) {
          table.remove(known);
          model.delete(text);
        }
        expect(table.count).toBe(model.size);
      }
      for (const { hash, name } of steps) {
        const text = `${hash}:${name}`;
        expect(find(table, hash, text)).toBe(model.get(text));
      }
    }),
    { numRuns: 300 },
  );
});
