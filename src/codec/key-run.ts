/**
 * Owns the keys of a list, as they come: their parts, and their bytes for whoever wants to go on behind one of them.
 *
 * All keys of a range begin with what its bounds have in common. So that is decoded once; and of each key only the rest is kept, one behind
 * the other in one array, since a small array of its own costs more to make than its key to decode.
 *
 * Pure but for what it holds; lives for one batch of a list, on any thread. Invariants:
 * 1. The parts are those that `decodeKey` gives, in arrays that nobody else holds; byte parts are private as well.
 * 2. Bounded by what it is given: the bytes of the keys, and at most as much room for more.
 */
import { decodeKey, decodePart, partEnd } from "./key-decoder.js";
import { sharedParts } from "./key-hash.js";
import type { KvKeyPart } from "./key-part.js";
import type { KeyRange } from "./key-range.js";

const ROOM_BYTES = 1024;
const SHARED_PARTS_MAX = 2;
const NOTHING = new Uint8Array(0);

export class KeyRun {
  /** The parts with which every key of the range begins, at most two, and their bytes. */
  readonly #shared: readonly KvKeyPart[];
  readonly #sharedBytes: Uint8Array;
  /** The rest of each key, and where it ends. */
  #rests = new Uint8Array(ROOM_BYTES);
  readonly #ends: number[] = [];
  #end = 0;

  /** @param range Where all keys lie. */
  constructor(range: KeyRange) {
    this.#sharedBytes = sharedBytes(range);
    this.#shared = decodeKey(this.#sharedBytes);
  }

  /**
   * The parts of the next key, whose bytes are borrowed. Hot path: once for every entry of a list.
   *
   * @throws KvCorruptError KV_CORRUPT when the bytes are not a key.
   */
  decode(key: Uint8Array): KvKeyPart[] {
    const { length } = key;
    const start = this.#sharedBytes.length;
    let end = this.#end;
    if (end + length > this.#rests.length) this.#makeRoom(end + length);
    const rests = this.#rests;
    for (let offset = start; offset < length; offset++) rests[end++] = key[offset]!;
    this.#end = end;
    this.#ends.push(end);

    const shared = this.#shared;
    // A key of one part more than it shares is made in one piece: a list that grows by itself has room for 17.
    if (start < length) {
      const part = decodePart(key, start);
      if (partEnd() === length) {
        if (shared.length === 0) return [part];
        return shared.length === 1 ? [shared[0]!, part] : [shared[0]!, shared[1]!, part];
      }
    }
    const parts = shared.slice();
    for (let offset = start; offset < length; offset = partEnd()) parts.push(decodePart(key, offset));
    return parts;
  }

  /** The bytes of a key by its number, from 0; private. */
  bytesOf(index: number): Uint8Array {
    const start = index === 0 ? 0 : this.#ends[index - 1]!;
    const end = this.#ends[index]!;
    const shared = this.#sharedBytes;
    const bytes = new Uint8Array(shared.length + end - start);
    bytes.set(shared);
    bytes.set(this.#rests.subarray(start, end), shared.length);
    return bytes;
  }

  #makeRoom(bytesMin: number): void {
    const larger = new Uint8Array(2 * bytesMin);
    larger.set(this.#rests);
    this.#rests = larger;
  }
}

/** The bytes of the parts that all keys of the range begin with; without arrays, of which each key needs its own. */
function sharedBytes({ start, end }: KeyRange): Uint8Array {
  for (let depth = SHARED_PARTS_MAX; depth > 0; depth--) {
    const bytes = sharedParts(start, end, depth);
    if (bytes !== null && decodeKey(bytes).every((part) => typeof part !== "object")) return bytes.slice();
  }
  return NOTHING;
}
