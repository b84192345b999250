import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  compareVersionstampBytes,
  formatVersionstamp,
  parseVersionstamp,
  readCounter,
  readOrder,
  readVersionstamp,
  VERSIONSTAMP_BYTES,
  writeVersionstamp,
} from "../../src/codec/versionstamp.js";
import { hexOf } from "./bytes.js";

const counter = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(300),
  fc.constantFrom(0xffff, 0x10000, 0xffff_ffff, 0x1_0000_0000),
);
const order = fc.nat(0xffff);

function bytesAt(offset: number, stampCounter: number, stampOrder: number): Uint8Array {
  const bytes = new Uint8Array(offset + VERSIONSTAMP_BYTES);
  writeVersionstamp(bytes, offset, stampCounter, stampOrder);
  return bytes;
}

describe("versionstamps", () => {
  it.each([
    [0, 0, "00000000000000000000"],
    [1, 2, "00000000000000010002"],
    [0xabc, 0xffff, "0000000000000abcffff"],
    [2 ** 32, 0, "00000001000000000000"],
    [Number.MAX_SAFE_INTEGER, 1, "001fffffffffffff0001"],
  ])("of counter %d and order %d are %s", (stampCounter, stampOrder, text) => {
    expect(formatVersionstamp(stampCounter, stampOrder)).toBe(text);
    expect(hexOf(bytesAt(0, stampCounter, stampOrder))).toBe(text);
  });

  it("come back from bytes and from text", () => {
    fc.assert(
      fc.property(counter, order, fc.nat(5), (stampCounter, stampOrder, offset) => {
        const bytes = bytesAt(offset, stampCounter, stampOrder);
        const text = hexOf(bytes.subarray(offset));
        expect(readCounter(bytes, offset)).toBe(stampCounter);
        expect(readOrder(bytes, offset)).toBe(stampOrder);
        expect(readVersionstamp(bytes, offset)).toBe(text);
        expect(formatVersionstamp(stampCounter, stampOrder)).toBe(text);
        const stamp = { counter: stampCounter, order: stampOrder };
        expect(parseVersionstamp(text)).toStrictEqual(stamp);
        expect(parseVersionstamp(text.toUpperCase())).toStrictEqual(stamp);
      }),
    );
  });

  it("sort alike as bytes, as text and as numbers", () => {
    fc.assert(
      fc.property(counter, order, counter, order, (counterA, orderA, counterB, orderB) => {
        const [a, b] = [bytesAt(0, counterA, orderA), bytesAt(3, counterB, orderB)];
        const [textA, textB] = [readVersionstamp(a, 0), readVersionstamp(b, 3)];
        const expected = Math.sign(counterA - counterB || orderA - orderB);
        expect(Math.sign(compareVersionstampBytes(a, 0, b, 3))).toBe(expected);
        expect(textA < textB ? -1 : textA > textB ? 1 : 0).toBe(expected);
      }),
    );
  });

  it("that no entry can have are read as one that no entry has", () => {
    expect(parseVersionstamp("f".repeat(20)).counter).toBe(Number.MAX_SAFE_INTEGER);
  });

  it.each(["", "0", "g".repeat(20), "0".repeat(19), "0".repeat(21), `${"0".repeat(19)} `, null, 1])(
    "are refused when they are %s",
    (text) => {
      expect(() => parseVersionstamp(text as string)).toThrow(
        expect.objectContaining({ name: "TypeError", message: "Invalid check", code: "KV_INVALID_CHECK" }),
      );
    },
  );
});
