/**
 * Owns the hash of a key's leading parts: it chooses the shard of a key and finds the watchers of a change.
 *
 *     hash(bytes) := fmix32(FNV-1a-32(bytes))          FNV mixes byte by byte, so one walk gives every prefix;
 *                                                      murmur's finaliser spreads it, so `mod N` is even
 *
 * Pure functions for any thread. Invariants:
 * 1. The hash never changes: stores on disk are laid out by it. The tests pin it.
 * 2. `hashBytes(encodeKey(prefix))` is the hash that `hashPrefixes` gives for that prefix of any key under it.
 * 3. Total: malformed bytes give some hash and some count, and are never read past their end.
 */
import { PREFIX_DEPTH_MAX } from "../limits.js";

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * Writes the hashes of the first part, of the first two, and so on, and returns how many. Hot path: once for every change.
 *
 * At most PREFIX_DEPTH_MAX, and at most as many as `out` holds.
 */
export function hashPrefixes(encoded: Uint8Array, out: Uint32Array): number {
  const countMax = Math.min(out.length, PREFIX_DEPTH_MAX);
  let hash = FNV_OFFSET;
  let offset = 0;
  let count = 0;
  while (count < countMax && offset < encoded.length) {
    const end = partEnd(encoded, offset);
    for (; offset < end; offset++) hash = Math.imul(hash ^ encoded[offset]!, FNV_PRIME);
    out[count++] = finalise(hash);
  }
  return count;
}

/** The hash of all the bytes. */
export function hashBytes(bytes: Uint8Array): number {
  return hashRange(bytes, bytes.length);
}

/**
 * The shard of a key: the hash of its first `depth` parts (or all, if it has fewer) modulo `shardCount`.
 *
 * The empty key, which holds nothing, belongs to shard 0.
 */
export function partitionOf(encoded: Uint8Array, depth: number, shardCount: number): number {
  if (encoded.length === 0) return 0;
  let end = 0;
  for (let part = 0; part < depth && end < encoded.length; part++) end = partEnd(encoded, end);
  return hashRange(encoded, end) % shardCount;
}

/** How many parts a key has. */
export function countParts(encoded: Uint8Array): number {
  let count = 0;
  for (let offset = 0; offset < encoded.length; count++) offset = partEnd(encoded, offset);
  return count;
}

/**
 * The first `depth` parts of every key from `start` (inclusive) to `end` (exclusive), if they all have the same ones; else `null`.
 *
 * All of them do when `start` has so many whole parts, P, and `end` is at most P ff, behind which no key under P stands.
 */
export function sharedParts(start: Uint8Array, end: Uint8Array, depth: number): Uint8Array | null {
  let length = 0;
  for (let part = 0; part < depth; part++) {
    if (length >= start.length || !isPartCode(start[length]!)) return null;
    length = partEnd(start, length);
  }
  for (let offset = 0; offset < length; offset++) if (start[offset] !== end[offset]) return null;
  const isUnder = end[length] !== 0xff || end.length === length + 1;
  return isUnder ? start.subarray(0, length) : null;
}

function isPartCode(code: number): boolean {
  return (
    code === 0x01 ||
    code === 0x02 ||
    (code >= 0x0b && code <= 0x1d) ||
    code === 0x21 ||
    code === 0x26 ||
    code === 0x27
  );
}

function hashRange(bytes: Uint8Array, end: number): number {
  let hash = FNV_OFFSET;
  for (let offset = 0; offset < end; offset++) hash = Math.imul(hash ^ bytes[offset]!, FNV_PRIME);
  return finalise(hash);
}

function finalise(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Where the part at `start` ends; the end of the bytes when they are malformed. */
function partEnd(bytes: Uint8Array, start: number): number {
  const code = bytes[start]!;
  let end: number;
  if (code === 0x01 || code === 0x02) {
    end = start + 1;
    while (end < bytes.length && (bytes[end] !== 0 || bytes[end + 1] === 0xff)) {
      end += bytes[end] === 0 ? 2 : 1;
    }
    end++;
  } else if (code === 0x21) {
    end = start + 9;
  } else if (code >= 0x0c && code <= 0x1c) {
    end = start + 1 + Math.abs(code - 0x14);
  } else if (code === 0x0b || code === 0x1d) {
    const length = bytes[start + 1] ?? 0;
    end = start + 2 + (code === 0x0b ? length ^ 0xff : length);
  } else {
    end = code === 0x26 || code === 0x27 ? start + 1 : bytes.length;
  }
  return Math.min(end, bytes.length);
}
