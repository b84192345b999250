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
 * Prefixes deeper than the hashes of a record stand in a list of their own and are compared one by one. Ranges and patterns
 * have their place beside it: a new kind of selector is a new case in `#nodesFor` and `#nodeOf`, and a new step in `match`.
 */
import { countParts, type EncodedKey, hashBytes } from "../codec/key.js";
import { PREFIX_DEPTH_MAX } from "../limits.js";

/** What is watched: one key, or all keys strictly below a prefix. */
export interface EncodedSelector {
  readonly kind: "key" | "prefix";
  readonly bytes: EncodedKey;
}

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
interface SelectorNode<W> {
  readonly nodes: NodeMap<W>;
  readonly hash: number;
  readonly depth: number;
  readonly bytes: Uint8Array;
  readonly registrations: Set<Registration<W>>;
}

type NodeMap<W> = Map<number, SelectorNode<W>[]>;

/** The one bucket of the map of deep prefixes. */
const DEEP_HASH = 0;

export class Matcher<W> {
  readonly #hashBytes: (bytes: Uint8Array) => number;
  readonly #keys: NodeMap<W> = new Map();
  readonly #prefixes: NodeMap<W> = new Map();
  readonly #deepPrefixes: NodeMap<W> = new Map();
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
      if (node.registrations.delete(registration) && node.registrations.size === 0) removeNode(node);
    }
  }

  /** Calls `visit` once for each watcher that wants the record's key. Hot path: a miss costs one map look-up for each part. */
  match(record: MatchableRecord, visit: (watcher: W) => void): void {
    this.#visit++;
    if (this.#keys.size > 0) this.#matchKey(record, visit);
    if (this.#prefixes.size > 0) this.#matchPrefixes(record, visit);
    if (this.#deepPrefixes.size > 0) this.#matchDeepPrefixes(record, visit);
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
  #visitAll(node: SelectorNode<W> | undefined, visit: (watcher: W) => void): void {
    if (node === undefined) return;
    for (const registration of node.registrations) {
      if (registration.visit === this.#visit) continue;
      registration.visit = this.#visit;
      visit(registration.watcher);
    }
  }

  /** The selector's node, made where it is missing. */
  #nodeOf(selector: EncodedSelector): SelectorNode<W> {
    const depth = countParts(selector.bytes);
    const { nodes, hash } = this.#nodesFor(selector, depth);
    let bucket = nodes.get(hash);
    if (bucket === undefined) {
      bucket = [];
      nodes.set(hash, bucket);
    }
    let node = bucket.find((other) => bytesEqual(other.bytes, selector.bytes));
    if (node === undefined) {
      node = { nodes, hash, depth, bytes: selector.bytes.slice(), registrations: new Set() };
      bucket.push(node);
    }
    return node;
  }

  /** The map in which a selector stands, and its place there. */
  #nodesFor(selector: EncodedSelector, depth: number): { nodes: NodeMap<W>; hash: number } {
    if (selector.kind === "key") return { nodes: this.#keys, hash: this.#hashBytes(selector.bytes) };
    if (depth === 0) return { nodes: this.#prefixes, hash: ROOT_HASH };
    if (depth > PREFIX_DEPTH_MAX) return { nodes: this.#deepPrefixes, hash: DEEP_HASH };
    return { nodes: this.#prefixes, hash: this.#hashBytes(selector.bytes) };
  }
}

/** Where the empty prefix stands: no hash of bytes is negative. */
const ROOT_HASH = -1;

function removeNode<W>(node: SelectorNode<W>): void {
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
