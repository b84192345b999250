/**
 * Owns the placeholder for a commit's own versionstamp as the last part of a key.
 */
import { KeyKind } from "../codec/commit-frame.js";
import { encodeKey, type KvKey, type KvKeyPart } from "../codec/key.js";

declare const placeholderBrand: unique symbol;

/** Type of the placeholder that `kv.commitVersionstamp()` returns. A brand, since a `unique symbol` is widened by every `const`. */
export type KvCommitVersionstamp = symbol & { readonly [placeholderBrand]: true };

const PLACEHOLDER = Symbol("KvCommitVersionstamp") as KvCommitVersionstamp;

/** A key to `set`, whose last part may be the placeholder. */
export type KvSetKey = readonly (KvKeyPart | KvCommitVersionstamp)[];

/** The one placeholder. */
export function commitVersionstamp(): KvCommitVersionstamp {
  return PLACEHOLDER;
}

/** Bytes of the part that will be appended: its code, 20 hex digits, its end. */
const SUFFIX_BYTES = 22;

/** A key to set, encoded as far as it is known. */
export interface EncodedSetKey {
  readonly key: Uint8Array;
  /** Whether the commit's versionstamp is to be appended. */
  readonly keyKind: KeyKind;
}

/** A key to set. Its length is not looked at. */
export function encodeSetKey(key: KvSetKey): EncodedSetKey {
  if (!Array.isArray(key) || key.at(-1) !== PLACEHOLDER) {
    return { key: encodeKey(key as KvKey), keyKind: KeyKind.PLAIN };
  }
  return { key: encodeKey(key.slice(0, -1) as KvKey), keyKind: KeyKind.VERSIONSTAMPED };
}

/** Bytes that the key will have. */
export function wholeKeyBytes({ key, keyKind }: EncodedSetKey): number {
  return keyKind === KeyKind.VERSIONSTAMPED ? key.length + SUFFIX_BYTES : key.length;
}
