/**
 * Owns unaligned little-endian numbers and short byte copies in any `Uint8Array`, shared memory included.
 *
 * Pure functions for any thread. Reads are not bounds-checked: the caller has compared the offset with the length first.
 * Hot path: byte stores keep commit frames free of a `DataView` for every request.
 */

/** Below this many bytes a loop is faster than `set`, which has a fixed cost of tens of nanoseconds. */
const LOOP_BYTES_MAX = 48;

const float64 = new Float64Array(1);
const float64Bytes = new Uint8Array(float64.buffer);

/** Stores 16 bits. */
export function putU16(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value;
  target[offset + 1] = value >>> 8;
}

/** Stores 32 bits. */
export function putU32(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value;
  target[offset + 1] = value >>> 8;
  target[offset + 2] = value >>> 16;
  target[offset + 3] = value >>> 24;
}

/** Stores a double. */
export function putF64(target: Uint8Array, offset: number, value: number): void {
  float64[0] = value;
  for (let index = 0; index < 8; index++) target[offset + index] = float64Bytes[index]!;
}

/** Loads 16 bits. */
export function getU16(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | (bytes[offset + 1]! << 8);
}

/** Loads 32 bits, unsigned. */
export function getU32(bytes: Uint8Array, offset: number): number {
  return (getU16(bytes, offset) | (getU16(bytes, offset + 2) << 16)) >>> 0;
}

/** Loads a double. */
export function getF64(bytes: Uint8Array, offset: number): number {
  for (let index = 0; index < 8; index++) float64Bytes[index] = bytes[offset + index]!;
  return float64[0]!;
}

/** Copies `source` into `target` and returns the offset after it. */
export function putBytes(target: Uint8Array, offset: number, source: Uint8Array): number {
  const length = source.length;
  if (length > LOOP_BYTES_MAX) {
    target.set(source, offset);
  } else {
    for (let index = 0; index < length; index++) target[offset + index] = source[index]!;
  }
  return offset + length;
}
