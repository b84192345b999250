/**
 * Owns one change on its way from the record to the feeds that want it. Runs in the thread that delivers.
 *
 * Invariants:
 * 1. Key and value are decoded at most once, when the first feed hands the change over, however many feeds share it.
 * 2. Once retained, it keeps no bytes but its own: a small change must not hold the large block it was read with.
 */
import { ChangeCause, type ChangeRecord, ChangeType, readChangeRecord } from "../codec/change-record.js";
import { decodeKey } from "../codec/key.js";
import { decodeValue } from "../codec/value.js";
import type { KvChange } from "./kv-change.js";

/** A block of which a record is at least this part is kept rather than copied from. */
const KEPT_PART = 1 / 2;

export class CommittedChange {
  #record: ChangeRecord;
  #isRetained = false;
  #decoded: KvChange | undefined;

  /** @param record Borrows the bytes of its block, until `retain`. */
  constructor(record: ChangeRecord) {
    this.#record = record;
  }

  /** What it counts for in a buffer. */
  get bytes(): number {
    return this.#record.length;
  }

  /** Makes the change independent of the block that it was read with. Whoever keeps it calls this. */
  retain(): this {
    if (this.#isRetained) return this;
    this.#isRetained = true;
    const bytes = bytesOf(this.#record);
    if (bytes.byteLength < bytes.buffer.byteLength * KEPT_PART)
      this.#record = readChangeRecord(bytes.slice(), 0);
    return this;
  }

  /** The change as callers see it. Throws KvCorruptError when the stored bytes can't be decoded. */
  decode(): KvChange {
    this.#decoded ??= decodeRecord(this.#record);
    return this.#decoded;
  }
}

/** The whole record. Its key stands behind its header and its hashes. */
function bytesOf(record: ChangeRecord): Uint8Array {
  const { key } = record;
  return new Uint8Array(key.buffer, key.byteOffset - record.bodyOffset, record.length);
}

function decodeRecord(record: ChangeRecord): KvChange {
  const { type, cause, versionstamp } = record;
  const key = Object.freeze(decodeKey(record.key));
  if (type === ChangeType.delete) {
    const reason = cause === ChangeCause.expired ? "expired" : "delete";
    return Object.freeze({ type: "delete", cause: reason, key, value: null, versionstamp });
  }
  const value = decodeValue(record.encoding, record.value);
  return Object.freeze({
    type: type === ChangeType.create ? "create" : "update",
    cause: "set",
    key,
    value,
    versionstamp,
  });
}
