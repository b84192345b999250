/** The arithmetic of sum, min and max against BigInt's own. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MutationType } from "../../src/codec/commit-frame.js";
import { KvU64 } from "../../src/codec/kv-u64.js";
import { decodeValue, Encoding, encodeValue } from "../../src/codec/value.js";
import { combine, MutationRefusal, type StoredValue } from "../../src/shard/combine.js";
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
        expect(readU64(combine(type, le64(before), le64(operand)).value)).toBe(rule(before, operand));
        expect(readU64(combine(type, null, le64(operand)).value)).toBe(operand);
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
    expect(readU64(both.value)).toBe(rule(5n, 7n));
    expect(readU64(alone.value)).toBe(7n);
  });

  test("refuses what is no u64 in the store, with a message that names the mutation", () => {
    const other = plain(1n);
    expect(() => combine(type, other, le64(1n))).toThrow(MutationRefusal);
    expect(() => combine(type, other, le64(1n))).toThrow(
      `Failed to perform '${name.toLowerCase()}' mutation on a non-U64 value in the database`,
    );
  });
});

test.each(["MIN", "MAX"] as const)("%s refuses an operand that is no u64", (name) => {
  expect(() => combine(MutationType[name], null, plain(1n))).toThrow(
    `Failed to perform '${name.toLowerCase()}' mutation on a non-U64 operand`,
  );
});

describe("SUM with an operand that is no u64", () => {
  const sum = (before: StoredValue | null, operand: StoredValue) => {
    const { encoding, value } = combine(MutationType.SUM, before, operand);
    return decodeValue(encoding, value);
  };

  test("adds bigints of any size and numbers, and an absent value takes the operand", () => {
    expect(sum(plain(2n ** 64n - 1n), plain(10n))).toBe(2n ** 64n + 9n);
    expect(sum(plain(5n), plain(-7n))).toBe(-2n);
    expect(sum(plain(0.5), plain(1))).toBe(1.5);
    expect(sum(null, plain(-3n))).toBe(-3n);
  });

  test("a bigint that fits is added to a u64, and wraps", () => {
    expect(sum(le64(2n ** 64n - 1n), plain(10n))).toEqual(new KvU64(9n));
  });

  test.each<[StoredValue | null, unknown, string]>([
    [le64(5n), -1n, "Cannot sum KvU64 with BigInt"],
    [le64(5n), 2n ** 64n, "Cannot sum KvU64 with BigInt"],
    [le64(5n), 1, "Cannot sum KvU64 with Number"],
    [plain(5n), 1, "Cannot sum BigInt with Number"],
    [plain(5), 1n, "Cannot sum Number with BigInt"],
    [plain("5"), 1n, "unsupported value type"],
    [{ encoding: Encoding.BYTES, value: u64(1n) }, 1n, "unsupported value type"],
    [null, "1", "Some of the parameters are not valid V8 values"],
    [plain(1), null, "Some of the parameters are not valid V8 values"],
  ])("%o and %o: refused", (before, operand, message) => {
    expect(() => sum(before, plain(operand))).toThrow(message);
    expect(() => sum(before, plain(operand))).toThrow(MutationRefusal);
  });
});

function plain(value: unknown): StoredValue {
  const { encoding, bytes } = encodeValue(value);
  return { encoding, value: bytes };
}
