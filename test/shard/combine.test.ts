/** The arithmetic of sum, min and max against BigInt's own. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MutationType } from "../../src/codec/commit-frame.js";
import { Encoding } from "../../src/codec/value.js";
import { combine, MutationRefusal } from "../../src/shard/combine.js";
import { readU64, u64 } from "./stored-entries.js";

const anyU64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n ** 63n, 2n ** 64n - 1n),
);
const le64 = (value: bigint) => ({ encoding: Encoding.LE64, value: u64(value) });

/** `Math.min` knows no bigints. */
const ascending = (...values: bigint[]) => values.sort((a, b) => Number(a - b));

const RULES: [keyof typeof MutationType, (a: bigint, b: bigint) => bigint][] = [
  ["SUM", (a, b) => (a + b) % 2n ** 64n],
  ["MIN", (a, b) => ascending(a, b)[0]!],
  ["MAX", (a, b) => ascending(a, b)[1]!],
];

describe.each(RULES)("%s", (name, rule) => {
  const type = MutationType[name];

  test("does with 64 bits what BigInt does, and an absent value takes the operand", () => {
    fc.assert(
      fc.property(anyU64, anyU64, (before, operand) => {
        expect(readU64(combine(type, le64(before), le64(operand)))).toBe(rule(before, operand));
        expect(readU64(combine(type, null, le64(operand)))).toBe(operand);
      }),
    );
  });

  test("gives bytes of its own, also when they lie within larger ones", () => {
    const block = new Uint8Array(32);
    block.set(u64(5n), 3);
    block.set(u64(7n), 16);
    const before = { encoding: Encoding.LE64, value: block.subarray(3, 11) };
    const operand = { encoding: Encoding.LE64, value: block.subarray(16, 24) };
    const [both, alone] = [combine(type, before, operand), combine(type, null, operand)];
    block.fill(0xff);
    expect(readU64(both)).toBe(rule(5n, 7n));
    expect(readU64(alone)).toBe(7n);
  });

  test("refuses what is no u64 on either side, with a message that names the mutation", () => {
    const word = name.toLowerCase();
    const other = { encoding: Encoding.V8, value: u64(1n) };
    expect(() => combine(type, other, le64(1n))).toThrow(MutationRefusal);
    expect(() => combine(type, other, le64(1n))).toThrow(
      `Failed to perform '${word}' mutation on a non-U64 value in the database`,
    );
    expect(() => combine(type, null, other)).toThrow(
      `Failed to perform '${word}' mutation on a non-U64 operand`,
    );
  });
});
