/**
 * Owns the fast way from bytes back to a plain value (grammar: v8-format.ts).
 *
 * Why: a call of V8's deserializer costs more than a microsecond before it has read the first tag. So the tags of plain values
 * are read here, and at the first other tag, or the first sign of damage, the whole is left to V8, which has the last word on
 * what is readable.
 *
 * A reference names an object by its place among all that began before it. Few values have one, so places are counted only in a second
 * pass, which the first reference asks for.
 *
 * Pure functions for any thread; the state below lives for one call. Invariants:
 * 1. The value is the one that V8 would give: own properties only, whatever `Object.prototype` has been made to hold.
 * 2. The bytes are borrowed, and the value shares no memory with them.
 * 3. Total: any bytes give a value or NOT_PLAIN. Nothing outside of them is read, and at most DEPTH_MAX levels are entered.
 */
import { readLatin1, readUtf16 } from "./byte-text.js";
import {
  expectedShape,
  learnShape,
  missShape,
  type ObjectShape,
  type ReadPosition,
  SHAPE_NAMES_MAX,
  type ShapeParts,
  slotOfShape,
} from "./object-shape.js";
import { V8_VERSION_MAX, V8_VERSION_PLAIN_MIN, V8Tag } from "./v8-format.js";

/** Says that V8 has to read the bytes. */
export const NOT_PLAIN: unique symbol = Symbol("not plain");

const DEPTH_MAX = 64;
const DIGIT_BYTES = 8;
/** Larger bigints are V8's: shifting them digit by digit takes quadratic time. */
const DIGITS_MAX = 8;

/** Names of properties repeat from value to value. A name that is found here is not made anew, and is quicker to store by. */
const NAMES_COUNT = 1024;
const NAME_BYTES_MAX = 24;
const names: string[] = new Array<string>(NAMES_COUNT).fill("");

const EMPTY = new Uint8Array(0);
const float64 = new Float64Array(1);
const float64Bytes = new Uint8Array(float64.buffer);
const bigints = new BigUint64Array(float64.buffer);

/** What is read, and how far. An object, so that the functions of shapes can have it too. */
const at: ReadPosition = { bytes: EMPTY, offset: 0 };
/** What began so far, in order: a reference names its place. `null` in the first pass, which does not keep it. */
let objects: object[] | null = null;
let hasReference = false;
const OWN_PROPERTY = { configurable: true, enumerable: true, writable: true };

/** The value in the bytes from `start` on, or NOT_PLAIN. */
export function decodePlainValue(source: Uint8Array, start = 0): unknown {
  const version = source[start + 1]!;
  if (source[start] !== V8Tag.version || version < V8_VERSION_PLAIN_MIN || version > V8_VERSION_MAX) {
    return NOT_PLAIN;
  }
  at.bytes = source;
  at.offset = start + 2;
  hasReference = false;
  const value = readValue(0);
  const found = hasReference ? readAgain(start + 2) : value;
  at.bytes = EMPTY;
  return found;
}

/** The second pass. */
function readAgain(start: number): unknown {
  objects = [];
  at.offset = start;
  const value = readValue(0);
  objects = null;
  return value;
}

function readValue(depth: number): unknown {
  let tag = at.bytes[at.offset++];
  while (tag === V8Tag.padding) tag = at.bytes[at.offset++];
  switch (tag) {
    case V8Tag.oneByteString:
      return readOneByteString();
    case V8Tag.int32:
      return readInt32();
    case V8Tag.beginObject:
      return depth < DEPTH_MAX ? readObject(depth) : NOT_PLAIN;
    case V8Tag.double:
      return loadDigit() ? float64[0] : NOT_PLAIN;
    case V8Tag.true:
      return true;
    case V8Tag.false:
      return false;
    case V8Tag.null:
      return null;
    case V8Tag.undefined:
      return undefined;
    case V8Tag.beginDenseArray:
      return depth < DEPTH_MAX ? readDenseArray(depth) : NOT_PLAIN;
    case V8Tag.twoByteString:
      return readTwoByteString();
    case V8Tag.bigint:
      return readBigint();
    case V8Tag.reference:
      return readReference();
    default:
      return NOT_PLAIN;
  }
}

function readInt32(): unknown {
  const zigzag = readVarint();
  return zigzag < 0 ? NOT_PLAIN : (zigzag >>> 1) ^ -(zigzag & 1);
}

function readOneByteString(): unknown {
  const length = readVarint();
  const start = at.offset;
  if (!step(length)) return NOT_PLAIN;
  return readLatin1(at.bytes, start, at.offset);
}

function readTwoByteString(): unknown {
  const length = readVarint();
  const start = at.offset;
  if (!step(length) || (length & 1) !== 0) return NOT_PLAIN;
  return readUtf16(at.bytes, start, at.offset);
}

function readBigint(): unknown {
  const header = readVarint();
  const length = header >>> 1;
  if (length % DIGIT_BYTES !== 0 || length > DIGITS_MAX * DIGIT_BYTES) return NOT_PLAIN;
  // An unreadable header, and a negative zero, which is damage.
  if (header < 0 || header === 1) return NOT_PLAIN;
  let magnitude = 0n;
  for (let shift = 0n; shift < BigInt(8 * length); shift += 64n) {
    if (!loadDigit()) return NOT_PLAIN;
    magnitude |= bigints[0]! << shift;
  }
  return (header & 1) === 0 ? magnitude : -magnitude;
}

function readReference(): unknown {
  hasReference = true;
  return objects?.[readVarint()] ?? NOT_PLAIN;
}

function readObject(depth: number): unknown {
  if (objects !== null) return readNamed(depth, null);
  const slot = slotOfShape(at.bytes, at.offset);
  const shape = expectedShape(slot);
  return shape === undefined ? readNamed(depth, slot) : shape.read(depth);
}

/** An object of any names. */
function readNamed(depth: number, slot: number | null): unknown {
  const object: Record<string, unknown> = {};
  objects?.push(object);
  const count = readProperties(object, 0, depth);
  if (slot !== null && count > 0 && count <= SHAPE_NAMES_MAX)
    learnShape(slot, Object.keys(object), SHAPE_PARTS);
  return count < 0 ? NOT_PLAIN : object;
}

/** An object that was expected to have the names of others before it, and has from here on others: the rest is read by its own. */
function readOther(shape: ObjectShape, values: readonly unknown[], depth: number): unknown {
  missShape(shape);
  const object = {};
  for (let index = 0; index < values.length; index++)
    storeProperty(object, shape.names[index]!, values[index]);
  return readProperties(object, values.length, depth) < 0 ? NOT_PLAIN : object;
}

const SHAPE_PARTS: ShapeParts = { at, readValue, readOther, notPlain: NOT_PLAIN };

/** Reads properties up to the end of an object that has `count` of them, and returns how many it has then; -1 when that can't be. */
function readProperties(object: object, count: number, depth: number): number {
  let found = count;
  while (at.bytes[at.offset] !== V8Tag.endObject) {
    const key = readKey();
    if (key === NOT_PLAIN) return -1;
    const value = readValue(depth + 1);
    if (value === NOT_PLAIN) return -1;
    storeProperty(object, key as string, value);
    found++;
  }
  at.offset++;
  return readVarint() === found ? found : -1;
}

/** What is inherited can't be trusted to let an assignment through: `__proto__` is a setter, a frozen prototype refuses. */
function storeProperty(object: object, key: string, value: unknown): void {
  if (key in object) Object.defineProperty(object, key, { ...OWN_PROPERTY, value });
  else (object as Record<string, unknown>)[key] = value;
}

function readDenseArray(depth: number): unknown {
  const length = readVarint();
  // Every element takes a byte or more, so a length beyond the bytes is damage; it must not cost memory first.
  if (length < 0 || length > at.bytes.length - at.offset) return NOT_PLAIN;
  const array: unknown[] = [];
  objects?.push(array);
  for (let index = 0; index < length; index++) {
    const value = readValue(depth + 1);
    if (value === NOT_PLAIN) return NOT_PLAIN;
    array.push(value);
  }
  if (at.bytes[at.offset++] !== V8Tag.endDenseArray) return NOT_PLAIN;
  return readVarint() === 0 && readVarint() === length ? array : NOT_PLAIN;
}

/** A property's name; a number stands for itself, since storing by it gives the same name. */
function readKey(): unknown {
  let tag = at.bytes[at.offset++];
  while (tag === V8Tag.padding) tag = at.bytes[at.offset++];
  switch (tag) {
    case V8Tag.oneByteString:
      return readName();
    case V8Tag.twoByteString:
      return readTwoByteString();
    case V8Tag.int32:
      return readInt32();
    case V8Tag.double:
      return loadDigit() ? float64[0] : NOT_PLAIN;
    default:
      return NOT_PLAIN;
  }
}

function readName(): unknown {
  const length = readVarint();
  const start = at.offset;
  if (!step(length)) return NOT_PLAIN;
  if (length > NAME_BYTES_MAX) return readLatin1(at.bytes, start, at.offset);
  let hash = length;
  for (let index = start; index < at.offset; index++) hash = (Math.imul(hash, 31) + at.bytes[index]!) | 0;
  const slot = (hash ^ (hash >>> 10)) & (NAMES_COUNT - 1);
  const known = names[slot]!;
  if (isName(known, start, length)) return known;
  const name = readLatin1(at.bytes, start, at.offset);
  names[slot] = name;
  return name;
}

function isName(known: string, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let index = 0; index < length; index++) {
    if (known.charCodeAt(index) !== at.bytes[start + index]) return false;
  }
  return true;
}

/** Takes 8 bytes as a double and as a bigint's digit; `false` when there are fewer. */
function loadDigit(): boolean {
  if (at.bytes.length - at.offset < DIGIT_BYTES) return false;
  const { bytes, offset } = at;
  for (let index = 0; index < DIGIT_BYTES; index++) float64Bytes[index] = bytes[offset + index]!;
  at.offset = offset + DIGIT_BYTES;
  return true;
}

/** Steps over `length` bytes; `false` when there are fewer, or the length itself could not be read. */
function step(length: number): boolean {
  if (length < 0 || length > at.bytes.length - at.offset) return false;
  at.offset += length;
  return true;
}

/** The next varint of up to 32 bits, or -1. Most have one byte. */
function readVarint(): number {
  const byte = at.bytes[at.offset];
  if (byte === undefined || byte >= 0x80) return readLongVarint();
  at.offset++;
  return byte;
}

function readLongVarint(): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = at.bytes[at.offset++];
    if (byte === undefined) return -1;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value >>> 0;
  }
  return -1;
}
