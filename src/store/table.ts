/**
 * Owns what of lmdb the tables of a shard use, with the options that its typings leave out.
 */

/** A read transaction that somebody holds open. Ended by `done`. */
export interface HeldSnapshot {
  done(): void;
}

/** Where a cursor begins and ends. */
export interface RangeOptions {
  start?: Uint8Array;
  end?: Uint8Array;
  reverse?: boolean;
  limit?: number;
  exclusiveStart?: boolean;
  inclusiveEnd?: boolean;
  values?: boolean;
  transaction?: HeldSnapshot;
}

/** A key and its value. */
export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** One sub-database. What it returns is borrowed until the next call, but for `getBinary`. */
export interface Table {
  getBinaryFast(key: Uint8Array, options?: { transaction?: HeldSnapshot }): Uint8Array | undefined;
  getBinary(key: Uint8Array, options?: { transaction?: HeldSnapshot }): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): unknown;
  remove(key: Uint8Array): unknown;
  getRange(options: RangeOptions): Iterable<Row>;
  getKeys(options: RangeOptions): Iterable<Uint8Array>;
}

/**
 * LMDB hands out Buffers, some of them one large reused buffer with a `length` of its own that slicing ignores.
 * Callers see plain arrays of the true length.
 */
export function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
