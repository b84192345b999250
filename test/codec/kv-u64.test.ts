import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { KvU64 } from "../../src/codec/kv-u64.js";

describe("KvU64", () => {
  it.each([0n, 1n, 2n ** 64n - 1n])("holds %d", (value) => {
    const u64 = new KvU64(value);
    expect([u64.value, u64.valueOf(), `${u64}`]).toStrictEqual([value, value, value.toString()]);
  });

  it("looks like Deno's and is frozen", () => {
    const u64 = new KvU64(1n);
    expect(inspect(u64)).toBe("[Deno.KvU64: 1n]");
    expect(inspect({ u64 })).toBe("{ u64: [Deno.KvU64: 1n] }");
    expect(Reflect.get(u64, Symbol.for("Deno.customInspect")).call(u64)).toBe("[Deno.KvU64: 1n]");
    expect(Object.prototype.toString.call(u64)).toBe("[object Deno.KvU64]");
    expect(Object.isFrozen(u64)).toBe(true);
  });

  it("refuses what is not an unsigned 64-bit integer", () => {
    const misuse = (name: string, message: string): Error =>
      expect.objectContaining({ name, message, code: "KV_INVALID_VALUE" });
    expect(() => new KvU64(1 as unknown as bigint)).toThrow(
      misuse("TypeError", "Value must be a bigint: received number"),
    );
    expect(() => new KvU64(-1n)).toThrow(
      misuse("RangeError", "Value must be a positive bigint: received -1"),
    );
    expect(() => new KvU64(2n ** 64n)).toThrow(
      misuse("RangeError", "Value must fit in a 64-bit unsigned integer"),
    );
  });
});
