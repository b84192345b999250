/**
 * Owns who watches single keys: a hash table in which a look-up touches as little memory as can be. Runs in the thread that delivers.
 *
 * With thousands of watchers nothing of them is in the processor's cache when a change comes for one, so a look-up costs as many misses as
 * it touches objects. A Map of buckets of nodes with byte arrays makes ten of them. Here there are the hash, in an array of numbers, and beside it
 * the node with the key as text; a key that nobody watches costs the first alone.
 *
 * Invariants:
 * 1. From the slot that a node's hash names up to the slot where it stands no slot is empty. (Open addressing; a removal closes the gap.)
 * 2. At most half of the slots are taken. So every search ends, and most end at once.
 * 3. Hashes choose the slot, bytes decide: two keys with one hash are two nodes.
 */
import type { Seats } from "./seats.js";

/** All watchers of one key. */
export interface KeyNode<S> extends Seats<S> {
  readonly kind: "key";
  /** Never {@link EMPTY}. Signed, since V8 keeps a number of 31 bits and a sign without memory of its own. */
  readonly hash: number;
  /** The bytes of the key, each a character: a fifth of the memory of an array of bytes. */
  readonly text: string;
}

/** What a look-up has to know of a key. */
export interface KeyBytes {
  /** Whether the bytes of the key are these characters. */
  hasKeyText(text: string): boolean;
}

const SLOTS_MIN = 16;
/** Stands for an empty slot; a key's hash of 0 is taken for another one. */
const EMPTY = 0;
const INSTEAD_OF_EMPTY = 1;

export class KeyTable<S> {
  #hashes = new Int32Array(SLOTS_MIN);
  #nodes: (KeyNode<S> | undefined)[] = emptySlots(SLOTS_MIN);
  #mask = SLOTS_MIN - 1;
  #count = 0;

  /** Number of different keys. */
  get count(): number {
    return this.#count;
  }

  /** Whether there is a key of this hash. Hot path: it touches one number. */
  hasHash(hash: number): boolean {
    const wanted = signed(hash);
    const mask = this.#mask;
    for (let slot = wanted & mask; ; slot = (slot + 1) & mask) {
      const found = this.#hashes[slot]!;
      if (found === EMPTY || found === wanted) return found === wanted;
    }
  }

  /** Hot path: for a key that nobody watches it touches one number. */
  find(hash: number, key: KeyBytes): KeyNode<S> | undefined {
    const wanted = signed(hash);
    const mask = this.#mask;
    for (let slot = wanted & mask; ; slot = (slot + 1) & mask) {
      const found = this.#hashes[slot]!;
      if (found === EMPTY) return undefined;
      if (found !== wanted) continue;
      const node = this.#nodes[slot]!;
      if (key.hasKeyText(node.text)) return node;
    }
  }

  /**
   * Of each of the first `count` hashes, the node in its first slot, if that has the hash: nearly always the one that `find` will find. Returns how
   * many were put into `nodes`. Nothing depends on the one before it, so the misses of all of them are waited for together.
   */
  glance(hashes: Uint32Array, count: number, nodes: (KeyNode<S> | undefined)[]): number {
    let found = 0;
    for (let index = 0; index < count; index++) {
      const wanted = signed(hashes[index]!);
      const slot = wanted & this.#mask;
      if (this.#hashes[slot] === wanted) nodes[found++] = this.#nodes[slot];
    }
    return found;
  }

  /** The key's node, made where it is missing. */
  obtain(unsigned: number, text: string): KeyNode<S> {
    const hash = signed(unsigned);
    const slot = this.#slotOf(hash, text);
    const known = this.#nodes[slot];
    if (known !== undefined) return known;
    const node: KeyNode<S> = { kind: "key", hash, text, seats: undefined };
    this.#put(slot, node);
    this.#count++;
    if (this.#count * 2 > this.#slots) this.#resize(this.#slots * 2);
    return node;
  }

  /** Forgets a key, if it is there. */
  remove({ hash, text }: KeyNode<S>): void {
    const slot = this.#slotOf(hash, text);
    if (this.#nodes[slot] === undefined) return;
    this.#closeGap(slot);
    this.#count--;
    if (this.#slots > SLOTS_MIN && this.#count * 8 < this.#slots) this.#resize(this.#slots / 2);
  }

  get #slots(): number {
    return this.#mask + 1;
  }

  /** Where the key stands, or the empty slot where it belongs. */
  #slotOf(hash: number, text: string): number {
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const found = this.#hashes[slot];
      if (found === EMPTY || (found === hash && this.#nodes[slot]!.text === text)) return slot;
    }
  }

  #put(slot: number, node: KeyNode<S>): void {
    this.#hashes[slot] = node.hash;
    this.#nodes[slot] = node;
  }

  /** Moves into the gap the next node that would not be found behind it, and so on with the gap that this makes. */
  #closeGap(at: number): void {
    const mask = this.#mask;
    let gap = at;
    for (let slot = (gap + 1) & mask; this.#hashes[slot] !== EMPTY; slot = (slot + 1) & mask) {
      const node = this.#nodes[slot]!;
      const isBehindItsSlot = ((gap - node.hash) & mask) <= ((slot - node.hash) & mask);
      if (!isBehindItsSlot) continue;
      this.#put(gap, node);
      gap = slot;
    }
    this.#hashes[gap] = EMPTY;
    this.#nodes[gap] = undefined;
  }

  #resize(slots: number): void {
    const nodes = this.#nodes;
    this.#hashes = new Int32Array(slots);
    this.#nodes = emptySlots(slots);
    this.#mask = slots - 1;
    for (const node of nodes) if (node !== undefined) this.#put(this.#slotOf(node.hash, node.text), node);
  }
}

function signed(hash: number): number {
  return hash | 0 || INSTEAD_OF_EMPTY;
}

function emptySlots<T>(count: number): (T | undefined)[] {
  return new Array<T | undefined>(count).fill(undefined);
}
