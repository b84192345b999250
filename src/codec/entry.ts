/**
 * Owns what LMDB stores under a key.
 *
 *     entry := encoding (u8) 0 (u8) versionstamp (10 bytes) expiresAtMs (f64, big-endian; 0 = never) value (the rest)
 *     true, stamp 1/0, never expiring   is   01 00 | 00000000000000010000 | 0000000000000000 | ff 0f 54
 *
 * Pure functions for any thread. Invariants:
 * 1. An entry has at least ENTRY_HEADER_BYTES; every reader checks it.
 * 2. Readers borrow the bytes: what `entryValue` gives is good for as long as they are.
 *
 * Does not decode the value: value.ts does.
 */
import { KvCorruptError } from "../errors.js";
import { putBytes } from "./little-endian.js";
import {
  readVersionstamp,
  VERSIONSTAMP_BYTES,
  type Versionstamp,
  writeVersionstamp,
} from "./versionstamp.js";

const ENCODING_OFFSET = 0;
const VERSIONSTAMP_OFFSET = 2;
const EXPIRES_OFFSET = VERSIONSTAMP_OFFSET + VERSIONSTAMP_BYTES;

/** Bytes before the value. */
export const ENTRY_HEADER_BYTES = EXPIRES_OFFSET + 8;

/** What an entry says beside its value. */
export type EntryHeader = {
  readonly encoding: number;
  readonly counter: number;
  readonly order: number;
  /** Milliseconds since 1970; 0 = never. */
  readonly expiresAtMs: number;
};

const float64 = new DataView(new ArrayBuffer(8));

/** The bytes of an entry, in memory of their own. */
export function encodeEntry(header: EntryHeader, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ENTRY_HEADER_BYTES + value.length);
  writeEntry(bytes, header, value);
  return bytes;
}

/** Writes an entry to the start of `target` and returns where it ends. Hot path: once for every set. */
export function writeEntry(target: Uint8Array, header: EntryHeader, value: Uint8Array): number {
  target[ENCODING_OFFSET] = header.encoding;
  target[ENCODING_OFFSET + 1] = 0;
  writeVersionstamp(target, VERSIONSTAMP_OFFSET, header.counter, header.order);
  float64.setFloat64(0, header.expiresAtMs);
  for (let index = 0; index < 8; index++) target[EXPIRES_OFFSET + index] = float64.getUint8(index);
  return putBytes(target, ENTRY_HEADER_BYTES, value);
}

/** The encoding of the value. */
export function entryEncoding(bytes: Uint8Array): number {
  checkHeader(bytes);
  return bytes[ENCODING_OFFSET]!;
}

/** When the entry ends, in milliseconds since 1970; 0 = never. */
export function entryExpiresAtMs(bytes: Uint8Array): number {
  checkHeader(bytes);
  // The first byte of a double is zero only for 0 and for fractions below 1e-300: most entries end here.
  if (bytes[EXPIRES_OFFSET] === 0) return 0;
  for (let index = 0; index < 8; index++) float64.setUint8(index, bytes[EXPIRES_OFFSET + index]!);
  return float64.getFloat64(0);
}

/** The versionstamp of the commit that wrote the entry. */
export function entryVersionstamp(bytes: Uint8Array): Versionstamp {
  checkHeader(bytes);
  return readVersionstamp(bytes, VERSIONSTAMP_OFFSET);
}

/** The value, as a view of `bytes` that is never a Buffer. */
export function entryValue(bytes: Uint8Array): Uint8Array {
  checkHeader(bytes);
  return new Uint8Array(
    bytes.buffer,
    bytes.byteOffset + ENTRY_HEADER_BYTES,
    bytes.length - ENTRY_HEADER_BYTES,
  );
}

/** Whether the entry has ended at `nowMs`. */
export function isExpired(bytes: Uint8Array, nowMs: number): boolean {
  const expiresAtMs = entryExpiresAtMs(bytes);
  return expiresAtMs !== 0 && expiresAtMs <= nowMs;
}

function checkHeader(bytes: Uint8Array): void {
  if (bytes.length < ENTRY_HEADER_BYTES) {
    throw new KvCorruptError(`entry is ${bytes.length} bytes, its header alone is ${ENTRY_HEADER_BYTES}`);
  }
}
