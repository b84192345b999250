/**
 * Owns the bytes of what a commit does to a queue: the last part of its frame (commit-frame.ts). Little-endian.
 *
 *     queue   := shard (u8) 0 (u8) enqueueCount (u16) burialCount (u16) enqueue* burial*
 *     enqueue := delayMs (f64) messageLength (u32) message (queue-message.ts)
 *     burial  := id (12 bytes) holder (f64) failures (u16) errorLength (u16) error (UTF-8)
 *
 * Pure functions for any thread. Invariants:
 * 1. All messages of a commit are of one shard, which takes part in it: they are stored with the commit or not at all, in their order.
 * 2. A commit with a burial is made only while its holder has the lease: a message dies once.
 */
import { MUTATIONS_MAX, SHARDS_MAX } from "../limits.js";
import type { ByteReader } from "./byte-reader.js";
import { getF64, getU16, getU32, putBytes, putF64, putU16, putU32 } from "./little-endian.js";
import { MESSAGE_ID_BYTES } from "./queue-message.js";

/** A message to be stored. */
export type EnqueueFields = {
  /** Milliseconds from the commit until it is due. */
  readonly delayMs: number;
  readonly message: Uint8Array;
};

/** A leased message that becomes a dead letter. */
export type BurialFields = {
  readonly id: Uint8Array;
  /** Who has the lease. */
  readonly holder: number;
  /** Times that its handler has failed, the last included. */
  readonly failures: number;
  /** What the last handler threw, in UTF-8. */
  readonly error: Uint8Array;
};

/** What a commit does to the queue of one shard. */
export type QueueFields = {
  readonly shard: number;
  readonly enqueues: readonly EnqueueFields[];
  readonly burials: readonly BurialFields[];
};

const HEADER_BYTES = 6;
const ENQUEUE_HEADER_BYTES = 12;
const BURIAL_HEADER_BYTES = MESSAGE_ID_BYTES + 12;

/** The length of what `writeQueueFields` makes. */
export function queueFieldsBytes({ enqueues, burials }: QueueFields): number {
  let bytes = HEADER_BYTES;
  for (const { message } of enqueues) bytes += ENQUEUE_HEADER_BYTES + message.length;
  for (const { error } of burials) bytes += BURIAL_HEADER_BYTES + error.length;
  return bytes;
}

/** Writes the part and returns the offset after it. There is room for `queueFieldsBytes(fields)`; the target may be shared memory. */
export function writeQueueFields(target: Uint8Array, offset: number, fields: QueueFields): number {
  const { shard, enqueues, burials } = fields;
  target[offset] = shard;
  target[offset + 1] = 0;
  putU16(target, offset + 2, enqueues.length);
  putU16(target, offset + 4, burials.length);
  let end = offset + HEADER_BYTES;
  for (const { delayMs, message } of enqueues) {
    putF64(target, end, delayMs);
    putU32(target, end + 8, message.length);
    end = putBytes(target, end + ENQUEUE_HEADER_BYTES, message);
  }
  for (const { id, holder, failures, error } of burials) {
    putBytes(target, end, id);
    putF64(target, end + MESSAGE_ID_BYTES, holder);
    putU16(target, end + MESSAGE_ID_BYTES + 8, failures);
    putU16(target, end + MESSAGE_ID_BYTES + 10, error.length);
    end = putBytes(target, end + BURIAL_HEADER_BYTES, error);
  }
  return end;
}

/** The part that begins where `reader` stands. It borrows the bytes. Throws KvCorruptError. */
export function readQueueFields(reader: ByteReader): QueueFields {
  const { bytes } = reader;
  const start = reader.take(HEADER_BYTES);
  const shard = bytes[start]!;
  const enqueueCount = getU16(bytes, start + 2);
  const burialCount = getU16(bytes, start + 4);
  if (shard >= SHARDS_MAX || enqueueCount > MUTATIONS_MAX) {
    throw reader.malformed(`a queue of shard ${shard} with ${enqueueCount} messages`);
  }
  const enqueues: EnqueueFields[] = [];
  for (let index = 0; index < enqueueCount; index++) {
    const at = reader.take(ENQUEUE_HEADER_BYTES);
    enqueues.push({ delayMs: getF64(bytes, at), message: reader.takeBytes(getU32(bytes, at + 8)) });
  }
  const burials: BurialFields[] = [];
  for (let index = 0; index < burialCount; index++) {
    const id = reader.takeBytes(MESSAGE_ID_BYTES);
    const at = reader.take(BURIAL_HEADER_BYTES - MESSAGE_ID_BYTES);
    const holder = getF64(bytes, at);
    const failures = getU16(bytes, at + 8);
    burials.push({ id, holder, failures, error: reader.takeBytes(getU16(bytes, at + 10)) });
  }
  return { shard, enqueues, burials };
}
