/**
 * Owns which ranges of keys hold a key. Runs in the thread that delivers.
 *
 * The naive way compares each range with each key. This is an interval tree: a balanced search tree by (start, end) in which every node
 * knows the greatest end below it. A look-up leaves out each subtree that ends at or before the key, or begins behind it: it costs the
 * logarithm of the number of ranges, and as much for each range that it finds. It is balanced by chance (a treap): no order of
 * adding makes it deep.
 *
 * Invariants:
 * 1. A node stands behind all nodes of its left subtree and before all of its right one, by (start, end); each range is there once.
 * 2. A node's `rank` is at least its children's, and `endMax` is the greatest `end` of its subtree.
 *
 * It does not know who watches a range: `T` does.
 */
import { compareBytes } from "../codec/key.js";

/** One range, `start` (inclusive) to `end` (exclusive), and what is kept with it. Only the index changes it. */
export interface RangeNode<T> {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly seat: T;
  readonly rank: number;
  endMax: Uint8Array;
  left: RangeNode<T> | undefined;
  right: RangeNode<T> | undefined;
}

export class RangeIndex<T> {
  #root: RangeNode<T> | undefined;
  #count = 0;

  /** Number of different ranges. */
  get count(): number {
    return this.#count;
  }

  /** What is kept with a range; `make` makes it where the range is not there yet. The bytes are kept: they must be private. */
  obtain(start: Uint8Array, end: Uint8Array, make: () => T): T {
    for (let node = this.#root; node !== undefined; ) {
      const order = compareRange(start, end, node);
      if (order === 0) return node.seat;
      node = order < 0 ? node.left : node.right;
    }
    const seat = make();
    const made = { start, end, seat, rank: Math.random(), endMax: end, left: undefined, right: undefined };
    this.#root = insert(this.#root, made);
    this.#count++;
    return seat;
  }

  /** Forgets a range that is there. */
  remove(start: Uint8Array, end: Uint8Array): void {
    this.#root = remove(this.#root, start, end);
    this.#count--;
  }

  /** What is kept with the ranges that hold `key`, in the order of (start, end). */
  at(key: Uint8Array): T[] {
    const found: T[] = [];
    if (this.#root !== undefined) stab(this.#root, key, found);
    return found;
  }
}

function stab<T>(node: RangeNode<T>, key: Uint8Array, found: T[]): void {
  if (compareBytes(node.endMax, key) <= 0) return;
  if (node.left !== undefined) stab(node.left, key, found);
  if (compareBytes(node.start, key) > 0) return;
  if (compareBytes(key, node.end) < 0) found.push(node.seat);
  if (node.right !== undefined) stab(node.right, key, found);
}

function insert<T>(tree: RangeNode<T> | undefined, made: RangeNode<T>): RangeNode<T> {
  if (tree === undefined) return made;
  if (made.rank > tree.rank) {
    const [left, right] = split(tree, made);
    made.left = left;
    made.right = right;
    return measured(made);
  }
  if (compareRange(made.start, made.end, tree) < 0) tree.left = insert(tree.left, made);
  else tree.right = insert(tree.right, made);
  return measured(tree);
}

/** The parts of a tree before and behind a range that is not in it. */
function split<T>(
  tree: RangeNode<T> | undefined,
  at: RangeNode<T>,
): [RangeNode<T> | undefined, RangeNode<T> | undefined] {
  if (tree === undefined) return [undefined, undefined];
  if (compareRange(at.start, at.end, tree) < 0) {
    const [before, behind] = split(tree.left, at);
    tree.left = behind;
    return [before, measured(tree)];
  }
  const [before, behind] = split(tree.right, at);
  tree.right = before;
  return [measured(tree), behind];
}

function remove<T>(
  tree: RangeNode<T> | undefined,
  start: Uint8Array,
  end: Uint8Array,
): RangeNode<T> | undefined {
  if (tree === undefined) return undefined;
  const order = compareRange(start, end, tree);
  if (order === 0) return join(tree.left, tree.right);
  if (order < 0) tree.left = remove(tree.left, start, end);
  else tree.right = remove(tree.right, start, end);
  return measured(tree);
}

/** One tree of two, all of the first before all of the second. */
function join<T>(
  first: RangeNode<T> | undefined,
  second: RangeNode<T> | undefined,
): RangeNode<T> | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  if (first.rank > second.rank) {
    first.right = join(first.right, second);
    return measured(first);
  }
  second.left = join(first, second.left);
  return measured(second);
}

function measured<T>(node: RangeNode<T>): RangeNode<T> {
  let endMax = node.end;
  for (const child of [node.left, node.right]) {
    if (child !== undefined && compareBytes(child.endMax, endMax) > 0) endMax = child.endMax;
  }
  node.endMax = endMax;
  return node;
}

function compareRange<T>(start: Uint8Array, end: Uint8Array, node: RangeNode<T>): number {
  return compareBytes(start, node.start) || compareBytes(end, node.end);
}
