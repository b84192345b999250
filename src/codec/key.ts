/**
 * Owns the bytes of a key: what a caller's array of parts becomes, and the limits on its size.
 *
 *     key    := part*
 *     part   := 01 escaped(bytes) 00                      Uint8Array
 *             | 02 escaped(UTF-8) 00                      string; a lone surrogate becomes U+FFFD
 *             | 0b length^ff magnitude^ff                 bigint below -(2^64 - 1): 9 to 255 bytes, big-endian
 *             | 0c … 13 magnitude^ff                      bigint, negative: 14 - n, then n = 8 … 1 bytes
 *             | 14                                        bigint 0
 *             | 15 … 1c magnitude                         bigint, positive: 14 + n, then n = 1 … 8 bytes
 *             | 1d length magnitude                       bigint above 2^64 - 1: 9 to 255 bytes
 *             | 21 double                                 number, big-endian; sign bit flipped if positive, all bits if not
 *             | 26 | 27                                   false, true
 *     escaped: 00 is written as 00 ff
 *     ["a", 1n]  is  02 61 00 | 15 01
 *
 * Pure functions for any thread (each thread has a scratch buffer of its own). Invariants:
 * 1. The bytes are Deno KV's, so a key travels to and from it untouched.
 * 2. `compareBytes` on two encoded keys is the order of the keys, and a key's encoding is a byte prefix of its children's.
 * 3. What `encodeKey` returns is a plain Uint8Array that nobody else holds; what `borrowKey` returns is the scratch.
 *
 * Does not limit the size of a key or refuse the empty one by itself: a read and a write have different limits.
 * @see Source: FoundationDB's tuple layer, as far as Deno KV uses it.
 */
import { KvTypeError } from "../errors.js";
import { KEY_BYTES_MAX, KEY_READ_BYTES_MAX } from "../limits.js";
import type { KvKey } from "./key-part.js";

export { decodeKey } from "./key-decoder.js";
export { countParts, hashBytes, hashPrefixes, partitionOf, sharedParts } from "./key-hash.js";
export type { KvKey, KvKeyPart } from "./key-part.js";

declare const encodedKeyBrand: unique symbol;

/** The bytes of a whole key. */
export type EncodedKey = Uint8Array & { readonly [encodedKeyBrand]: true };

/** Scratch that is kept between calls. A larger key is refused by every caller, so its memory is given back. */
const SCRATCH_BYTES = 8192;

/** Longer keys are not lent. A view takes 100 bytes. */
const BORROWED_LENGTHS_MAX = 512;

/** Longer strings are encoded by the binding, whose call costs as much as this many characters. */
const LOOP_CHARACTERS_MAX = 64;

const BIGINT_BYTES_MAX = 255;
const VERSIONSTAMP_DIGITS = 20;
const PART_STRING = 0x02;

let scratch = new Uint8Array(SCRATCH_BYTES);
let scratchText = Buffer.from(scratch.buffer);
let scratchView = new DataView(scratch.buffer);
/** The beginning of the scratch, by length; each made when it is first borrowed. */
let borrowed = noneBorrowed();

/**
 * The bytes of a key. Hot path: every call begins here; budget 150 ns for two short parts.
 *
 * @throws KvTypeError KV_INVALID_KEY when it is not an array, or a part is of another type, or a bigint is too large.
 */
export function encodeKey(key: KvKey): EncodedKey {
  return copyScratch(writeKey(key));
}

/**
 * The same, borrowed until the next key is encoded on this thread: for a read that is over before anything else can run. It makes
 * nothing, which is half of what `encodeKey` costs.
 */
export function borrowKey(key: KvKey): EncodedKey {
  const end = writeKey(key);
  if (end >= BORROWED_LENGTHS_MAX) return copyScratch(end);
  const known = borrowed[end];
  if (known !== undefined) return known;
  const bytes = scratch.subarray(0, end) as EncodedKey;
  borrowed[end] = bytes;
  return bytes;
}

/** The first bytes of the scratch, private. */
function copyScratch(end: number): EncodedKey {
  const bytes = scratch.slice(0, end);
  if (scratch.length > SCRATCH_BYTES) replaceScratch(new Uint8Array(SCRATCH_BYTES));
  return bytes as EncodedKey;
}

/** Writes a key into the scratch, and returns where it ends. */
function writeKey(key: KvKey): number {
  if (!Array.isArray(key)) {
    throw new KvTypeError(
      "KV_INVALID_KEY",
      `key must be an array of parts, found ${key === null ? "null" : typeof key}`,
    );
  }
  let end = 0;
  for (let index = 0; index < key.length; index++) end = writePart(end, key[index]);
  return end;
}

/**
 * The key that a commit gives to `prefix` + its own versionstamp: one more string part of 20 hex digits.
 */
export function appendVersionstampPart(prefix: Uint8Array, versionstampHex: string): EncodedKey {
  const bytes = new Uint8Array(prefix.length + VERSIONSTAMP_DIGITS + 2);
  bytes.set(prefix);
  bytes[prefix.length] = PART_STRING;
  for (let index = 0; index < VERSIONSTAMP_DIGITS; index++) {
    bytes[prefix.length + 1 + index] = versionstampHex.charCodeAt(index);
  }
  return bytes as EncodedKey;
}

/**
 * Refuses a key that can't be written.
 *
 * @throws KvTypeError KV_INVALID_KEY when it is empty, KV_LIMIT_EXCEEDED when it is too large.
 */
export function checkWriteKey(encoded: Uint8Array): void {
  if (encoded.length === 0) throw new KvTypeError("KV_INVALID_KEY", "key cannot be empty");
  checkWriteLength(encoded.length);
}

/** Half of {@link checkWriteKey}, for a key whose end is not known yet. */
export function checkWriteLength(bytes: number): void {
  if (bytes > KEY_BYTES_MAX) {
    throw new KvTypeError("KV_LIMIT_EXCEEDED", `Key too large for write (max ${KEY_BYTES_MAX} bytes)`);
  }
}

/**
 * Refuses a key that can't be read. The empty key can: nothing is there.
 *
 * @throws KvTypeError KV_LIMIT_EXCEEDED when it is too large.
 */
export function checkReadKey(encoded: Uint8Array): void {
  if (encoded.length > KEY_READ_BYTES_MAX) throw keyTooLargeToRead();
}

/**
 * Refuses a key under which nothing can be looked up: Deno reads the range up to the key's successor, and that has to be a readable key.
 *
 * @throws KvTypeError KV_LIMIT_EXCEEDED when it is too large.
 */
export function checkPointKey(encoded: Uint8Array): void {
  if (encoded.length >= KEY_READ_BYTES_MAX) throw keyTooLargeToRead();
}

/** Negative, zero or positive, as `a` sorts before, with or after `b`. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

function keyTooLargeToRead(): KvTypeError {
  return new KvTypeError("KV_LIMIT_EXCEEDED", `Key too large for read (max ${KEY_READ_BYTES_MAX} bytes)`);
}

/** Comparisons instead of a `switch`, which V8 would make a call of. */
function writePart(start: number, part: unknown): number {
  if (typeof part === "string") return writeString(start, part);
  if (typeof part === "number") return writeNumber(start, part);
  if (typeof part === "bigint") return writeBigint(start, part);
  if (typeof part === "boolean") {
    reserve(start + 1);
    scratch[start] = part ? 0x27 : 0x26;
    return start + 1;
  }
  if (ArrayBuffer.isView(part)) return writeView(start, part);
  throw new KvTypeError("KV_INVALID_KEY", "expected string, number, bigint, ArrayBufferView, boolean");
}

function writeString(start: number, text: string): number {
  const length = text.length;
  reserve(start + 2 * length + 2);
  scratch[start] = PART_STRING;
  if (length > LOOP_CHARACTERS_MAX) return writeLongString(start, text);
  let offset = start + 1;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return writeLongString(start, text);
    scratch[offset++] = code;
    if (code === 0) scratch[offset++] = 0xff;
  }
  scratch[offset] = 0;
  return offset + 1;
}

function writeLongString(start: number, text: string): number {
  // A character takes at most three bytes, and none of those is a zero that needs an escape unless it takes only one.
  reserve(start + 3 * text.length + 2);
  scratch[start] = PART_STRING;
  let end = start + 1 + scratchText.write(text, start + 1, "utf8");
  if (text.includes("\0")) end = escapeInPlace(start + 1, end);
  scratch[end] = 0;
  return end + 1;
}

/** Spreads `start` … `end` of the scratch so that every 00 is followed by ff, and returns the new end. */
function escapeInPlace(start: number, end: number): number {
  let zeroCount = 0;
  for (let offset = start; offset < end; offset++) if (scratch[offset] === 0) zeroCount++;
  let target = end + zeroCount;
  for (let source = end - 1; source >= start; source--) {
    const byte = scratch[source]!;
    if (byte === 0) scratch[--target] = 0xff;
    scratch[--target] = byte;
  }
  return end + zeroCount;
}

function writeView(start: number, view: ArrayBufferView): number {
  const bytes =
    view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const length = bytes.length;
  reserve(start + 2 * length + 2);
  scratch[start] = 0x01;
  let offset = start + 1;
  for (let index = 0; index < length; index++) {
    const byte = bytes[index]!;
    scratch[offset++] = byte;
    if (byte === 0) scratch[offset++] = 0xff;
  }
  scratch[offset] = 0;
  return offset + 1;
}

function writeNumber(start: number, value: number): number {
  reserve(start + 9);
  scratch[start] = 0x21;
  // One NaN for all: a foreign bit pattern, perhaps with its sign bit set, must not make a second key of it.
  scratchView.setFloat64(start + 1, Number.isNaN(value) ? Number.NaN : value);
  const flip = scratch[start + 1]! < 0x80 ? 0 : 0xff;
  scratch[start + 1]! ^= flip | 0x80;
  for (let offset = start + 2; offset < start + 9; offset++) scratch[offset]! ^= flip;
  return start + 9;
}

function writeBigint(start: number, value: bigint): number {
  const isNegative = value < 0n;
  const digits = (isNegative ? -value : value).toString(16);
  const length = value === 0n ? 0 : (digits.length + 1) >>> 1;
  if (length > BIGINT_BYTES_MAX) {
    throw new KvTypeError("KV_INVALID_KEY", "BigUint requires more than 255 bytes to be represented");
  }
  reserve(start + length + 2);
  const flip = isNegative ? 0xff : 0;
  let offset = start;
  if (length <= 8) {
    scratch[offset++] = isNegative ? 0x14 - length : 0x14 + length;
  } else {
    scratch[offset++] = isNegative ? 0x0b : 0x1d;
    scratch[offset++] = length ^ flip;
  }
  let digit = digits.length - 2 * length;
  for (const end = offset + length; offset < end; offset++, digit += 2) {
    scratch[offset] = Number.parseInt(digits.slice(Math.max(digit, 0), digit + 2), 16) ^ flip;
  }
  return offset;
}

/** Makes room for the bytes before `end`. */
function reserve(end: number): void {
  if (end <= scratch.length) return;
  const larger = new Uint8Array(2 * end);
  larger.set(scratch);
  replaceScratch(larger);
}

function replaceScratch(bytes: Uint8Array<ArrayBuffer>): void {
  scratch = bytes;
  scratchText = Buffer.from(bytes.buffer);
  scratchView = new DataView(bytes.buffer);
  borrowed = noneBorrowed();
}

function noneBorrowed(): (EncodedKey | undefined)[] {
  return new Array<undefined>(BORROWED_LENGTHS_MAX).fill(undefined);
}
