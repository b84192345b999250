/**
 * Owns the check of a whole data file before LMDB is let at it: every page of every tree, the free pages, and that no page is both.
 * Any thread. It reads the file by itself and trusts nothing in it, so damage is an answer, never the end of the process.
 */
import { existsSync } from "node:fs";
import { metaOf, type ShardState } from "./checkpoint.js";
import {
  DataFile,
  dataFileOf,
  META_PAGES,
  type Meta,
  PageDamage,
  parseTree,
  type TreeHead,
} from "./data-file.js";
import { PageSet, walkTree } from "./page-tree.js";

const INTEGER_BYTES = 8;
/** The rows of the main tree that are no tables come under this name, before all others. */
export const MAIN_TREE = "main tree";

/** What a file of many tables was found to hold. */
export interface PageReport {
  readonly pages: number;
  readonly usedPages: number;
  readonly freePages: number;
}

/** Called with every row of every table. The bytes are its own to keep. */
export type OnTableRow = (table: string, key: Uint8Array, value: Uint8Array) => void;

/**
 * Checks every page of a state of a shard's data file: the newest, or that of a checkpoint. Throws PageDamage at the first thing that can't
 * be. Rows of the main tree come first, then the tables in the order of `order`, then the others.
 */
export function checkPages(
  directory: string,
  order: readonly string[],
  onRow: OnTableRow,
  checkpoint: ShardState | null = null,
): PageReport {
  const file = new DataFile(dataFileOf(directory));
  try {
    return checkFile(file, checkpoint === null ? file.newestMeta() : metaOf(checkpoint), order, onRow);
  } finally {
    file.close();
  }
}

/**
 * The quick look before LMDB maps a file: its meta pages, and that the file has all pages that are in use, for which all of it is read only
 * where its end is in doubt. A new shard's file need not be there. Throws PageDamage.
 */
export function checkBeforeOpening(directory: string): void {
  if (!existsSync(dataFileOf(directory))) return;
  const file = new DataFile(dataFileOf(directory));
  try {
    if (file.sizeBytes === 0) return;
    const meta = file.newestMeta();
    if (meta.lastPage < file.pageCount) return;
    // LMDB may leave out the last pages of a file when nobody uses them; anything else is cut off, and reading there would be SIGBUS.
    const free = new PageSet(meta.lastPage + 1);
    readFreePages(file, meta, new PageSet(meta.lastPage + 1), free);
    for (let page = file.pageCount; page <= meta.lastPage; page++) {
      if (free.has(page)) continue;
      if (holdsAllItUses(file, meta)) return;
      throw new PageDamage(
        `it is cut off: page ${page} of ${meta.lastPage + 1} is beyond its ${file.sizeBytes} bytes`,
      );
    }
  } finally {
    file.close();
  }
}

/**
 * Whether no tree has a page that is damaged or not there: all of them are walked. Pages that are neither free nor used are rare: LMDB
 * forgets to write down that they are free where a large value is put and removed in one transaction, and the process ends soon after.
 */
function holdsAllItUses(file: DataFile, meta: Meta): boolean {
  try {
    checkFile(file, meta, [], () => {});
    return true;
  } catch (error) {
    if (error instanceof PageDamage) return false;
    throw error;
  }
}

function checkFile(file: DataFile, meta: Meta, order: readonly string[], onRow: OnTableRow): PageReport {
  const pages = meta.lastPage + 1;
  if (pages > Math.max(file.pageCount, META_PAGES) * 64)
    throw new PageDamage(`its last page is said to be ${meta.lastPage}, it has ${file.pageCount}`);
  const seen = new PageSet(pages);
  const free = new PageSet(pages);
  const freePages = readFreePages(file, meta, seen, free);
  const tables: { name: string; tree: TreeHead }[] = [];
  walkTree(meta.main, {
    file,
    meta,
    seen,
    compare: Buffer.compare,
    onRow: ({ key, value, isTree }) => {
      // LMDB ends the name with a zero byte.
      const name = Buffer.from(key).toString("latin1").replace(/\0$/, "");
      if (!isTree) return onRow(MAIN_TREE, key, value);
      if (value.length !== 48) throw new PageDamage(`the root of the table ${name} is ${value.length} bytes`);
      tables.push({ name, tree: parseTree(new DataView(value.buffer, value.byteOffset, value.length), 0) });
    },
  });
  const placeOf = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  tables.sort((a, b) => placeOf(a.name) - placeOf(b.name));
  for (const { name, tree } of tables)
    walkTree(tree, {
      file,
      meta,
      seen,
      compare: Buffer.compare,
      onRow: ({ key, value }) => onRow(name, key, value),
    });
  return { pages, freePages, usedPages: countUsed(pages, seen, free) };
}

/** Pages in use. Throws when one is free as well. A page that is neither was lost by a crash, and harms nothing. */
function countUsed(pages: number, seen: PageSet, free: PageSet): number {
  let used = META_PAGES;
  for (let page = META_PAGES; page < pages; page++) {
    if (!seen.has(page)) continue;
    if (free.has(page)) throw new PageDamage(`page ${page} is in use and free`);
    used++;
  }
  return used;
}

/** Reads the table of free pages into `free`: rows of transaction → count and page numbers, in descending order. */
function readFreePages(file: DataFile, meta: Meta, seen: PageSet, free: PageSet): number {
  let count = 0;
  walkTree(meta.freePages, {
    file,
    meta,
    seen,
    compare: compareIntegers,
    onRow: ({ key, value }) => {
      const view = new DataView(value.buffer, value.byteOffset, value.length);
      const listed = value.length < INTEGER_BYTES ? -1 : Number(view.getBigUint64(0, true));
      if (key.length !== INTEGER_BYTES || !(listed >= 0) || (listed + 1) * INTEGER_BYTES > value.length)
        throw new PageDamage(`a list of free pages says ${listed} pages in ${value.length} bytes`);
      for (let index = 1; index <= listed; index++) {
        const entry = Number(view.getBigInt64(index * INTEGER_BYTES, true));
        // 0 is room for growth; −n means n pages from the one that stands next.
        if (entry === 0) continue;
        if (entry < 0) index++;
        const first =
          entry < 0 && index <= listed ? Number(view.getBigInt64(index * INTEGER_BYTES, true)) : entry;
        const end = first + (entry < 0 ? -entry : 1);
        if (first < META_PAGES || end > meta.lastPage + 1)
          throw new PageDamage(
            `pages ${first} to ${end - 1} are listed as free, the last one is ${meta.lastPage}`,
          );
        for (let page = first; page < end; page++, count++) free.add(page);
      }
    },
  });
  return count;
}

function compareIntegers(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== INTEGER_BYTES || b.length !== INTEGER_BYTES)
    throw new PageDamage("a free list has a key that is no number");
  const [first, second] = [a, b].map((bytes) =>
    new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true),
  );
  return first! < second! ? -1 : first === second ? 0 : 1;
}
