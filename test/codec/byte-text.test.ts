import { expect, test } from "vitest";
import { readLatin1 } from "../../src/codec/byte-text.js";

test("every byte is a character, in texts of any length", () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, index) => index * 7);
  for (let length = 0; length <= 70; length++) {
    for (const start of [0, 1, 36, 37]) {
      const text = readLatin1(bytes, start, start + length);
      expect(text).toBe(Buffer.from(bytes.subarray(start, start + length)).toString("latin1"));
    }
  }
});
