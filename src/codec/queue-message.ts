/**
 * Owns the bytes of a queued message and of its id. Little-endian, but for the id, which sorts.
 *
 *     id      := versionstamp of its commit (10 bytes) place among the commit's messages (u16, big-endian)
 *     message := encoding (u8) backoffCount (u8) keyCount (u16) enqueuedAtMs (f64) backoffMs (f64)* key* value (the rest)
 *     key     := keyLength (u16) encoded key
 *     true, enqueued at 0, one retry after 1 ms   is   01 01 0000 | 0000000000000000 | 000000000000f03f | ff 0f 54
 *
 * Pure functions for any thread. Invariants:
 * 1. A message never changes: the caller makes its bytes, the shard stores them as they are, whoever handles it reads them.
 *    What does change (how often it was tried, when it is due) stands in the rows of the queue's other tables.
 * 2. What the readers return borrows the bytes.
 */
import { KvCorruptError } from "../errors.js";
import { getF64, getU16, putBytes, putF64, putU16 } from "./little-endian.js";
import { VERSIONSTAMP_BYTES, writeVersionstamp } from "./versionstamp.js";

/** Bytes of a message's id. */
export const MESSAGE_ID_BYTES = VERSIONSTAMP_BYTES + 2;

/** What a message says. */
export type MessageFields = {
  readonly encoding: number;
  readonly value: Uint8Array;
  /** Milliseconds since 1970. */
  readonly enqueuedAtMs: number;
  /** Milliseconds before each further try. */
  readonly backoffMs: readonly number[];
  /** Encoded keys that the value is written under when it can't be delivered. */
  readonly keys: readonly Uint8Array[];
};

const HEADER_BYTES = 12;
const ENQUEUED_OFFSET = 4;

/** The id of message number `place` of a commit. */
export function messageId(counter: number, order: number, place: number): Uint8Array {
  const id = new Uint8Array(MESSAGE_ID_BYTES);
  writeVersionstamp(id, 0, counter, order);
  id[VERSIONSTAMP_BYTES] = place >>> 8;
  id[VERSIONSTAMP_BYTES + 1] = place;
  return id;
}

/** The bytes of a message, in memory of their own. */
export function encodeMessage(fields: MessageFields): Uint8Array {
  const { encoding, value, enqueuedAtMs, backoffMs, keys } = fields;
  const keyBytes = keys.reduce((sum, key) => sum + 2 + key.length, 0);
  const bytes = new Uint8Array(HEADER_BYTES + 8 * backoffMs.length + keyBytes + value.length);
  bytes[0] = encoding;
  bytes[1] = backoffMs.length;
  putU16(bytes, 2, keys.length);
  putF64(bytes, ENQUEUED_OFFSET, enqueuedAtMs);
  let end = HEADER_BYTES;
  for (const intervalMs of backoffMs) {
    putF64(bytes, end, intervalMs);
    end += 8;
  }
  for (const key of keys) {
    putU16(bytes, end, key.length);
    end = putBytes(bytes, end + 2, key);
  }
  putBytes(bytes, end, value);
  return bytes;
}

/**
 * The message in the bytes. It borrows them.
 *
 * @throws KvCorruptError KV_CORRUPT when its parts do not fit into the bytes.
 */
export function decodeMessage(bytes: Uint8Array): MessageFields {
  const backoffMs = readBackoff(bytes);
  const keys: Uint8Array[] = [];
  let end = HEADER_BYTES + 8 * backoffMs.length;
  for (let left = getU16(bytes, 2); left > 0; left--) {
    if (end + 2 > bytes.length) throw malformed(bytes);
    const start = end + 2;
    end = start + getU16(bytes, end);
    if (end > bytes.length) throw malformed(bytes);
    keys.push(slice(bytes, start, end));
  }
  return {
    encoding: bytes[0]!,
    value: slice(bytes, end, bytes.length),
    enqueuedAtMs: getF64(bytes, ENQUEUED_OFFSET),
    backoffMs,
    keys,
  };
}

/** The intervals before further tries alone: all that a shard asks of a message. */
export function readBackoff(bytes: Uint8Array): number[] {
  const count = bytes[1] ?? 0;
  if (bytes.length < HEADER_BYTES + 8 * count) throw malformed(bytes);
  return Array.from({ length: count }, (_, index) => getF64(bytes, HEADER_BYTES + 8 * index));
}

/** A plain Uint8Array even where the bytes are a Buffer. */
function slice(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

function malformed(bytes: Uint8Array): KvCorruptError {
  return new KvCorruptError(`a queued message of ${bytes.length} bytes ends early`);
}
