/**
 * Owns which patterns a key fits: patterns of as many parts as the key, in which some places take any one part. Runs in the thread
 * that delivers.
 *
 * The patterns are a tree by their parts. A key walks down it; at each node it goes on by its own part and by "any part", so it
 * visits at most as many nodes as there are ways to replace its first parts by "any": it does not matter how many patterns there are.
 *
 * Invariants:
 * 1. A node other than the root has a seat, or a child.
 * 2. Two patterns of one key's parts lead to one node only if they are equal.
 *
 * It does not know who watches a pattern: `T` does.
 */
import { readLatin1 } from "../codec/byte-text.js";
import { sharedParts } from "../codec/key.js";

/** The parts of a pattern: a part's encoded bytes, or `null` for any one part. */
export type PatternParts = readonly (Uint8Array | null)[];

interface TrieNode<T> {
  seat: T | undefined;
  /** By the bytes of the part, as characters. */
  children: Map<string, TrieNode<T>> | undefined;
  any: TrieNode<T> | undefined;
}

export class PatternTrie<T> {
  readonly #root: TrieNode<T> = emptyNode();
  #count = 0;

  /** Number of different patterns. */
  get count(): number {
    return this.#count;
  }

  /** What is kept with a pattern; `make` makes it where the pattern is not there yet. */
  obtain(parts: PatternParts, make: () => T): T {
    let node = this.#root;
    for (const part of parts) node = childOf(node, part);
    if (node.seat === undefined) {
      node.seat = make();
      this.#count++;
    }
    return node.seat;
  }

  /** Forgets a pattern that is there. */
  remove(parts: PatternParts): void {
    prune(this.#root, parts, 0);
    this.#count--;
  }

  /** What is kept with the patterns that the key fits. */
  at(key: Uint8Array): T[] {
    const found: T[] = [];
    walk(this.#root, key, found);
    return found;
  }
}

/** The first part of a key that is not empty. */
export function firstPart(key: Uint8Array): Uint8Array {
  return sharedParts(key, key, 1) ?? key;
}

function walk<T>(node: TrieNode<T>, rest: Uint8Array, found: T[]): void {
  if (rest.length === 0) {
    if (node.seat !== undefined) found.push(node.seat);
    return;
  }
  if (node.children === undefined && node.any === undefined) return;
  const part = firstPart(rest);
  const behind = rest.subarray(part.length);
  const child = node.children?.get(textOf(part));
  if (child !== undefined) walk(child, behind, found);
  if (node.any !== undefined) walk(node.any, behind, found);
}

function childOf<T>(node: TrieNode<T>, part: Uint8Array | null): TrieNode<T> {
  if (part === null) {
    node.any ??= emptyNode();
    return node.any;
  }
  node.children ??= new Map();
  let child = node.children.get(textOf(part));
  if (child === undefined) {
    child = emptyNode();
    node.children.set(textOf(part), child);
  }
  return child;
}

/** Takes the seat away, and every node that has become useless by that. Returns whether this one has. */
function prune<T>(node: TrieNode<T>, parts: PatternParts, depth: number): boolean {
  const part = parts[depth];
  if (part === undefined) {
    node.seat = undefined;
  } else if (part === null) {
    if (prune(node.any!, parts, depth + 1)) node.any = undefined;
  } else if (prune(node.children!.get(textOf(part))!, parts, depth + 1)) {
    node.children!.delete(textOf(part));
    if (node.children!.size === 0) node.children = undefined;
  }
  return node.seat === undefined && node.children === undefined && node.any === undefined;
}

function emptyNode<T>(): TrieNode<T> {
  return { seat: undefined, children: undefined, any: undefined };
}

function textOf(part: Uint8Array): string {
  return readLatin1(part, 0, part.length);
}
