/**
 * Owns the bytes of one atomic commit on its way from a caller to the shards. Little-endian, unaligned.
 *
 *     frame    := total (u32, whole frame) checkCount (u16) mutationCount (u16) check* mutation* queue?
 *     check    := shard (u8) hasVersionstamp (u8: 0, 1) keyLength (u16) key versionstamp (10 bytes, only if it has one)
 *     mutation := type (u8) encoding (u8) shard (u8) flags (u8: keyKind, 2 ifChanged) keyLength (u16) valueLength (u32) expiresAtMs (f64)
 *                 key value
 *     queue    := what it does to the queue of one shard (queue-frame.ts), if anything
 *     delete ["a"] on shard 2   is   1d 00 00 00 | 00 00 | 01 00 | 02 00 02 00 03 00 00000000 0000000000000000 02 61 00
 *
 * Pure functions for any thread. Invariants:
 * 1. A frame that `readCommitFrame` accepts has exactly `total` bytes, known types and kinds, and shards below SHARDS_MAX.
 * 2. What it returns borrows the bytes: keys and values are good for as long as they are.
 *
 * Does not decide what a mutation does, or check the limits on keys and values: the caller did.
 */
import { KvCorruptError } from "../errors.js";
import { CHECKS_MAX, MUTATIONS_MAX, SHARDS_MAX } from "../limits.js";
import { ByteReader } from "./byte-reader.js";
import { getF64, getU16, getU32, putBytes, putF64, putU16, putU32 } from "./little-endian.js";
import { type QueueFields, queueFieldsBytes, readQueueFields, writeQueueFields } from "./queue-frame.js";
import { readCounter, readOrder, VERSIONSTAMP_BYTES, writeVersionstamp } from "./versionstamp.js";

/** What a mutation does. KV Connect's numbers. */
export const MutationType = { SET: 1, DELETE: 2, SUM: 3, MAX: 4, MIN: 5 } as const;
export type MutationType = (typeof MutationType)[keyof typeof MutationType];

/** Whether a mutation's key is complete, or the commit's versionstamp becomes its last part. */
export const KeyKind = { PLAIN: 0, VERSIONSTAMPED: 1 } as const;
export type KeyKind = (typeof KeyKind)[keyof typeof KeyKind];

/** One check: the entry has this versionstamp, or does not exist (`null`). */
export type CheckFields = {
  readonly shard: number;
  readonly key: Uint8Array;
  readonly versionstamp: { readonly counter: number; readonly order: number } | null;
};

/** One mutation. `encoding` is 0 and `value` empty for a delete. */
export type MutationFields = {
  readonly type: MutationType;
  readonly shard: number;
  readonly key: Uint8Array;
  readonly keyKind: KeyKind;
  readonly encoding: number;
  readonly value: Uint8Array;
  /** Milliseconds since 1970; 0 = never. */
  readonly expiresAtMs: number;
  /** A set does nothing when the same bytes stand there already. */
  readonly ifChanged?: boolean;
};

/** One atomic commit. */
export type CommitFields = {
  readonly checks: readonly CheckFields[];
  readonly mutations: readonly MutationFields[];
  /** Messages that are stored with the commit, or die with it. */
  readonly queue?: QueueFields;
};

const FLAG_IF_CHANGED = 2;
const HEADER_BYTES = 8;
const CHECK_HEADER_BYTES = 4;
const MUTATION_HEADER_BYTES = 18;
/** KV Connect's encodings are 1 to 3 (value.ts), and 0 stands where there is no value. */
const ENCODING_MAX = 3;
const ENCODING_LE64 = 2;

/** The length of the frame that `writeCommitFrame` makes. */
export function commitFrameBytes(fields: CommitFields): number {
  let bytes = HEADER_BYTES;
  for (const check of fields.checks) {
    bytes += CHECK_HEADER_BYTES + check.key.length + (check.versionstamp === null ? 0 : VERSIONSTAMP_BYTES);
  }
  for (const mutation of fields.mutations) {
    bytes += MUTATION_HEADER_BYTES + mutation.key.length + mutation.value.length;
  }
  return fields.queue === undefined ? bytes : bytes + queueFieldsBytes(fields.queue);
}

/**
 * Writes a frame and returns the offset after it. Hot path: once for every write.
 *
 * There is room for `commitFrameBytes(fields)`; the target may be shared memory.
 */
export function writeCommitFrame(target: Uint8Array, offset: number, fields: CommitFields): number {
  const { checks, mutations } = fields;
  putU16(target, offset + 4, checks.length);
  putU16(target, offset + 6, mutations.length);
  let end = offset + HEADER_BYTES;
  for (let index = 0; index < checks.length; index++) end = writeCheck(target, end, checks[index]!);
  for (let index = 0; index < mutations.length; index++) end = writeMutation(target, end, mutations[index]!);
  if (fields.queue !== undefined) end = writeQueueFields(target, end, fields.queue);
  putU32(target, offset, end - offset);
  return end;
}

/**
 * The commit in the bytes from `offset` to `end`. It borrows them.
 *
 * @throws KvCorruptError KV_CORRUPT when they are not exactly one well-formed frame.
 */
export function readCommitFrame(bytes: Uint8Array, offset: number, end: number): CommitFields {
  if (!(offset >= 0 && end <= bytes.length && end - offset >= HEADER_BYTES)) {
    throw malformed(`bytes ${offset} to ${end} of ${bytes.length} hold no header`);
  }
  if (getU32(bytes, offset) !== end - offset) {
    throw malformed(`it says ${getU32(bytes, offset)} bytes and has ${end - offset}`);
  }
  const checkCount = getU16(bytes, offset + 4);
  const mutationCount = getU16(bytes, offset + 6);
  if (checkCount > CHECKS_MAX || mutationCount > MUTATIONS_MAX) {
    throw malformed(`${checkCount} checks and ${mutationCount} mutations`);
  }
  const reader = new ByteReader("commit frame", bytes, offset + HEADER_BYTES, end);
  const checks: CheckFields[] = [];
  for (let index = 0; index < checkCount; index++) checks.push(readCheck(reader));
  const mutations: MutationFields[] = [];
  for (let index = 0; index < mutationCount; index++) mutations.push(readMutation(reader));
  if (reader.isAtEnd) return { checks, mutations };
  const queue = readQueueFields(reader);
  reader.finish();
  return { checks, mutations, queue };
}

function writeCheck(target: Uint8Array, offset: number, check: CheckFields): number {
  const { key, versionstamp } = check;
  target[offset] = check.shard;
  target[offset + 1] = versionstamp === null ? 0 : 1;
  putU16(target, offset + 2, key.length);
  const end = putBytes(target, offset + CHECK_HEADER_BYTES, key);
  if (versionstamp === null) return end;
  writeVersionstamp(target, end, versionstamp.counter, versionstamp.order);
  return end + VERSIONSTAMP_BYTES;
}

function writeMutation(target: Uint8Array, offset: number, mutation: MutationFields): number {
  const { key, value } = mutation;
  target[offset] = mutation.type;
  target[offset + 1] = mutation.encoding;
  target[offset + 2] = mutation.shard;
  target[offset + 3] = mutation.keyKind | (mutation.ifChanged === true ? FLAG_IF_CHANGED : 0);
  putU16(target, offset + 4, key.length);
  putU32(target, offset + 6, value.length);
  putF64(target, offset + 10, mutation.expiresAtMs);
  return putBytes(target, putBytes(target, offset + MUTATION_HEADER_BYTES, key), value);
}

function readCheck(reader: ByteReader): CheckFields {
  const { bytes } = reader;
  const start = reader.take(CHECK_HEADER_BYTES);
  const shard = bytes[start]!;
  const hasVersionstamp = bytes[start + 1]!;
  if (shard >= SHARDS_MAX || hasVersionstamp > 1) throw malformed(`a bad check at byte ${start}`);
  const key = reader.takeBytes(getU16(bytes, start + 2));
  if (hasVersionstamp === 0) return { shard, key, versionstamp: null };
  const stamp = reader.take(VERSIONSTAMP_BYTES);
  return { shard, key, versionstamp: { counter: readCounter(bytes, stamp), order: readOrder(bytes, stamp) } };
}

function readMutation(reader: ByteReader): MutationFields {
  const { bytes } = reader;
  const start = reader.take(MUTATION_HEADER_BYTES);
  const type = bytes[start]!;
  const encoding = bytes[start + 1]!;
  const shard = bytes[start + 2]!;
  const flags = bytes[start + 3]!;
  const keyKind = flags & ~FLAG_IF_CHANGED;
  const isKnown = type >= MutationType.SET && type <= MutationType.MIN && encoding <= ENCODING_MAX;
  if (!isKnown || shard >= SHARDS_MAX || keyKind > KeyKind.VERSIONSTAMPED) {
    throw malformed(`a bad mutation at byte ${start}`);
  }
  const key = reader.takeBytes(getU16(bytes, start + 4));
  const value = reader.takeBytes(getU32(bytes, start + 6));
  if (encoding === ENCODING_LE64 && value.length !== 8) throw malformed(`a u64 of ${value.length} bytes`);
  const mutation: MutationFields = {
    type: type as MutationType,
    shard,
    key,
    keyKind: keyKind as KeyKind,
    encoding,
    value,
    expiresAtMs: getF64(bytes, start + 10),
  };
  return flags === keyKind ? mutation : { ...mutation, ifChanged: true };
}

function malformed(found: string): KvCorruptError {
  return new KvCorruptError(`commit frame is malformed: ${found}`);
}
