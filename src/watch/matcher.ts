/**
 * Owns who wants which keys. Runs in the thread that delivers.
 *
 * The naive way asks every watcher about every change. Here a change asks for its watchers: its record carries the hash of each
 * prefix of its key, so exact keys are one look-up (`key-table.ts`) and prefixes one for each part of the key, however many watchers there
 * are. A hash leads to a few nodes, which are told apart by their bytes: two prefixes with one hash are two nodes.
 *
 * Invariants:
 * 1. A watcher is visited at most once for a change, however many of its selectors want it.
 * 2. Watchers may be added and removed while others are visited: a removed one is not visited any more, and an added one not yet.
 * 3. A node without watchers is in no map or table. Adding and removing cost the watcher's own selectors.
 * 4. A prefix selects strictly longer keys. Bytes alone do not say where a part ends: `["a"]` begins the bytes of `["a\0b"]`, where
 *    its terminator 0x00 is the first half of an escape. The byte behind a prefix is 0xFF then, which no part begins with.
 *
 * Prefixes deeper than the hashes of a record stand in a list of their own and are compared one by one. Ranges stand in an interval
 * tree, patterns in a tree of parts: see `range-index.ts` and `pattern-trie.ts`.
 */
import { readLatin1 } from "../codec/byte-text.js";
import { countParts, type EncodedKey, hashBytes } from "../codec/key.js";
import { PREFIX_DEPTH_MAX } from "../limits.js";
import { type KeyBytes, type KeyNode, KeyTable } from "./key-table.js";
import { type PatternParts, PatternTrie } from "./pattern-trie.js";
import { RangeIndex } from "./range-index.js";
import { addSeat, removeSeat, type Seats, type Visitable, visitSeats } from "./seats.js";

/** What is watched: one key, all keys strictly below a prefix, a range of keys, or the keys that fit a pattern. */
export type EncodedSelector =
  | { readonly kind: "key"; readonly bytes: EncodedKey; readonly text?: string }
  | { readonly kind: "prefix"; readonly bytes: EncodedKey }
  | { readonly kind: "range"; readonly start: Uint8Array; readonly end: Uint8Array }
  | { readonly kind: "pattern"; readonly parts: PatternParts };

/** What the matcher has to know of a change record. */
export interface MatchableRecord extends KeyBytes {
  readonly key: Uint8Array;
  readonly hashCount: number;
  hash(index: number): number;
}

/**
 * A watcher, with what the matcher keeps of it, and nobody else changes. All seats of a matcher are made in one place and one way, not with a
 * spread: copies of one object have different hidden classes in V8, and each visit of such a seat costs a microsecond.
 */
export interface MatcherSeat<S> extends Visitable {
  /** Under what it sits: one selector, as nearly every watcher has, or several; `undefined` at first. */
  place: SelectorNode<S> | readonly SelectorNode<S>[] | undefined;
}

interface PrefixNode<S> extends Seats<S> {
  readonly kind: "prefix";
  readonly nodes: PrefixMap<S>;
  readonly hash: number;
  readonly depth: number;
  readonly bytes: Uint8Array;
}

interface RangeSeats<S> extends Seats<S> {
  readonly kind: "range";
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

interface PatternSeats<S> extends Seats<S> {
  readonly kind: "pattern";
  readonly parts: PatternParts;
}

type SelectorNode<S> = KeyNode<S> | PrefixNode<S> | RangeSeats<S> | PatternSeats<S>;

type PrefixMap<S> = Map<number, PrefixNode<S>[]>;

/** From so many keys on their nodes are not in the processor's cache when a change comes for one. */
const COLD_KEYS_MIN = 2000;
/** Records that are looked at together. Enough for all misses that a processor can have under way. */
const AHEAD_RECORDS = 64;

/** The one bucket of the map of deep prefixes. */
const DEEP_HASH = 0;

export class Matcher<S extends MatcherSeat<S>> {
  readonly #hashBytes: (bytes: Uint8Array) => number;
  readonly #keys = new KeyTable<S>();
  readonly #prefixes: PrefixMap<S> = new Map();
  readonly #deepPrefixes: PrefixMap<S> = new Map();
  readonly #ranges = new RangeIndex<RangeSeats<S>>();
  readonly #patterns = new PatternTrie<PatternSeats<S>>();
  #visit = 0;
  readonly #aheadHashes = new Uint32Array(AHEAD_RECORDS);
  readonly #aheadNodes: (KeyNode<S> | undefined)[] = new Array(AHEAD_RECORDS).fill(undefined);
  readonly #aheadSeats: (S | undefined)[] = new Array(AHEAD_RECORDS).fill(undefined);
  /** What `lookAhead` has read. It means nothing, and keeps the reading from being left out. */
  #seenAhead = 0;

  /** @param hash The hash that the records carry. Only a test has a reason to choose it. */
  constructor(hash: (bytes: Uint8Array) => number = hashBytes) {
    this.#hashBytes = hash;
  }

  /** Seats a watcher, which no matcher has, under all its selectors. The same selector may come twice. */
  add(seat: S, selectors: Iterable<EncodedSelector>): void {
    const nodes: SelectorNode<S>[] = [];
    seat.visit = this.#visit;
    for (const selector of selectors) {
      const node = this.#nodeOf(selector);
      addSeat(node, seat);
      nodes.push(node);
    }
    seat.place = nodes.length === 1 ? nodes[0] : nodes;
  }

  /** Takes a watcher away. Doing it twice does nothing. */
  remove(seat: S): void {
    const { place } = seat;
    seat.place = undefined;
    if (place === undefined) return;
    for (const node of Array.isArray(place) ? place : [place]) if (removeSeat(node, seat)) this.#forget(node);
  }

  /** Whether a watcher might want the record's key: `match` finds none where this says no. Hot path: it looks at hashes alone. */
  mayWant(record: MatchableRecord): boolean {
    if (this.#ranges.count > 0 || this.#patterns.count > 0 || this.#deepPrefixes.size > 0) return true;
    if (this.#keys.count > 0 && this.#keys.hasHash(this.#keyHash(record))) return true;
    if (this.#prefixes.size === 0) return false;
    if (this.#prefixes.has(ROOT_HASH)) return true;
    for (let index = 0; index < record.hashCount; index++) {
      if (this.#prefixes.has(record.hash(index))) return true;
    }
    return false;
  }

  /**
   * Reads what `match` will need for the records from the index `from` on, which are about to be matched. Where many keys are watched each of their
   * objects costs a miss of the cache, and `match` waits for one after the other; here those of many records are under way at once. It changes nothing.
   *
   * @param look Reads what its caller needs of a seat.
   */
  lookAhead(records: readonly MatchableRecord[], from: number, look: (seat: S) => number): void {
    if (this.#keys.count < COLD_KEYS_MIN) return;
    for (let start = from; start < records.length; start += AHEAD_RECORDS) {
      const count = Math.min(AHEAD_RECORDS, records.length - start);
      for (let index = 0; index < count; index++)
        this.#aheadHashes[index] = this.#keyHash(records[start + index]!);
      this.#seenAhead ^= this.#lookAt(this.#keys.glance(this.#aheadHashes, count, this.#aheadNodes), look);
    }
  }

  /** Loops of one step each: a loop that did all three would wait in each turn. */
  #lookAt(count: number, look: (seat: S) => number): number {
    const nodes = this.#aheadNodes;
    const seats = this.#aheadSeats;
    let seatCount = 0;
    let seen = 0;
    for (let index = 0; index < count; index++) seen += nodes[index]!.text.length;
    for (let index = 0; index < count; index++) {
      const under = nodes[index]!.seats;
      if (under !== undefined && !(under instanceof Set)) seats[seatCount++] = under;
    }
    for (let index = 0; index < seatCount; index++) seen += look(seats[index]!);
    nodes.fill(undefined);
    seats.fill(undefined);
    return seen;
  }

  /** Calls `call` once for each watcher that wants the record's key. Hot path: a miss costs one look-up for each part. */
  match(record: MatchableRecord, call: (seat: S) => void): void {
    const visit = ++this.#visit;
    if (this.#keys.count > 0) {
      const node = this.#keys.find(this.#keyHash(record), record);
      if (node !== undefined) visitSeats(node, visit, call);
    }
    if (this.#prefixes.size > 0) this.#matchPrefixes(record, visit, call);
    if (this.#deepPrefixes.size > 0) this.#matchDeepPrefixes(record.key, visit, call);
    if (this.#ranges.count > 0) {
      for (const node of this.#ranges.at(record.key)) visitSeats(node, visit, call);
    }
    if (this.#patterns.count > 0) {
      for (const node of this.#patterns.at(record.key)) visitSeats(node, visit, call);
    }
  }

  /** A record with all the hashes it can carry may have more parts than those. */
  #keyHash(record: MatchableRecord): number {
    const depth = record.hashCount;
    return depth > 0 && depth < PREFIX_DEPTH_MAX ? record.hash(depth - 1) : this.#hashBytes(record.key);
  }

  #matchPrefixes(record: MatchableRecord, visit: number, call: (seat: S) => void): void {
    for (let depth = 0; depth <= record.hashCount; depth++) {
      const bucket = this.#prefixes.get(depth === 0 ? ROOT_HASH : record.hash(depth - 1));
      if (bucket === undefined) continue;
      const { key } = record;
      const node = bucket.find((each) => each.depth === depth && isStrictPrefix(each.bytes, key));
      if (node !== undefined) visitSeats(node, visit, call);
    }
  }

  #matchDeepPrefixes(key: Uint8Array, visit: number, call: (seat: S) => void): void {
    // A node may leave the bucket while its watchers are visited.
    for (const node of [...(this.#deepPrefixes.get(DEEP_HASH) ?? [])]) {
      if (isStrictPrefix(node.bytes, key)) visitSeats(node, visit, call);
    }
  }

  /** The selector's node, made where it is missing. */
  #nodeOf(selector: EncodedSelector): SelectorNode<S> {
    switch (selector.kind) {
      case "key": {
        const { bytes, text = readLatin1(bytes, 0, bytes.length) } = selector;
        return this.#keys.obtain(this.#hashBytes(bytes), text);
      }
      case "prefix":
        return this.#prefixNodeOf(selector.bytes);
      case "range": {
        const [start, end] = [selector.start.slice(), selector.end.slice()];
        return this.#ranges.obtain(start, end, () => ({ kind: "range", start, end, seats: undefined }));
      }
      case "pattern": {
        const { parts } = selector;
        return this.#patterns.obtain(parts, () => ({ kind: "pattern", parts, seats: undefined }));
      }
    }
  }

  #prefixNodeOf(bytes: Uint8Array): PrefixNode<S> {
    const depth = countParts(bytes);
    const isDeep = depth > PREFIX_DEPTH_MAX;
    const nodes = isDeep ? this.#deepPrefixes : this.#prefixes;
    const hash = isDeep ? DEEP_HASH : depth === 0 ? ROOT_HASH : this.#hashBytes(bytes);
    let bucket = nodes.get(hash);
    if (bucket === undefined) {
      bucket = [];
      nodes.set(hash, bucket);
    }
    let node = bucket.find((other) => bytesEqual(other.bytes, bytes));
    if (node === undefined) {
      node = { kind: "prefix", nodes, hash, depth, bytes: bytes.slice(), seats: undefined };
      bucket.push(node);
    }
    return node;
  }

  #forget(node: SelectorNode<S>): void {
    if (node.kind === "key") this.#keys.remove(node);
    else if (node.kind === "range") this.#ranges.remove(node.start, node.end);
    else if (node.kind === "pattern") this.#patterns.remove(node.parts);
    else removePrefix(node);
  }
}

/** Where the empty prefix stands: no hash of bytes is negative. */
const ROOT_HASH = -1;

function removePrefix<S>(node: PrefixNode<S>): void {
  const bucket = node.nodes.get(node.hash);
  if (bucket === undefined) return;
  const index = bucket.indexOf(node);
  if (index < 0) return;
  if (bucket.length === 1) node.nodes.delete(node.hash);
  else bucket.splice(index, 1);
}

function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && beginsWith(b, a);
}

/** Whether `key` has more parts than `prefix`, and begins with its parts (invariant 4). */
function isStrictPrefix(prefix: Uint8Array, key: Uint8Array): boolean {
  return key.length > prefix.length && key[prefix.length] !== 0xff && beginsWith(key, prefix);
}

function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  for (let index = 0; index < start.length; index++) {
    if (bytes[index] !== start[index]) return false;
  }
  return true;
}
