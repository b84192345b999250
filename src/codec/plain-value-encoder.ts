/**
 * Owns the fast way of a plain value to bytes: those that V8 itself would write (grammar: v8-format.ts).
 *
 * Why: a call of V8's serializer costs more than a microsecond before it has looked at the value, and most values are small
 * objects of texts and numbers. So the common ones are written here, and at the first sight of anything else the whole value
 * is given back to V8.
 *
 * Pure functions for any thread; the scratch is the thread's own. Invariants:
 * 1. Reading the bytes back gives what reading V8's own bytes would give.
 * 2. The bytes are V8's own, up to what only V8 can see: a number or text that it holds in a wider form than needed, and an
 *    array that once had holes.
 * 3. Bounded: at most SCRATCH_BYTES, DEPTH_MAX levels, OBJECTS_MAX objects and ARRAY_LENGTH_MAX elements an array. Larger
 *    values are V8's, which is faster there; an array of more objects is left to it before any has been written for nothing.
 * 4. An accessor may call back in here: the inner call leaves the scratch alone and goes to V8.
 */
import { types } from "node:util";
import { V8_VERSION } from "./native-serializer.js";
import { V8Tag } from "./v8-format.js";

const SCRATCH_BYTES = 32 * 1024;
/** Every value but text, bigint and key fits this many bytes. */
const SMALL_BYTES_MAX = 16;
const DEPTH_MAX = 16;
/** Each object is looked for among those before it, so more of them would take quadratic time. */
const OBJECTS_MAX = 64;
const ARRAY_LENGTH_MAX = 256;
/** Longer texts are written by the binding. It must stay below 128: its length is one byte then. */
const LOOP_CHARACTERS_MAX = 100;
/** Larger bigints are V8's: shifting them digit by digit takes quadratic time. */
const BIGINT_END = 1n << 512n;
const ARRAY_INDEX_MAX = 4294967294;

const scratch = new Uint8Array(SCRATCH_BYTES);
const scratchText = Buffer.from(scratch.buffer);
const scratchView = new DataView(scratch.buffer);
const NOT_LATIN1 = /[^\0-\xff]/;

/** Objects in the order in which they began: their place is their number. */
const objects: (object | null)[] = new Array<object | null>(OBJECTS_MAX).fill(null);
let objectCount = 0;
let end = 0;
let isBusy = false;

scratch[0] = V8Tag.version;
scratch[1] = V8_VERSION;

/** The bytes of a plain value, in memory of their own; `undefined` when V8 has to write it. */
export function encodePlainValue(value: unknown): Uint8Array | undefined {
  if (isBusy) return undefined;
  isBusy = true;
  end = 2;
  try {
    return writeValue(value, 0) ? scratch.slice(0, end) : undefined;
  } finally {
    for (let index = 0; index < objectCount; index++) objects[index] = null;
    objectCount = 0;
    isBusy = false;
  }
}

/** Every writer says whether it could: `false` ends the attempt. */
function writeValue(value: unknown, depth: number): boolean {
  if (end > SCRATCH_BYTES - SMALL_BYTES_MAX) return false;
  switch (typeof value) {
    case "string":
      return writeString(value);
    case "number":
      return writeNumber(value);
    case "boolean":
      return writeTag(value ? V8Tag.true : V8Tag.false);
    case "undefined":
      return writeTag(V8Tag.undefined);
    case "bigint":
      return writeBigint(value);
    case "object":
      return value === null ? writeTag(V8Tag.null) : writeObject(value, depth);
    default:
      return false;
  }
}

function writeTag(tag: number): boolean {
  scratch[end++] = tag;
  return true;
}

function writeNumber(value: number): boolean {
  if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
    scratch[end++] = V8Tag.int32;
    writeVarint(((value << 1) ^ (value >> 31)) >>> 0);
  } else {
    scratch[end++] = V8Tag.double;
    scratchView.setFloat64(end, value, true);
    end += 8;
  }
  return true;
}

function writeBigint(value: bigint): boolean {
  const isNegative = value < 0n;
  let magnitude = isNegative ? -value : value;
  if (magnitude >= BIGINT_END || end > SCRATCH_BYTES - 128) return false;
  scratch[end++] = V8Tag.bigint;
  // Its digits are at most 64 bytes, but 64 << 1 needs a second byte of length.
  const digits = countDigits(magnitude);
  writeVarint((digits << 4) | (isNegative ? 1 : 0));
  for (let digit = 0; digit < digits; digit++) {
    scratchView.setBigUint64(end, BigInt.asUintN(64, magnitude), true);
    magnitude >>= 64n;
    end += 8;
  }
  return true;
}

function countDigits(magnitude: bigint): number {
  let digits = 0;
  for (let rest = magnitude; rest > 0n; rest >>= 64n) digits++;
  return digits;
}

function writeString(text: string): boolean {
  const { length } = text;
  if (length > LOOP_CHARACTERS_MAX) return writeLongString(text);
  if (end + length > SCRATCH_BYTES - SMALL_BYTES_MAX) return false;
  scratch[end] = V8Tag.oneByteString;
  scratch[end + 1] = length;
  let offset = end + 2;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0xff) return writeTwoByteString(text);
    scratch[offset++] = code;
  }
  end = offset;
  return true;
}

function writeLongString(text: string): boolean {
  if (end + text.length > SCRATCH_BYTES - SMALL_BYTES_MAX) return false;
  if (NOT_LATIN1.test(text)) return writeTwoByteString(text);
  scratch[end++] = V8Tag.oneByteString;
  writeVarint(text.length);
  end += scratchText.write(text, end, "latin1");
  return true;
}

function writeTwoByteString(text: string): boolean {
  const byteLength = 2 * text.length;
  if (end + byteLength > SCRATCH_BYTES - SMALL_BYTES_MAX) return false;
  const lengthBytes = byteLength < 0x80 ? 1 : byteLength < 0x4000 ? 2 : 3;
  if (((end + 1 + lengthBytes) & 1) !== 0) scratch[end++] = V8Tag.padding;
  scratch[end++] = V8Tag.twoByteString;
  writeVarint(byteLength);
  end += scratchText.write(text, end, "utf16le");
  return true;
}

function writeObject(value: object, depth: number): boolean {
  for (let index = 0; index < objectCount; index++) {
    if (objects[index] !== value) continue;
    scratch[end++] = V8Tag.reference;
    writeVarint(index);
    return true;
  }
  if (depth >= DEPTH_MAX || objectCount >= OBJECTS_MAX || types.isProxy(value)) return false;
  objects[objectCount++] = value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Array.prototype) return Array.isArray(value) && writeArray(value, depth);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return writeProperties(value as Record<string, unknown>, prototype === null, depth);
}

function writeArray(array: readonly unknown[], depth: number): boolean {
  const { length } = array;
  // As many keys as elements, and no element missing: then no key is anything but an index.
  if (length >= OBJECTS_MAX && typeof array[0] === "object" && array[0] !== null) return false;
  if (length > ARRAY_LENGTH_MAX || Object.keys(array).length !== length) return false;
  scratch[end++] = V8Tag.beginDenseArray;
  writeVarint(length);
  for (let index = 0; index < length; index++) {
    const element = array[index];
    if (element === undefined && !(index in array)) return false;
    if (!writeValue(element, depth + 1)) return false;
  }
  if (array.length !== length || end > SCRATCH_BYTES - SMALL_BYTES_MAX) return false;
  scratch[end++] = V8Tag.endDenseArray;
  scratch[end++] = 0;
  writeVarint(length);
  return true;
}

function writeProperties(object: Record<string, unknown>, isBare: boolean, depth: number): boolean {
  const keys = Object.keys(object);
  if (isUnusual(object, keys, isBare)) return false;
  scratch[end++] = V8Tag.beginObject;
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index]!;
    if (!writeKey(key) || !writeValue(object[key], depth + 1)) return false;
  }
  if (end > SCRATCH_BYTES - SMALL_BYTES_MAX) return false;
  scratch[end++] = V8Tag.endObject;
  writeVarint(keys.length);
  return true;
}

/**
 * Whether an object only looks plain. V8 treats some things by their inside, whatever their prototype: `arguments` and a
 * boxed string begin with an index, a module has no prototype, and a Map in disguise has no keys.
 */
function isUnusual(object: object, keys: readonly string[], isBare: boolean): boolean {
  if (keys.length === 0) return true;
  if (isBare && types.isModuleNamespaceObject(object)) return true;
  if (!startsWithDigit(keys[0]!)) return false;
  return types.isArgumentsObject(object) || types.isBoxedPrimitive(object) || ArrayBuffer.isView(object);
}

function writeKey(key: string): boolean {
  if (end > SCRATCH_BYTES - SMALL_BYTES_MAX) return false;
  if (!startsWithDigit(key)) return writeString(key);
  const index = Number(key);
  const isIndex = index <= ARRAY_INDEX_MAX && Number.isInteger(index) && String(index) === key;
  return isIndex ? writeNumber(index) : writeString(key);
}

function startsWithDigit(key: string): boolean {
  const code = key.charCodeAt(0);
  return code >= 0x30 && code <= 0x39;
}

function writeVarint(value: number): void {
  let rest = value;
  while (rest > 0x7f) {
    scratch[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  scratch[end++] = rest;
}
