/**
 * Owns the way back from the bytes of a key to its parts (grammar: key.ts).
 *
 * Pure functions for any thread. Invariants:
 * 1. Total: bytes that `encodeKey` could not have made are a `KvCorruptError`, whatever they are. It never reads outside them.
 * 2. What is returned shares no memory with the bytes, which are borrowed, and byte parts are plain Uint8Arrays.
 */
import { KvCorruptError } from "../errors.js";
import { readLatin1 } from "./byte-text.js";
import type { KvKeyPart } from "./key-part.js";

/** A byte order mark is a character like any other, and bad UTF-8 is damage. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const float64 = new DataView(new ArrayBuffer(8));

/** Where the part that was read last ends. Valid until the next read. */
let lastEnd = 0;

/**
 * The parts of a key.
 *
 * @throws KvCorruptError KV_CORRUPT when the bytes are not a key.
 */
export function decodeKey(bytes: Uint8Array): KvKeyPart[] {
  const { length } = bytes;
  // Made in one piece as long as it is short: an array that grows by itself has room for 17.
  if (length === 0) return [];
  const first = decodePart(bytes, 0);
  if (lastEnd >= length) return [first];
  const second = decodePart(bytes, lastEnd);
  if (lastEnd >= length) return [first, second];
  const third = decodePart(bytes, lastEnd);
  const parts = [first, second, third];
  while (lastEnd < length) parts.push(decodePart(bytes, lastEnd));
  return parts;
}

/** Where the part that was decoded last ends. */
export function partEnd(): number {
  return lastEnd;
}

/**
 * One part of a key, which begins at `start`.
 *
 * @throws KvCorruptError KV_CORRUPT when the bytes are not a part.
 */
export function decodePart(bytes: Uint8Array, start: number): KvKeyPart {
  const code = bytes[start]!;
  switch (code) {
    case 0x01:
      return readBytes(bytes, start + 1);
    case 0x02:
      return readString(bytes, start + 1);
    case 0x0b:
      return readLargeBigint(bytes, start + 1, 0xff);
    case 0x1d:
      return readLargeBigint(bytes, start + 1, 0);
    case 0x21:
      return readNumber(bytes, start + 1);
    case 0x26:
    case 0x27:
      lastEnd = start + 1;
      return code === 0x27;
    default:
      if (code < 0x0c || code > 0x1c) throw malformed(`unknown part code ${code}`, start);
      return code < 0x14
        ? readBigint(bytes, start + 1, 0x14 - code, 0xff)
        : readBigint(bytes, start + 1, code - 0x14, 0);
  }
}

function readString(bytes: Uint8Array, start: number): string {
  let end = start;
  let union = 0;
  for (; end < bytes.length && bytes[end] !== 0; end++) union |= bytes[end]!;
  if (end < bytes.length && bytes[end + 1] !== 0xff && union < 0x80) {
    lastEnd = end + 1;
    return readLatin1(bytes, start, end);
  }
  const text = readBytes(bytes, start);
  try {
    return utf8.decode(text);
  } catch (cause) {
    throw new KvCorruptError(`key has a string part at byte ${start} that is not UTF-8`, { cause });
  }
}

function readBytes(bytes: Uint8Array, start: number): Uint8Array {
  const end = findEnd(bytes, start);
  const part = new Uint8Array(end - start);
  let length = 0;
  for (let offset = start; offset < end; offset++) {
    const byte = bytes[offset]!;
    part[length++] = byte;
    if (byte === 0) offset++;
  }
  lastEnd = end + 1;
  return length === part.length ? part : part.slice(0, length);
}

/** The offset of the 00 that ends a part, one that no ff follows. */
function findEnd(bytes: Uint8Array, start: number): number {
  for (let offset = start; offset < bytes.length; offset++) {
    if (bytes[offset] !== 0) continue;
    if (bytes[offset + 1] !== 0xff) return offset;
    offset++;
  }
  throw malformed("a part without an end", start);
}

function readNumber(bytes: Uint8Array, start: number): number {
  checkRoom(bytes, start, 8);
  const flip = bytes[start]! >= 0x80 ? 0 : 0xff;
  float64.setUint8(0, bytes[start]! ^ (flip === 0 ? 0x80 : 0xff));
  for (let index = 1; index < 8; index++) float64.setUint8(index, bytes[start + index]! ^ flip);
  lastEnd = start + 8;
  return float64.getFloat64(0);
}

function readLargeBigint(bytes: Uint8Array, start: number, flip: number): bigint {
  checkRoom(bytes, start, 1);
  const length = bytes[start]! ^ flip;
  if (length <= 8) throw malformed("a large bigint of too few bytes", start);
  return readBigint(bytes, start + 1, length, flip);
}

function readBigint(bytes: Uint8Array, start: number, length: number, flip: number): bigint {
  checkRoom(bytes, start, length);
  lastEnd = start + length;
  if (length === 0) return 0n;
  // A shorter form of the same number exists, so two different keys would look alike.
  if (bytes[start] === flip) throw malformed("a bigint with a leading zero", start);
  const magnitude = length <= 6 ? readSmall(bytes, start, length, flip) : readHex(bytes, start, length, flip);
  return flip === 0 ? magnitude : -magnitude;
}

function readSmall(bytes: Uint8Array, start: number, length: number, flip: number): bigint {
  let magnitude = 0;
  for (let index = 0; index < length; index++) magnitude = magnitude * 256 + (bytes[start + index]! ^ flip);
  return BigInt(magnitude);
}

function readHex(bytes: Uint8Array, start: number, length: number, flip: number): bigint {
  let digits = "0x";
  for (let index = 0; index < length; index++) {
    digits += (bytes[start + index]! ^ flip).toString(16).padStart(2, "0");
  }
  return BigInt(digits);
}

function checkRoom(bytes: Uint8Array, start: number, length: number): void {
  if (start + length > bytes.length) throw malformed(`a part that needs ${length} more bytes`, start);
}

function malformed(found: string, offset: number): KvCorruptError {
  return new KvCorruptError(`key is malformed: ${found} at byte ${offset}`);
}
