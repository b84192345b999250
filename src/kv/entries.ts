/**
 * Owns the making of a caller's entry from stored bytes.
 */
import { ENTRY_HEADER_BYTES, entryEncoding, entryVersionstamp } from "../codec/entry.js";
import { decodeKey, type KvKey } from "../codec/key.js";
import type { KvEntry, KvEntryMaybe } from "../codec/kv-entry.js";
import { decodeValue } from "../codec/value.js";
import type { ListedEntry } from "./list-iterator.js";

/** The entry under `key`; `bytes` are borrowed. */
export function entryMaybe<T>(key: KvKey, bytes: Uint8Array | null): KvEntryMaybe<T> {
  return bytes === null ? { key, value: null, versionstamp: null } : entry<T>(key, bytes);
}

/** An entry that a list found; `bytes` are borrowed. */
export function listedEntry<T>(encodedKey: Uint8Array, bytes: Uint8Array): ListedEntry<T> {
  return { encodedKey, entry: entry<T>(decodeKey(encodedKey), bytes) };
}

function entry<T>(key: KvKey, bytes: Uint8Array): KvEntry<T> {
  return {
    key,
    value: decodeValue(entryEncoding(bytes), bytes, ENTRY_HEADER_BYTES) as T,
    versionstamp: entryVersionstamp(bytes),
  };
}
