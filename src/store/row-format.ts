/**
 * Owns the bytes of the rows that the store itself reads: a log row's key and the shard's head. Pure functions for any thread.
 *
 *     key of a log row := last versionstamp (10 bytes) · when it was written (f64 ms) · bytes of its records (u32)      (big-endian)
 *     head             := last versionstamp (10) · last trimmed versionstamp (10) · bytes of the log (f64)              (big-endian)
 */
import { KvCorruptError } from "../errors.js";

/** Bytes of a versionstamp, which the store sorts by and does not read. */
export const VERSIONSTAMP_BYTES = 10;
export const LOG_KEY_BYTES = VERSIONSTAMP_BYTES + 12;
const HEAD_BYTES = 2 * VERSIONSTAMP_BYTES + 8;

/** What a log row's key says of it. */
export interface LogRowHead {
  readonly key: Uint8Array;
  readonly writtenAtMs: number;
  readonly bytes: number;
}

/** Where a shard stands. */
export interface ShardHead {
  /** The last versionstamp that it has used, 10 private bytes. */
  readonly lastVersionstamp: Uint8Array;
  /** The last versionstamp of its log that has been trimmed away, 10 private bytes; zero when none has. */
  readonly trimmedThrough: Uint8Array;
  /** Bytes of records in its log. */
  readonly logBytes: number;
}

export function encodeLogKey(last: Uint8Array, writtenAtMs: number, bytes: number): Uint8Array {
  const key = new Uint8Array(LOG_KEY_BYTES);
  key.set(last);
  const view = new DataView(key.buffer);
  view.setFloat64(VERSIONSTAMP_BYTES, writtenAtMs);
  view.setUint32(VERSIONSTAMP_BYTES + 8, bytes);
  return key;
}

/** The key is copied. */
export function readLogRowHead(key: Uint8Array): LogRowHead {
  if (key.length !== LOG_KEY_BYTES)
    throw new KvCorruptError(`a log row's key is ${key.length} bytes, not ${LOG_KEY_BYTES}`);
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const writtenAtMs = view.getFloat64(VERSIONSTAMP_BYTES);
  return { key: key.slice(), writtenAtMs, bytes: view.getUint32(VERSIONSTAMP_BYTES + 8) };
}

export function encodeHead(head: ShardHead): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES);
  bytes.set(head.lastVersionstamp);
  bytes.set(head.trimmedThrough, VERSIONSTAMP_BYTES);
  new DataView(bytes.buffer).setFloat64(2 * VERSIONSTAMP_BYTES, head.logBytes);
  return bytes;
}

export function decodeHead(bytes: Uint8Array): ShardHead {
  if (bytes.length !== HEAD_BYTES)
    throw new KvCorruptError(`a shard's head is ${bytes.length} bytes, not ${HEAD_BYTES}`);
  return {
    lastVersionstamp: bytes.slice(0, VERSIONSTAMP_BYTES),
    trimmedThrough: bytes.slice(VERSIONSTAMP_BYTES, 2 * VERSIONSTAMP_BYTES),
    logBytes: new DataView(bytes.buffer, bytes.byteOffset).getFloat64(2 * VERSIONSTAMP_BYTES),
  };
}
