/**
 * Owns the shapes in which entries are handed to callers: Deno KV's, to the letter.
 */
import type { KvKey } from "./key.js";

/** What stands under a key. */
export interface KvEntry<T> {
  readonly key: KvKey;
  readonly value: T;
  /** 20 hex digits; grows with every commit of the whole store. */
  readonly versionstamp: string;
}

/** What stands under a key, or that nothing does: then value and versionstamp are `null`. */
export type KvEntryMaybe<T> =
  | KvEntry<T>
  | { readonly key: KvKey; readonly value: null; readonly versionstamp: null };
