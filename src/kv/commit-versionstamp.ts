/**
 * Owns the placeholder for a commit's own versionstamp as the last part of a key.
 */
import { KeyKind } from "../codec/commit-frame.js";
import { checkWriteKey, encodeKey, type KvKey, type KvKeyPart } from "../codec/key.js";
import { KvTypeError } from "../errors.js";
import { KEY_BYTES_MAX } from "../limits.js";

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

/** A key to set, encoded as far as it is known, and whether the commit's versionstamp is to be appended. */
export function encodeSetKey(key: KvSetKey): { readonly key: Uint8Array; readonly keyKind: KeyKind } {
  if (!Array.isArray(key) || key.at(-1) !== PLACEHOLDER) {
    const encoded = encodeKey(key as KvKey);
    checkWriteKey(encoded);
    return { key: encoded, keyKind: KeyKind.PLAIN };
  }
  const encoded = encodeKey(key.slice(0, -1) as KvKey);
  if (encoded.length + SUFFIX_BYTES > KEY_BYTES_MAX) {
    throw new KvTypeError("KV_LIMIT_EXCEEDED", `Key too large for write (max ${KEY_BYTES_MAX} bytes)`);
  }
  return { key: encoded, keyKind: KeyKind.VERSIONSTAMPED };
}
