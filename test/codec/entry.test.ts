import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ENTRY_HEADER_BYTES,
  encodeEntry,
  entryEncoding,
  entryExpiresAtMs,
  entryValue,
  entryVersionstamp,
  isExpired,
} from "../../src/codec/entry.js";
import { formatVersionstamp } from "../../src/codec/versionstamp.js";
import { KvCorruptError } from "../../src/errors.js";
import { bytesOf, hexOf, isPlainBytes } from "./bytes.js";

describe("entries", () => {
  it("have their golden bytes", () => {
    const never = encodeEntry({ encoding: 1, counter: 1, order: 0, expiresAtMs: 0 }, bytesOf("ff0f54"));
    expect(hexOf(never)).toBe(hexOf(bytesOf("01 00 00000000000000010000 0000000000000000 ff0f54")));
    const expiring = encodeEntry({ encoding: 2, counter: 258, order: 3, expiresAtMs: 1 }, new Uint8Array(0));
    expect(hexOf(expiring)).toBe(hexOf(bytesOf("02 00 00000000000001020003 3ff0000000000000")));
  });

  it("come back as they were, from a Buffer too", () => {
    const expiry = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9e12 }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.maxSafeNat(),
        fc.nat(65535),
        expiry,
        fc.uint8Array(),
        (encoding, counter, order, expiresAtMs, value) => {
          const bytes = Buffer.from(encodeEntry({ encoding, counter, order, expiresAtMs }, value));
          expect(entryEncoding(bytes)).toBe(encoding);
          expect(entryVersionstamp(bytes)).toBe(formatVersionstamp(counter, order));
          expect(entryExpiresAtMs(bytes)).toBe(expiresAtMs);
          expect(entryValue(bytes)).toStrictEqual(value);
          expect(isPlainBytes(entryValue(bytes))).toBe(true);
        },
      ),
    );
  });

  it("end at the millisecond they say", () => {
    const entry = (expiresAtMs: number): Uint8Array =>
      encodeEntry({ encoding: 1, counter: 1, order: 0, expiresAtMs }, new Uint8Array(1));
    expect([999, 1000, 1001].map((nowMs) => isExpired(entry(1000), nowMs))).toStrictEqual([
      false,
      true,
      true,
    ]);
    expect(isExpired(entry(0), Number.MAX_SAFE_INTEGER)).toBe(false);
  });

  it("that are cut short are corrupt", () => {
    const readers = [entryEncoding, entryExpiresAtMs, entryVersionstamp, entryValue];
    for (const reader of readers) {
      expect(() => reader(new Uint8Array(ENTRY_HEADER_BYTES - 1))).toThrow(KvCorruptError);
      expect(() => reader(new Uint8Array(ENTRY_HEADER_BYTES))).not.toThrow();
    }
  });
});
