/**
 * Owns who wants which keys. Runs in the thread that delivers.
 *
 * The naive way asks every watcher about every change. Here a change asks for its watchers: its record carries the hash of each
 * prefix of its key, so exact keys and prefixes are one look into a hash map for each part of the key, however many watchers there
 * are. A hash leads to a small bucket of nodes, which are told apart by their bytes: two prefixes with one hash are two nodes.
 *
 * Invariants:
 * 1. A watcher is visited at most once for a change, however many of its selectors want it.
 * 2. Watchers may be added and removed while others are visited: a removed one is not visited any more, and an added one not yet.
 * 3. A node without watchers is in no map. Adding and removing cost the watcher's own selectors.
 * 4. A prefix selects strictly longer keys. Bytes alone do not say where a part ends: `["a"]` begins the bytes of `["a\0b"]`, where
 *    its terminator 0x00 is the first half of an escape. The byte behind a prefix is 0xFF then, which no part begins with.
 *
 * Prefixes deeper than the hashes of a record stand in a list of their own and are compared one by one. Ranges stand in an interval
 * tree, patterns in a tree of parts: see `range-index.ts` and `pattern-trie.ts`.
 */
import { countParts, type EncodedKey, hashBytes } from "../codec/key.js";
import { PREFIX_DEPTH_MAX } from "../limits.js";
import { type PatternParts, PatternTrie } from "./pattern-trie.js";
import { RangeIndex } from "./range-index.js";

/** What is watched: one key, all keys strictly below a prefix, a range of keys, or the keys that fit a pattern. */
export type EncodedSelector =
  | { readonly kind: "key" | "prefix"; readonly bytes: EncodedKey }
  | { readonly kind: "range"; readonly start: Uint8Array; readonly end: Uint8Array }
  | { readonly kind: "pattern"; readonly parts: PatternParts };

/** What the matcher has to know of a change record. */
export interface MatchableRecord {
  readonly key: Uint8Array;
  readonly hashCount: number;
  hash(index: number): number;
}

/** One watcher's seat. Only the matcher reads it. */
export interface Registration<W> {
  readonly watcher: W;
  readonly nodes: readonly SelectorNode<W>[];
  visit: number;
}

/** All watchers of one selector. */
interface Seats<W> {
  readonly registrations: Set<Registration<W>>;
}

interface HashNode<W> extends Seats<W> {
  readonly kind: "hash";
  readonly nodes: NodeMap<W>;
  readonly hash: number;
  readonly depth: number;
  readonly bytes: Uint8Array;
}

interface RangeSeats<W> extends Seats<W> {
  readonly kind: "range";
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

interface PatternSeats<W> extends Seats<W> {
  readonly kind: "pattern";
  readonly parts: PatternParts;
}

type SelectorNode<W> = HashNode<W> | RangeSeats<W> | PatternSeats<W>;

type NodeMap<W> = Map<number, HashNode<W>[]>;

/** The one bucket of the map of deep prefixes. */
const DEEP_HASH = 0;

export class Matcher<W> {
  readonly #hashBytes: (bytes: Uint8Array) => number;
  readonly #keys: NodeMap<W> = new Map();
  readonly #prefixes: NodeMap<W> = new Map();
  readonly #deepPrefixes: NodeMap<W> = new Map();
  readonly #ranges = new RangeIndex<RangeSeats<W>>();
  readonly #patterns = new PatternTrie<PatternSeats<W>>();
  #visit = 0;

  /** @param hash The hash that the records carry. Only a test has a reason to choose it. */
  constructor(hash: (bytes: Uint8Array) => number = hashBytes) {
    this.#hashBytes = hash;
  }

  /** Seats a watcher under all its selectors. The same selector may come twice. */
  add(watcher: W, selectors: Iterable<EncodedSelector>): Registration<W> {
    const nodes: SelectorNode<W>[] = [];
    const registration: Registration<W> = { watcher, nodes, visit: this.#visit };
    for (const selector of selectors) {
      const node = this.#nodeOf(selector);
      node.registrations.add(registration);
      nodes.push(node);
    }
    return registration;
  }

  /** Takes a watcher away. Doing it twice does nothing. */
  remove(registration: Registration<W>): void {
    for (const node of registration.nodes) {
      if (node.registrations.delete(registration) && node.registrations.size === 0) this.#forget(node);
    }
  }

  /** Calls `visit` once for each watcher that wants the record's key. Hot path: a miss costs one map look-up for each part. */
  match(record: MatchableRecord, visit: (watcher: W) => void): void {
    this.#visit++;
    if (this.#keys.size > 0) this.#matchKey(record, visit);
    if (this.#prefixes.size > 0) this.#matchPrefixes(record, visit);
    if (this.#deepPrefixes.size > 0) this.#matchDeepPrefixes(record, visit);
    if (this.#ranges.count > 0) {
      for (const node of this.#ranges.at(record.key)) this.#visitAll(node, visit);
    }
    if (this.#patterns.count > 0) {
      for (const node of this.#patterns.at(record.key)) this.#visitAll(node, visit);
    }
  }

  #matchKey(record: MatchableRecord, visit: (watcher: W) => void): void {
    const key = record.key;
    const depth = record.hashCount;
    // A record with all the hashes it can carry may have more parts than those.
    const hash = depth > 0 && depth < PREFIX_DEPTH_MAX ? record.hash(depth - 1) : this.#hashBytes(key);
    const bucket = this.#keys.get(hash);
    if (bucket === undefined) return;
    this.#visitAll(
      bucket.find((node) => bytesEqual(node.bytes, key)),
      visit,
    );
  }

  #matchPrefixes(record: MatchableRecord, visit: (watcher: W) => void): void {
    const key = record.key;
    for (let depth = 0; depth <= record.hashCount; depth++) {
      const bucket = this.#prefixes.get(depth === 0 ? ROOT_HASH : record.hash(depth - 1));
      if (bucket === undefined) continue;
      this.#visitAll(
        bucket.find((node) => node.depth === depth && isStrictPrefix(node.bytes, key)),
        visit,
      );
    }
  }

  #matchDeepPrefixes(record: MatchableRecord, visit: (watcher: W) => void): void {
    const key = record.key;
    // A node may leave the bucket while its watchers are visited.
    for (const node of [...(this.#deepPrefixes.get(DEEP_HASH) ?? [])]) {
      if (isStrictPrefix(node.bytes, key)) this.#visitAll(node, visit);
    }
  }

  /** A set may lose and gain members while it is walked: lost ones are not met, gained ones carry this visit already. */
  #visitAll(node: Seats<W> | undefined, visit: (watcher: W) => void): void {
    if (node === undefined) return;
    for (const registration of node.registrations) {
      if (registration.visit === this.#visit) continue;
      registration.visit = this.#visit;
      visit(registration.watcher);
    }
  }

  /** The selector's node, made where it is missing. */
  #nodeOf(selector: EncodedSelector): SelectorNode<W> {
    if (selector.kind === "range") {
      const [start, end] = [selector.start.slice(), selector.end.slice()];
      return this.#ranges.obtain(start, end, () => ({
        kind: "range",
        start,
        end,
        registrations: new Set(),
      }));
    }
    if (selector.kind === "pattern") {
      const { parts } = selector;
      return this.#patterns.obtain(parts, () => ({ kind: "pattern", parts, registrations: new Set() }));
    }
    return this.#hashNodeOf(selector.kind, selector.bytes);
  }

  #hashNodeOf(kind: "key" | "prefix", bytes: Uint8Array): HashNode<W> {
    const depth = countParts(bytes);
    const { nodes, hash } = this.#nodesFor(kind, bytes, depth);
    let bucket = nodes.get(hash);
    if (bucket === undefined) {
      bucket = [];
      nodes.set(hash, bucket);
    }
    let node = bucket.find((other) => bytesEqual(other.bytes, bytes));
    if (node === undefined) {
      node = { kind: "hash", nodes, hash, depth, bytes: bytes.slice(), registrations: new Set() };
      bucket.push(node);
    }
    return node;
  }

  /** The map in which a key or a prefix stands, and its place there. */
  #nodesFor(kind: "key" | "prefix", bytes: Uint8Array, depth: number): { nodes: NodeMap<W>; hash: number } {
    if (kind === "key") return { nodes: this.#keys, hash: this.#hashBytes(bytes) };
    if (depth === 0) return { nodes: this.#prefixes, hash: ROOT_HASH };
    if (depth > PREFIX_DEPTH_MAX) return { nodes: this.#deepPrefixes, hash: DEEP_HASH };
    return { nodes: this.#prefixes, hash: this.#hashBytes(bytes) };
  }

  #forget(node: SelectorNode<W>): void {
    if (node.kind === "range") this.#ranges.remove(node.start, node.end);
    else if (node.kind === "pattern") this.#patterns.remove(node.parts);
    else removeNode(node);
  }
}

/** Where the empty prefix stands: no hash of bytes is negative. */
const ROOT_HASH = -1;

function removeNode<W>(node: HashNode<W>): void {
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
