/**
 * Owns the walk over a tree of an LMDB data file, with every number checked before it is used (data-file.ts says why).
 *
 *     branch page := header · offsets u16[] … nodes: child page u48 · keyBytes u16 · key
 *     leaf page   := header · offsets u16[] … nodes: valueBytes u32 · flags u16 · keyBytes u16 · key · value,
 *                    where a large value is: first overflow page u64 · transaction u64 · pages u64
 *
 * Offsets count from behind the page's header. Any thread.
 *
 * Invariant: it visits each page at most once, so damaged pages that point at each other end in an error, not in a loop.
 */
import { PAGE_SIZE_BYTES } from "../limits.js";
import {
  type DataFile,
  META_PAGES,
  type Meta,
  PAGE_HEADER_BYTES,
  PageDamage,
  PageFlag,
  type TreeHead,
} from "./data-file.js";

const NODE_BYTES = 8;
const BIG_VALUE = 1;
const SUB_TREE = 2;
const OVERFLOW_BYTES = 24;
const PAGE_BODY_BYTES = PAGE_SIZE_BYTES - PAGE_HEADER_BYTES;
/** As in LMDB: a tree of this depth would be larger than any disk. */
const DEPTH_MAX = 32;

export interface LeafRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The value is the head of another tree. */
  readonly isTree: boolean;
}

export interface WalkOptions {
  readonly file: DataFile;
  readonly meta: Meta;
  /** Pages seen in this walk and others: one bit each. */
  readonly seen: PageSet;
  readonly onRow: (row: LeafRow) => void;
  /** Keys are compared as bytes, or as the integers that name free pages. */
  readonly compare: (a: Uint8Array, b: Uint8Array) => number;
}

/** Which pages were seen. */
export class PageSet {
  readonly #bits: Uint8Array;

  constructor(readonly pageCount: number) {
    this.#bits = new Uint8Array((pageCount >> 3) + 1);
  }

  has(page: number): boolean {
    return ((this.#bits[page >> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  add(page: number): void {
    if (this.has(page)) throw new PageDamage(`page ${page} is used twice`);
    this.#bits[page >> 3]! |= 1 << (page & 7);
  }
}

/** Walks all rows of a tree in the order of their keys. Throws PageDamage at the first thing that can't be. */
export function walkTree(tree: TreeHead, options: WalkOptions): void {
  const walk = new Walk(options, tree.depth);
  if (tree.root !== null) walk.visit(tree.root, 1);
  walk.compareCounts(tree);
}

class Walk {
  readonly #options: WalkOptions;
  readonly #depth: number;
  #branchPages = 0;
  #leafPages = 0;
  #overflowPages = 0;
  #rows = 0;
  #lastKey: Uint8Array | null = null;

  constructor(options: WalkOptions, depth: number) {
    if (depth > DEPTH_MAX) throw new PageDamage(`a tree says that it is ${depth} pages deep`);
    this.#options = options;
    this.#depth = depth;
  }

  compareCounts(tree: TreeHead): void {
    const found = [this.#branchPages, this.#leafPages, this.#overflowPages, this.#rows].join();
    const said = [tree.branchPages, tree.leafPages, tree.overflowPages, tree.rows].join();
    if (found !== said)
      throw new PageDamage(
        `a tree says ${said} branch, leaf and overflow pages and rows, there are ${found}`,
      );
  }

  visit(number: number, level: number): void {
    const page = this.#read(number, level === this.#depth ? PageFlag.leaf : PageFlag.branch);
    if (level === this.#depth) this.#visitLeaf(number, page);
    else this.#visitBranch(number, page, level);
  }

  #visitBranch(number: number, page: DataView, level: number): void {
    this.#branchPages++;
    const nodes = nodesOf(page, number);
    if (nodes.length < 2) throw new PageDamage(`branch page ${number} has ${nodes.length} children`);
    nodes.forEach((at, index) => {
      const child =
        page.getUint16(at, true) +
        page.getUint16(at + 2, true) * 2 ** 16 +
        page.getUint16(at + 4, true) * 2 ** 32;
      // The first key of a branch page is left out: its child has whatever is before the second one.
      if (index > 0) {
        const key = this.#keyAt(page, at, number);
        this.visitBelow(child, level + 1, key);
      } else this.visit(child, level + 1);
    });
  }

  /** All keys below `child` are at or above `least`, and above all before. */
  visitBelow(child: number, level: number, least: Uint8Array): void {
    const before = this.#lastKey;
    if (before !== null && this.#options.compare(before, least) >= 0)
      throw new PageDamage(`page ${child} begins at a key that is not above those of the page before it`);
    this.#least = least;
    this.visit(child, level);
  }
  #least: Uint8Array | null = null;

  #visitLeaf(number: number, page: DataView): void {
    this.#leafPages++;
    for (const at of nodesOf(page, number)) {
      const key = this.#keyAt(page, at, number);
      if (this.#least !== null && this.#options.compare(key, this.#least) < 0)
        throw new PageDamage(`leaf page ${number} has a key below what its branch says`);
      this.#least = null;
      if (this.#lastKey !== null && this.#options.compare(this.#lastKey, key) >= 0)
        throw new PageDamage(`leaf page ${number} has keys out of order`);
      this.#lastKey = key;
      this.#rows++;
      const flags = page.getUint16(at + 4, true);
      this.#options.onRow({ key, value: this.#valueAt(page, at, number), isTree: (flags & SUB_TREE) !== 0 });
    }
  }

  #keyAt(page: DataView, at: number, number: number): Uint8Array {
    const keyBytes = page.getUint16(at + 6, true);
    return slice(page, at + NODE_BYTES, keyBytes, number);
  }

  #valueAt(page: DataView, at: number, number: number): Uint8Array {
    const valueBytes = page.getUint32(at, true);
    const start = at + NODE_BYTES + page.getUint16(at + 6, true);
    if ((page.getUint16(at + 4, true) & BIG_VALUE) === 0) return slice(page, start, valueBytes, number);
    const big = slice(page, start, OVERFLOW_BYTES, number);
    const view = new DataView(big.buffer, big.byteOffset, big.length);
    return this.#overflow(
      Number(view.getBigUint64(0, true)),
      Number(view.getBigUint64(16, true)),
      valueBytes,
    );
  }

  #overflow(first: number, pages: number, valueBytes: number): Uint8Array {
    const needed = Math.floor((PAGE_HEADER_BYTES - 1 + valueBytes) / PAGE_SIZE_BYTES) + 1;
    if (pages < needed)
      throw new PageDamage(`a value of ${valueBytes} bytes has ${pages} pages from ${first}`);
    const head = this.#read(first, PageFlag.overflow);
    const said = head.getUint32(20, true);
    if (said !== pages) throw new PageDamage(`overflow page ${first} says ${said} pages, its row ${pages}`);
    for (let page = first + 1; page < first + pages; page++) this.#use(page);
    this.#overflowPages += pages;
    return this.#options.file
      .readPages(first, needed)
      .subarray(PAGE_HEADER_BYTES, PAGE_HEADER_BYTES + valueBytes);
  }

  #read(number: number, kind: number): DataView {
    this.#use(number);
    const bytes = this.#options.file.readPages(number);
    const page = new DataView(bytes.buffer);
    if (Number(page.getBigUint64(0, true)) !== number)
      throw new PageDamage(`page ${number} says that it is page ${page.getBigUint64(0, true)}`);
    const transaction = Number(page.getBigUint64(8, true));
    if (transaction > this.#options.meta.transaction)
      throw new PageDamage(
        `page ${number} is of transaction ${transaction}, the last is ${this.#options.meta.transaction}`,
      );
    const flags = page.getUint16(18, true);
    if (flags !== kind) throw new PageDamage(`page ${number} has flags ${flags}, expected ${kind}`);
    return page;
  }

  #use(number: number): void {
    if (!(number >= META_PAGES) || number > this.#options.meta.lastPage)
      throw new PageDamage(`page ${number} is used, the last one is ${this.#options.meta.lastPage}`);
    this.#options.seen.add(number);
  }
}

/** Offsets of the nodes of a page. */
function nodesOf(page: DataView, number: number): number[] {
  const lower = page.getUint16(20, true);
  const upper = page.getUint16(22, true);
  if (lower > upper || upper > PAGE_BODY_BYTES || lower % 2 !== 0)
    throw new PageDamage(`page ${number} says that its room is from ${lower} to ${upper}`);
  const nodes: number[] = [];
  for (let at = PAGE_HEADER_BYTES; at < PAGE_HEADER_BYTES + lower; at += 2) {
    const offset = page.getUint16(at, true);
    if (offset < upper || offset + NODE_BYTES > PAGE_BODY_BYTES)
      throw new PageDamage(`page ${number} has a node at ${offset}, its nodes begin at ${upper}`);
    nodes.push(PAGE_HEADER_BYTES + offset);
  }
  return nodes;
}

function slice(page: DataView, start: number, bytes: number, number: number): Uint8Array {
  if (start + bytes > PAGE_SIZE_BYTES) throw new PageDamage(`a row of page ${number} goes beyond its end`);
  return new Uint8Array(page.buffer, page.byteOffset + start, bytes);
}
