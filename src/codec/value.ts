/**
 * Owns the way of a value to bytes and back.
 *
 *     V8    := the structured clone that V8 stores (v8-format.ts)
 *     LE64  := 8 bytes, little-endian (KvU64)
 *     BYTES := the bytes of a top-level Uint8Array, as they are
 *     true  is  V8, ff 0f 54
 *
 * Pure functions for any thread. Invariants:
 * 1. What can't be read back is refused when it is written, wherever it hides in the value.
 * 2. What `encodeValue` returns is private; what `decodeValue` returns shares no memory with the bytes, which are borrowed.
 * 3. No Buffer comes out: neither as encoded bytes nor within a value.
 * 4. The caller's value is never changed. An accessor in it may be evaluated more than once.
 *
 * Plain values take hand-written paths (plain-value-encoder.ts, plain-value-decoder.ts), all others V8's own.
 * Does not limit the length of a value: the caller does, by its limits.
 * @see Source: the structured clone that Deno KV stores; the encodings' numbers are KV Connect's.
 */
import { types } from "node:util";
import { KvCorruptError, KvTypeError } from "../errors.js";
import type { HostPayload } from "./host-value.js";
import { KvU64 } from "./kv-u64.js";
import { deserializeNatively, refuseSharedMemory, serializeNatively } from "./native-serializer.js";
import { decodePlainValue, NOT_PLAIN } from "./plain-value-decoder.js";
import { encodePlainValue } from "./plain-value-encoder.js";
import { type StorableValue, storableValue } from "./storable-value.js";

/** How the bytes of a value are to be read. KV Connect's numbers. */
export const Encoding = { V8: 1, LE64: 2, BYTES: 3 } as const;
export type Encoding = (typeof Encoding)[keyof typeof Encoding];

/** A value as it is stored. */
export type EncodedValue = { readonly encoding: Encoding; readonly bytes: Uint8Array };

/**
 * The bytes of a value. Hot path: once for every set; budget 1 µs for a small plain object.
 *
 * @throws KvTypeError KV_INVALID_VALUE when it, or something in it, could not be read back.
 */
export function encodeValue(value: unknown): EncodedValue {
  const encoded = encodeFast(value) ?? encodeWithV8(value, false);
  return encoded as EncodedValue;
}

/**
 * The same for values that may hold a Blob, whose bytes have to be waited for. It is all taken as it is at the call.
 *
 * @throws KvTypeError KV_INVALID_VALUE, always at the call.
 */
export function encodeAnyValue(value: unknown): EncodedValue | Promise<EncodedValue> {
  return encodeFast(value) ?? encodeWithV8(value, true);
}

/**
 * The value in the bytes from `start` on. Hot path: once for every read; budget 1 µs for a small plain object.
 *
 * @throws KvCorruptError KV_CORRUPT when they are not what `encodeValue` makes.
 */
export function decodeValue(encoding: number, bytes: Uint8Array, start = 0): unknown {
  switch (encoding) {
    case Encoding.V8: {
      const value = decodePlainValue(bytes, start);
      return value === NOT_PLAIN ? deserializeNatively(from(bytes, start)) : value;
    }
    case Encoding.LE64:
      return u64OfBytes(from(bytes, start));
    case Encoding.BYTES:
      return new Uint8Array(from(bytes, start));
    default:
      throw new KvCorruptError(`value has encoding ${encoding}, known are 1 to 3`);
  }
}

function from(bytes: Uint8Array, start: number): Uint8Array {
  return start === 0 ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset + start, bytes.length - start);
}

/** `undefined` for a value that V8 has to write. */
function encodeFast(value: unknown): EncodedValue | undefined {
  if (typeof value === "object" && value !== null) {
    if (types.isUint8Array(value)) return { encoding: Encoding.BYTES, bytes: copyOf(value) };
    if (KvU64.isKvU64(value)) return { encoding: Encoding.LE64, bytes: bytesOfU64(value.value) };
  }
  const bytes = encodePlainValue(value);
  return bytes && { encoding: Encoding.V8, bytes };
}

function encodeWithV8(value: unknown, mayWait: boolean): EncodedValue | Promise<EncodedValue> {
  try {
    const storable = storableValue(value);
    const isReady = ![...storable.payloads.values()].some((payload) => payload instanceof Promise);
    if (isReady) return v8Value(storable.value, storable.payloads as ReadonlyMap<object, HostPayload>);
    if (mayWait) return encodeLater(storable);
  } catch (error) {
    // V8 goes down one stack frame a level, and so does whoever reads the value.
    if (!(error instanceof RangeError) || !error.message.includes("call stack")) throw error;
    throw new KvTypeError("KV_INVALID_VALUE", "value is nested too deeply to be cloned");
  }
  throw new KvTypeError("KV_INVALID_VALUE", "#<Blob> could not be cloned.");
}

async function encodeLater({ value, payloads }: StorableValue): Promise<EncodedValue> {
  const read = [...payloads].map(async ([standIn, payload]) => [standIn, await payload] as const);
  return v8Value(value, new Map(await Promise.all(read)));
}

function v8Value(value: unknown, payloads: ReadonlyMap<object, HostPayload>): EncodedValue {
  const bytes = payloads.size === 0 ? serializeNatively(value) : serializeNatively(value, payloads);
  return { encoding: Encoding.V8, bytes };
}

function copyOf(value: Uint8Array): Uint8Array {
  if (types.isSharedArrayBuffer(value.buffer)) refuseSharedMemory();
  return new Uint8Array(value);
}

function bytesOfU64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

function u64OfBytes(bytes: Uint8Array): KvU64 {
  if (bytes.length !== 8) throw new KvCorruptError(`u64 value is ${bytes.length} bytes, not 8`);
  return new KvU64(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
}
