/**
 * Owns what is found in a store after a crash: its entries, by the first part of their keys.
 */
import type { Kv } from "../../../src/index.js";
import { type LedgerEntry, readAll } from "../../life/ledger.js";

/** Entries by `nameOf` of their key. */
export type Entries = ReadonlyMap<string, LedgerEntry>;

const NONE: Entries = new Map();

export class Found {
  readonly #tables = new Map<string, Map<string, LedgerEntry>>();
  /** The largest versionstamp of all entries. */
  readonly newest: string;

  constructor(entries: Entries) {
    let newest = "";
    for (const [name, entry] of entries) {
      // `["note",7]`: the first part is a text in each key of these tests.
      const table = name.slice(2, name.indexOf('"', 2));
      const own = this.#tables.get(table) ?? new Map<string, LedgerEntry>();
      this.#tables.set(table, own.set(name, entry));
      if (entry.versionstamp > newest) newest = entry.versionstamp;
    }
    this.newest = newest;
  }

  static async in(kv: Kv): Promise<Found> {
    return new Found(await readAll(kv));
  }

  /** Entries whose keys begin with `table`. */
  of(table: string): Entries {
    return this.#tables.get(table) ?? NONE;
  }

  /** Entries whose keys begin with one of `tables`. */
  ofAll(tables: readonly string[]): Entries {
    return new Map(tables.flatMap((table) => [...this.of(table)]));
  }
}
