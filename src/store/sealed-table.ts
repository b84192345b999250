/**
 * Owns the checksum on every row: a table whose rows are sealed when they are written, and checked whenever they are read.
 *
 *     row := payload · checksum of key and payload (u32, little-endian)
 *
 * The key is part of it, so a row that has got under another key is found as well. LMDB itself has no checksums.
 *
 * Invariants
 * 1. No payload leaves this table unchecked, in whichever way it is read. Keys alone (`getKeys`) are not: whoever trusts one reads the row.
 * 2. What LMDB throws when it is read leaves it as an error of ours, with a code (lmdb-failure.ts).
 * 3. What a read returns is borrowed as LMDB lends it, and has the payload's true length.
 */
import { KvCorruptError } from "../errors.js";
import { checksum32, checksum32OfView, rowChecksum } from "./checksum.js";
import { LentMemory } from "./lent-memory.js";
import { readFailure } from "./lmdb-failure.js";
import type { HeldSnapshot, RangeOptions, Row, Table } from "./table.js";

const SEAL_BYTES = 4;
/** A row up to this size is put together in memory that is used again: LMDB has copied it when `put` returns. */
const KEPT_BYTES = 64 * 1024;
const SHOWN_KEY_BYTES = 40;

export class SealedTable implements Table {
  readonly #table: Table;
  readonly #name: string;
  readonly #kept = new LentMemory(new Uint8Array(KEPT_BYTES));

  /** @param name How an error names the table: "entries of <directory>". */
  constructor(table: Table, name: string) {
    this.#table = table;
    this.#name = name;
  }

  /** The payload, borrowed. Hot path: LMDB's read and the checksum. Throws KvCorruptError. */
  getBinaryFast(key: Uint8Array, options?: { transaction?: HeldSnapshot }): Uint8Array | undefined {
    try {
      const row = this.#table.getBinaryFast(key, options);
      return row && this.#opened(key, row);
    } catch (error) {
      throw readFailure(this.#name, error);
    }
  }

  /** The payload, private. Throws KvCorruptError. */
  getBinary(key: Uint8Array, options?: { transaction?: HeldSnapshot }): Uint8Array | undefined {
    try {
      const row = this.#table.getBinary(key, options);
      return row && this.#opened(key, row);
    } catch (error) {
      throw readFailure(this.#name, error);
    }
  }

  /** Inside a transaction only: elsewhere LMDB would keep the bytes for later. */
  put(key: Uint8Array, payload: Uint8Array): void {
    const end = payload.length;
    if (end + SEAL_BYTES > KEPT_BYTES) {
      const row = new Uint8Array(end + SEAL_BYTES);
      row.set(payload);
      new DataView(row.buffer).setUint32(end, rowChecksum(key, payload), true);
      this.#table.put(key, row);
      return;
    }
    const { numbers } = this.#kept;
    const row = this.#kept.first(end + SEAL_BYTES);
    row.set(payload);
    numbers.setUint32(end, checksum32OfView(numbers, end, checksum32(key, key.length, 0)), true);
    this.#table.put(key, row);
  }

  remove(key: Uint8Array): void {
    this.#table.remove(key);
  }

  /** Rows as the table lends them, checked one by one as they are taken. */
  *getRange(options: RangeOptions): Generator<Row> {
    try {
      for (const { key, value } of this.#table.getRange(options))
        yield { key, value: this.#opened(key, value) };
    } catch (error) {
      throw readFailure(this.#name, error);
    }
  }

  /** Shows the same rows to `visit`, one by one, until it says `false`. */
  visitRange(options: RangeOptions, visit: (key: Uint8Array, payload: Uint8Array) => boolean): void {
    try {
      for (const { key, value } of this.#table.getRange(options))
        if (!visit(key, this.#opened(key, value))) break;
    } catch (error) {
      throw readFailure(this.#name, error);
    }
  }

  *getKeys(options: RangeOptions): Generator<Uint8Array> {
    try {
      yield* this.#table.getKeys(options);
    } catch (error) {
      throw readFailure(this.#name, error);
    }
  }

  #opened(key: Uint8Array, row: Uint8Array): Uint8Array {
    return openRow(this.#name, key, row);
  }
}

/**
 * Where the binding lends small rows from: one Buffer for all tables of a thread, until a larger row needs a larger one. It says so of it.
 */
let lent: LentMemory | null = null;

interface LentRow extends Uint8Array {
  readonly isGlobal?: boolean;
}

/**
 * The payload of a row, borrowed; throws KvCorruptError. LMDB hands out Buffers, some of them large and reused, with a `length` of their
 * own that slicing ignores.
 */
export function openRow(table: string, key: Uint8Array, row: LentRow): Uint8Array {
  const end = row.length - SEAL_BYTES;
  if (end < 0) throw damaged(table, key, `${row.length} bytes, less than a checksum`);
  if (lent === null || row !== lent.memory) {
    if (row.isGlobal !== true) return openOwnRow(table, key, row, end);
    lent = new LentMemory(row);
  }
  const { numbers } = lent;
  checkSeal(
    table,
    key,
    numbers.getUint32(end, true),
    checksum32OfView(numbers, end, checksum32(key, key.length, 0)),
  );
  return lent.first(end);
}

/** Of a row that has memory of its own. */
function openOwnRow(table: string, key: Uint8Array, row: Uint8Array, end: number): Uint8Array {
  const payload = new Uint8Array(row.buffer, row.byteOffset, end);
  const found = (row[end]! | (row[end + 1]! << 8) | (row[end + 2]! << 16) | (row[end + 3]! << 24)) >>> 0;
  checkSeal(table, key, found, rowChecksum(key, payload));
  return payload;
}

function checkSeal(table: string, key: Uint8Array, found: number, expected: number): void {
  if (found !== expected)
    throw damaged(table, key, `checksum ${hex(found)}, its bytes give ${hex(expected)}`);
}

function damaged(table: string, key: Uint8Array, found: string): KvCorruptError {
  const shown = Buffer.from(key.subarray(0, SHOWN_KEY_BYTES)).toString("hex");
  const rest = key.length > SHOWN_KEY_BYTES ? `… (${key.length} bytes)` : "";
  return new KvCorruptError(
    `${table}: the row under ${shown}${rest} is damaged: ${found}; verifyStore() finds what else is, a backup has it whole`,
  );
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, "0");
}
