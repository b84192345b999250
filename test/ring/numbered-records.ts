/**
 * Owns the change records that the ring tests publish: every byte of record `n` follows from `n`, so a torn, lost or repeated record is seen
 * by comparing it with the true one. Runs in any thread.
 */
import { aligned } from "../../src/ring/ring-memory.js";

/** How the length of a record follows from its number: a range in bytes, at least 8. */
export interface Sizes {
  readonly min: number;
  readonly max: number;
}

/** Unpadded length of record `number`. */
export function recordLength(number: number, sizes: Sizes): number {
  return sizes.min + (mix(number) % (sizes.max - sizes.min + 1));
}

/** Records `from` up to but without `to`, each padded, as one block. */
export function recordBlock(from: number, to: number, sizes: Sizes): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let number = from; number < to; number += 1) parts.push(record(number, recordLength(number, sizes)));
  return concat(parts);
}

/** One padded record of the given unpadded length. */
export function record(number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(aligned(length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint32(4, number, true);
  const seed = mix(number);
  for (let at = 8; at < length; at += 1) bytes[at] = (seed >>> (at & 7)) + at;
  return bytes;
}

/** Numbers of the records in what a poll returned. Throws when one of them is not, byte for byte, the true record of its number. */
export function numbersIn(records: Uint8Array, sizes: Sizes): number[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const numbers: number[] = [];
  for (let at = 0; at < records.byteLength; ) {
    const number = view.getUint32(at + 4, true);
    const expected = record(number, recordLength(number, sizes));
    const found = records.subarray(at, at + expected.byteLength);
    if (Buffer.compare(found, expected) !== 0)
      throw new Error(`torn record ${number}: ${Buffer.from(found).toString("hex")}`);
    numbers.push(number);
    at += expected.byteLength;
  }
  return numbers;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A fixed scramble of a number into 32 bits. */
export function mix(number: number): number {
  let hash = Math.imul(number ^ 0x9e3779b9, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
