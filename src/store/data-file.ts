/**
 * Owns reading an LMDB data file by ourselves, page by page, without LMDB: for whoever must not trust it yet. LMDB maps the file and
 * believes it, so a damaged page can end the process (SIGSEGV, SIGBUS past the end); here every number is checked before it is used.
 *
 *     page  := number u64 · transaction u64 · pad u16 · flags u16 · (lower u16 · upper u16 | pages u32)           (24 bytes, little-endian)
 *     meta  := page header · magic u32 · version u32 · address u64 · mapSize u64 · tree (free pages) · tree (main) · lastPage u64 ·
 *              transaction u64 · boot i64                                                              pages 0 and 1, by turns
 *     tree  := pageSize u32 · flags u16 · depth u16 · branches u64 · leaves u64 · overflows u64 · rows u64 · root u64        (48 bytes)
 *
 * It is the format of lmdb-js (LMDB's data version 2). Any thread. It only reads; whoever writes metas is checkpoint.ts.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { PAGE_SIZE_BYTES } from "../limits.js";

export const PAGE_HEADER_BYTES = 24;
export const META_BYTES = 144;
/** The first two pages. */
export const META_PAGES = 2;
export const PageFlag = { branch: 1, leaf: 2, overflow: 4, meta: 8 } as const;

const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const TREE_BYTES = 48;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;

/** Where a tree is, and what it says of itself. */
export interface TreeHead {
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly rows: number;
  /** `null`: it is empty. */
  readonly root: number | null;
}

/** A committed state of the file. */
export interface Meta {
  readonly page: 0 | 1;
  readonly transaction: number;
  readonly lastPage: number;
  readonly freePages: TreeHead;
  readonly main: TreeHead;
  /** Its bytes, from behind the page's header. */
  readonly bytes: Uint8Array;
}

/** The file is not what LMDB writes. The message says where. */
export class PageDamage extends Error {}

/** The data file of a shard's directory. */
export function dataFileOf(directory: string): string {
  return join(directory, "data.mdb");
}

export class DataFile {
  readonly pageCount: number;
  readonly sizeBytes: number;
  readonly #file: number;

  constructor(readonly path: string) {
    this.#file = openSync(path, "r");
    this.sizeBytes = fstatSync(this.#file).size;
    this.pageCount = Math.floor(this.sizeBytes / PAGE_SIZE_BYTES);
  }

  /** The pages from `first`, `count` of them, in memory of their own. */
  readPages(first: number, count = 1): Uint8Array {
    if (first + count > this.pageCount) {
      throw new PageDamage(
        `page ${first + count - 1} is beyond the end of the file (${this.pageCount} pages)`,
      );
    }
    const bytes = new Uint8Array(count * PAGE_SIZE_BYTES);
    for (let read = 0; read < bytes.length; ) {
      const got = readSync(this.#file, bytes, read, bytes.length - read, first * PAGE_SIZE_BYTES + read);
      if (got === 0) throw new PageDamage(`page ${first} can't be read: the file has become shorter`);
      read += got;
    }
    return bytes;
  }

  /** The meta in page 0 or 1. Throws PageDamage. */
  readMeta(page: 0 | 1): Meta {
    if (this.sizeBytes < META_PAGES * PAGE_SIZE_BYTES)
      throw new PageDamage(`it is ${this.sizeBytes} bytes, less than its two meta pages`);
    return parseMeta(this.readPages(page).subarray(0, PAGE_HEADER_BYTES + META_BYTES), page);
  }

  /** The newest state that is readable. Throws PageDamage when a meta page is damaged: LMDB reads both. */
  newestMeta(): Meta {
    const [first, second] = [this.readMeta(0), this.readMeta(1)];
    return first.transaction > second.transaction ? first : second;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** The meta in the first bytes of its page. */
export function parseMeta(bytes: Uint8Array, page: 0 | 1): Meta {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const at = PAGE_HEADER_BYTES;
  if (bytes.length < at + META_BYTES) throw new PageDamage(`meta page ${page} is ${bytes.length} bytes`);
  if ((view.getUint16(18, true) & PageFlag.meta) === 0) throw new PageDamage(`page ${page} is no meta page`);
  if (view.getUint32(at, true) !== MAGIC) throw new PageDamage(`meta page ${page} has another magic number`);
  if (view.getUint32(at + 4, true) !== DATA_VERSION)
    throw new PageDamage(`meta page ${page} has data version ${view.getUint32(at + 4, true)}`);
  if (view.getUint32(at + 24, true) !== PAGE_SIZE_BYTES)
    throw new PageDamage(`meta page ${page} has page size ${view.getUint32(at + 24, true)}`);
  const meta: Meta = {
    page,
    freePages: parseTree(view, at + 24),
    main: parseTree(view, at + 24 + TREE_BYTES),
    lastPage: safe(view, at + 120),
    transaction: safe(view, at + 128),
    bytes: bytes.slice(at, at + META_BYTES),
  };
  // The one that was never committed says nothing; transaction n is written to page n mod 2.
  if (meta.transaction > 0 && meta.transaction % 2 !== page)
    throw new PageDamage(`meta page ${page} has transaction ${meta.transaction}, which belongs to the other`);
  for (const { root } of [meta.freePages, meta.main]) {
    if (root !== null && (root < META_PAGES || root > meta.lastPage))
      throw new PageDamage(`meta page ${page} has root page ${root}, its last page is ${meta.lastPage}`);
  }
  return meta;
}

/** The head of a tree, as it stands in a meta or in a row of the main tree. */
export function parseTree(view: DataView, at: number): TreeHead {
  const root = view.getBigUint64(at + 40, true);
  return {
    depth: view.getUint16(at + 6, true),
    branchPages: safe(view, at + 8),
    leafPages: safe(view, at + 16),
    overflowPages: safe(view, at + 24),
    rows: safe(view, at + 32),
    root: root === NO_ROOT ? null : Number(root),
  };
}

/** A number of 64 bits. One that is too large for us is too large for any file. */
function safe(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}
