/**
 * Owns the versionstamp: its ten bytes, its text, its order.
 *
 *     versionstamp := counter (8 bytes, big-endian) order (2 bytes, big-endian)
 *     text         := 20 lower-case hex digits of those bytes
 *     counter 1, order 2   is   00 00 00 00 00 00 00 01 00 02   is   "00000000000000010002"
 *
 * Pure functions for any thread. Invariants:
 * 1. The counter is an integer below 2^53, so it is exact in a JavaScript number and no BigInt is made on a hot path.
 * 2. Bytes, texts and (counter, order) pairs sort alike.
 *
 * Does not hand out stamps: the shards do.
 */
import { KvTypeError } from "../errors.js";

declare const versionstampBrand: unique symbol;

/** A versionstamp as 20 lower-case hex digits. */
export type Versionstamp = string & { readonly [versionstampBrand]: true };

/** Bytes of a versionstamp. */
export const VERSIONSTAMP_BYTES = 10;

const TWO_TO_32 = 0x1_0000_0000;
const VERSIONSTAMP_TEXT = /^[0-9a-f]{20}$/i;

/** Character codes of the high and of the low hex digit of each byte. */
const HIGH_DIGIT = Uint8Array.from({ length: 256 }, (_, byte) => (byte >>> 4).toString(16).charCodeAt(0));
const LOW_DIGIT = Uint8Array.from({ length: 256 }, (_, byte) => (byte & 15).toString(16).charCodeAt(0));

const formatted = new Uint8Array(VERSIONSTAMP_BYTES);

/** The text of a stamp. */
export function formatVersionstamp(counter: number, order: number): Versionstamp {
  writeVersionstamp(formatted, 0, counter, order);
  return readVersionstamp(formatted, 0);
}

/** Stores the ten bytes of a stamp. */
export function writeVersionstamp(target: Uint8Array, offset: number, counter: number, order: number): void {
  const high = Math.floor(counter / TWO_TO_32);
  const low = counter >>> 0;
  target[offset] = high >>> 24;
  target[offset + 1] = high >>> 16;
  target[offset + 2] = high >>> 8;
  target[offset + 3] = high;
  target[offset + 4] = low >>> 24;
  target[offset + 5] = low >>> 16;
  target[offset + 6] = low >>> 8;
  target[offset + 7] = low;
  target[offset + 8] = order >>> 8;
  target[offset + 9] = order;
}

/** The text of the stamp at `offset`. Hot path: every entry read and every change delivered shows its stamp; one call makes it, flat. */
export function readVersionstamp(bytes: Uint8Array, offset: number): Versionstamp {
  const b0 = bytes[offset]!;
  const b1 = bytes[offset + 1]!;
  const b2 = bytes[offset + 2]!;
  const b3 = bytes[offset + 3]!;
  const b4 = bytes[offset + 4]!;
  const b5 = bytes[offset + 5]!;
  const b6 = bytes[offset + 6]!;
  const b7 = bytes[offset + 7]!;
  const b8 = bytes[offset + 8]!;
  const b9 = bytes[offset + 9]!;
  // biome-ignore format: a byte each
  return String.fromCharCode(
    HIGH_DIGIT[b0]!, LOW_DIGIT[b0]!, HIGH_DIGIT[b1]!, LOW_DIGIT[b1]!,
    HIGH_DIGIT[b2]!, LOW_DIGIT[b2]!, HIGH_DIGIT[b3]!, LOW_DIGIT[b3]!,
    HIGH_DIGIT[b4]!, LOW_DIGIT[b4]!, HIGH_DIGIT[b5]!, LOW_DIGIT[b5]!,
    HIGH_DIGIT[b6]!, LOW_DIGIT[b6]!, HIGH_DIGIT[b7]!, LOW_DIGIT[b7]!,
    HIGH_DIGIT[b8]!, LOW_DIGIT[b8]!, HIGH_DIGIT[b9]!, LOW_DIGIT[b9]!,
  ) as Versionstamp;
}

/** The counter of the stamp at `offset`. */
export function readCounter(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset) * TWO_TO_32 + readU32(bytes, offset + 4);
}

/** The order of the stamp at `offset`. */
export function readOrder(bytes: Uint8Array, offset: number): number {
  return (bytes[offset + 8]! << 8) | bytes[offset + 9]!;
}

/**
 * Reads a stamp that a caller gave, in upper or lower case.
 *
 * A counter of 2^53 or more is legal text that no entry can have; it is read as 2^53 - 1, which no entry has either.
 *
 * @throws KvTypeError KV_INVALID_CHECK when it is not 20 hex digits.
 */
export function parseVersionstamp(text: string): { counter: number; order: number } {
  if (typeof text !== "string" || !VERSIONSTAMP_TEXT.test(text)) {
    throw new KvTypeError("KV_INVALID_CHECK", "Invalid check");
  }
  const counter = Number.parseInt(text.slice(0, 16), 16);
  return {
    counter: Math.min(counter, Number.MAX_SAFE_INTEGER),
    order: Number.parseInt(text.slice(16), 16),
  };
}

/** Negative, zero or positive, as the stamp in `a` is older than, equal to or newer than the one in `b`. */
export function compareVersionstampBytes(
  a: Uint8Array,
  aOffset: number,
  b: Uint8Array,
  bOffset: number,
): number {
  for (let index = 0; index < VERSIONSTAMP_BYTES; index++) {
    const difference = a[aOffset + index]! - b[bOffset + index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

function readU32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>>
    0
  );
}
