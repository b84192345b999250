/**
 * Owns the bytes of one change: the same in the change ring, in the log and on the wire. Little-endian.
 *
 *      0 u32 length           whole record, without the padding that a ring or a log row adds
 *      4 u8  flags            bits 0-1 type (1 create, 2 update, 3 delete) · bits 2-3 cause (0 set, 1 delete, 2 expired)
 *                             bit 4 part of a multi-shard commit · bit 5 has previous · bit 6 stub, its body is in the log
 *      5 u8  encoding         of the value; 0 for a delete
 *      6 u8  hashCount
 *      7 u8  previousEncoding
 *      8     versionstamp     10 bytes, big-endian as everywhere
 *     18 u16 keyLength
 *     20 u32 valueLength
 *     24 u32 previousLength
 *     28 u16 place            of the change within its commit
 *     30 u16 0
 *     32 f64 expiresAtMs      0 = never
 *     40     hashes (hashCount × u32) key value previous
 *
 * Pure functions for any thread. Invariants:
 * 1. length = 40 + 4 × hashCount + keyLength + valueLength + previousLength.
 * 2. hash(i) is `hashBytes` of the key's first i + 1 parts (key-hash.ts), so that matching costs a reader no hashing.
 * 3. A stub has the header alone: no hashes, no key, no value.
 *
 * Does not align or pad: the ring and the log do.
 */
import { KvCorruptError } from "../errors.js";
import { PREFIX_DEPTH_MAX } from "../limits.js";
import { countParts, hashPrefixes } from "./key-hash.js";
import { putBytes } from "./little-endian.js";
import {
  readCounter,
  readOrder,
  readVersionstamp,
  type Versionstamp,
  writeVersionstamp,
} from "./versionstamp.js";

/** What happened to the entry. */
export const ChangeType = { create: 1, update: 2, delete: 3 } as const;
export type ChangeType = (typeof ChangeType)[keyof typeof ChangeType];

/** Why it happened. */
export const ChangeCause = { set: 0, delete: 1, expired: 2 } as const;
export type ChangeCause = (typeof ChangeCause)[keyof typeof ChangeCause];

/** What a record is written from. The bytes are borrowed for the call. */
export type ChangeFields = {
  readonly type: ChangeType;
  readonly cause: ChangeCause;
  /** Part of a commit that other shards take part in. */
  readonly isMulti: boolean;
  /** Encoding of the value; 0 for a delete. */
  readonly encoding: number;
  readonly counter: number;
  readonly order: number;
  /** Place of the change within its commit. */
  readonly place: number;
  /** Milliseconds since 1970; 0 = never. */
  readonly expiresAtMs: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The value before the change; left out where nobody asked for it. */
  readonly previous?: { readonly encoding: number; readonly value: Uint8Array } | undefined;
};

/** Bytes before the hashes. */
export const CHANGE_HEADER_BYTES = 40;

const FLAG_MULTI = 1 << 4;
const FLAG_PREVIOUS = 1 << 5;
const FLAG_STUB = 1 << 6;
const CAUSE_SHIFT = 2;

const LENGTH_OFFSET = 0;
const FLAGS_OFFSET = 4;
const ENCODING_OFFSET = 5;
const HASH_COUNT_OFFSET = 6;
const PREVIOUS_ENCODING_OFFSET = 7;
const VERSIONSTAMP_OFFSET = 8;
const KEY_LENGTH_OFFSET = 18;
const VALUE_LENGTH_OFFSET = 20;
const PREVIOUS_LENGTH_OFFSET = 24;
const PLACE_OFFSET = 28;
const RESERVED_OFFSET = 30;
const EXPIRES_OFFSET = 32;

const hashes = new Uint32Array(PREFIX_DEPTH_MAX);
const NOTHING = new Uint8Array(0);

/** The length of the record that `writeChangeRecord` makes. */
export function changeRecordBytes(fields: ChangeFields): number {
  const hashCount = Math.min(countParts(fields.key), PREFIX_DEPTH_MAX);
  const previousLength = fields.previous?.value.length ?? 0;
  return CHANGE_HEADER_BYTES + 4 * hashCount + fields.key.length + fields.value.length + previousLength;
}

/**
 * Writes a record and returns the offset after it. Hot path: once for every change.
 *
 * `view` covers the same memory as `target`, and there is room for `changeRecordBytes(fields)`.
 */
export function writeChangeRecord(
  target: Uint8Array,
  view: DataView,
  offset: number,
  fields: ChangeFields,
): number {
  const { key, value, previous } = fields;
  const hashCount = hashPrefixes(key, hashes);
  writeHeader(target, view, offset, fields);
  target[offset + HASH_COUNT_OFFSET] = hashCount;
  view.setUint16(offset + KEY_LENGTH_OFFSET, key.length, true);
  view.setUint32(offset + VALUE_LENGTH_OFFSET, value.length, true);
  let end = offset + CHANGE_HEADER_BYTES;
  for (let index = 0; index < hashCount; index++, end += 4) view.setUint32(end, hashes[index]!, true);
  end = putBytes(target, end, key);
  end = putBytes(target, end, value);
  if (previous !== undefined) {
    target[offset + FLAGS_OFFSET]! |= FLAG_PREVIOUS;
    target[offset + PREVIOUS_ENCODING_OFFSET] = previous.encoding;
    view.setUint32(offset + PREVIOUS_LENGTH_OFFSET, previous.value.length, true);
    end = putBytes(target, end, previous.value);
  }
  view.setUint32(offset + LENGTH_OFFSET, end - offset, true);
  return end;
}

/** Writes the stub of a change that is too large for the ring, and returns the offset after it. */
export function writeStubRecord(
  target: Uint8Array,
  view: DataView,
  offset: number,
  fields: StubFields,
): number {
  writeHeader(target, view, offset, fields);
  target[offset + FLAGS_OFFSET]! |= FLAG_STUB;
  view.setUint32(offset + LENGTH_OFFSET, CHANGE_HEADER_BYTES, true);
  return offset + CHANGE_HEADER_BYTES;
}

/** What a stub is written from: a `ChangeFields` or a `ChangeRecord` will do. */
export type StubFields = Pick<
  ChangeFields,
  "type" | "cause" | "isMulti" | "encoding" | "counter" | "order" | "place" | "expiresAtMs"
>;

/**
 * The record at `offset`, which borrows the bytes.
 *
 * A reader of many records gives their `view`, so that none is made for each.
 *
 * @throws KvCorruptError KV_CORRUPT when the lengths don't add up or the record is cut off.
 */
export function readChangeRecord(bytes: Uint8Array, offset: number, view = viewOf(bytes)): ChangeRecord {
  const room = bytes.length - offset;
  if (!(room >= CHANGE_HEADER_BYTES) || offset < 0) {
    throw new KvCorruptError(
      `change record at ${offset} has ${room} bytes, its header is ${CHANGE_HEADER_BYTES}`,
    );
  }
  const record = new ChangeRecord(bytes, view, offset);
  const flags = bytes[offset + FLAGS_OFFSET]!;
  const previousLength = view.getUint32(offset + PREVIOUS_LENGTH_OFFSET, true);
  const length = record.bodyOffset + record.keyLength + record.valueLength + previousLength;
  const isEmpty = length === CHANGE_HEADER_BYTES;
  const isOdd = record.isStub ? !isEmpty : record.hasPrevious ? false : previousLength !== 0;
  if (record.length !== length || length > room || isOdd || record.hashCount > PREFIX_DEPTH_MAX) {
    throw new KvCorruptError(
      `change record at ${offset} says ${record.length} bytes, its parts are ${length}, room is ${room}`,
    );
  }
  if ((flags & 3) === 0 || ((flags >> CAUSE_SHIFT) & 3) === 3) {
    throw new KvCorruptError(`change record at ${offset} has unknown flags ${flags}`);
  }
  return record;
}

/**
 * A read-only look at one record. It borrows the bytes, and so do `key`, `value` and `previous`: copy them before any await
 * if the bytes are a ring's or LMDB's.
 */
export class ChangeRecord {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #offset: number;

  /** Checks nothing: `readChangeRecord` does. */
  constructor(bytes: Uint8Array, view: DataView, offset: number) {
    this.#bytes = bytes;
    this.#view = view;
    this.#offset = offset;
  }

  /** Bytes of the whole record, unpadded. */
  get length(): number {
    return this.#view.getUint32(this.#offset + LENGTH_OFFSET, true);
  }

  get type(): ChangeType {
    return (this.#flags & 3) as ChangeType;
  }

  get cause(): ChangeCause {
    return ((this.#flags >> CAUSE_SHIFT) & 3) as ChangeCause;
  }

  /** Part of a commit that other shards take part in. */
  get isMulti(): boolean {
    return (this.#flags & FLAG_MULTI) !== 0;
  }

  /** The header alone is here; the change is in the log. */
  get isStub(): boolean {
    return (this.#flags & FLAG_STUB) !== 0;
  }

  get hasPrevious(): boolean {
    return (this.#flags & FLAG_PREVIOUS) !== 0;
  }

  /** Encoding of the value; 0 for a delete. */
  get encoding(): number {
    return this.#bytes[this.#offset + ENCODING_OFFSET]!;
  }

  /** Encoding of the previous value; 0 when there is none. */
  get previousEncoding(): number {
    return this.#bytes[this.#offset + PREVIOUS_ENCODING_OFFSET]!;
  }

  get counter(): number {
    return readCounter(this.#bytes, this.#offset + VERSIONSTAMP_OFFSET);
  }

  get order(): number {
    return readOrder(this.#bytes, this.#offset + VERSIONSTAMP_OFFSET);
  }

  get versionstamp(): Versionstamp {
    return readVersionstamp(this.#bytes, this.#offset + VERSIONSTAMP_OFFSET);
  }

  /** Place of the change within its commit. */
  get place(): number {
    return this.#view.getUint16(this.#offset + PLACE_OFFSET, true);
  }

  /** Milliseconds since 1970; 0 = never. */
  get expiresAtMs(): number {
    return this.#view.getFloat64(this.#offset + EXPIRES_OFFSET, true);
  }

  get keyLength(): number {
    return this.#view.getUint16(this.#offset + KEY_LENGTH_OFFSET, true);
  }

  get valueLength(): number {
    return this.#view.getUint32(this.#offset + VALUE_LENGTH_OFFSET, true);
  }

  /** The encoded key, borrowed. */
  get key(): Uint8Array {
    return this.#slice(this.bodyOffset, this.keyLength);
  }

  /** The encoded value, borrowed; empty for a delete. */
  get value(): Uint8Array {
    return this.#slice(this.bodyOffset + this.keyLength, this.valueLength);
  }

  /** The encoded previous value, borrowed; empty when there is none. */
  get previous(): Uint8Array {
    if (!this.hasPrevious) return NOTHING;
    const length = this.#view.getUint32(this.#offset + PREVIOUS_LENGTH_OFFSET, true);
    return this.#slice(this.bodyOffset + this.keyLength + this.valueLength, length);
  }

  /** How many leading parts of the key have a hash here. */
  get hashCount(): number {
    return this.#bytes[this.#offset + HASH_COUNT_OFFSET]!;
  }

  /** Offset of the key from the beginning of the record. */
  get bodyOffset(): number {
    return CHANGE_HEADER_BYTES + 4 * this.hashCount;
  }

  /** The hash of the key's first `index + 1` parts. `index` is below `hashCount`. */
  hash(index: number): number {
    return this.#view.getUint32(this.#offset + CHANGE_HEADER_BYTES + 4 * index, true);
  }

  /** Whether the bytes of the key are these characters. Hot path: it makes no view. */
  hasKeyText(text: string): boolean {
    const length = this.keyLength;
    if (text.length !== length) return false;
    const start = this.#offset + this.bodyOffset;
    for (let index = 0; index < length; index++) {
      if (this.#bytes[start + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  get #flags(): number {
    return this.#bytes[this.#offset + FLAGS_OFFSET]!;
  }

  /** A plain Uint8Array even where the bytes are a Buffer. */
  #slice(start: number, length: number): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.#offset + start, length);
  }
}

/** Writes the fields that a record and its stub share, and zeroes the others: the target may hold an older record. */
function writeHeader(target: Uint8Array, view: DataView, offset: number, fields: StubFields): void {
  target[offset + FLAGS_OFFSET] =
    fields.type | (fields.cause << CAUSE_SHIFT) | (fields.isMulti ? FLAG_MULTI : 0);
  target[offset + ENCODING_OFFSET] = fields.encoding;
  target[offset + HASH_COUNT_OFFSET] = 0;
  target[offset + PREVIOUS_ENCODING_OFFSET] = 0;
  writeVersionstamp(target, offset + VERSIONSTAMP_OFFSET, fields.counter, fields.order);
  view.setUint16(offset + KEY_LENGTH_OFFSET, 0, true);
  view.setUint32(offset + VALUE_LENGTH_OFFSET, 0, true);
  view.setUint32(offset + PREVIOUS_LENGTH_OFFSET, 0, true);
  view.setUint16(offset + PLACE_OFFSET, fields.place, true);
  view.setUint16(offset + RESERVED_OFFSET, 0, true);
  view.setFloat64(offset + EXPIRES_OFFSET, fields.expiresAtMs, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
