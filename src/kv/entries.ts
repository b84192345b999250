/**
 * Owns the making of a caller's entry from stored bytes.
 */
import { ENTRY_HEADER_BYTES, entryEncoding, entryVersionstamp } from "../codec/entry.js";
import type { KvKey } from "../codec/key.js";
import type { KvEntry, KvEntryMaybe } from "../codec/kv-entry.js";
import { decodeValue } from "../codec/value.js";

/** The entry under `key`; `bytes` are borrowed. */
export function entryMaybe<T>(key: KvKey, bytes: Uint8Array | null): KvEntryMaybe<T> {
  return bytes === null ? { key, value: null, versionstamp: null } : entryOf<T>(key, bytes);
}

/** The same where there is one. */
export function entryOf<T>(key: KvKey, bytes: Uint8Array): KvEntry<T> {
  return {
    key,
    value: decodeValue(entryEncoding(bytes), bytes, ENTRY_HEADER_BYTES) as T,
    versionstamp: entryVersionstamp(bytes),
  };
}
