/**
 * Owns the range of encoded keys that a list selector means, and the cursor that names a place in it.
 *
 *     {prefix}        [ prefix 00 , prefix ff )      strictly longer keys: the prefix itself is not in it
 *     {prefix, start} [ start     , prefix ff )
 *     {prefix, end}   [ prefix 00 , end       )
 *     {start, end}    [ start     , end       )
 *     cursor := base64url, padded, of a key's bytes after the cursor base
 *     with prefix ["a"], the cursor at ["a", "b"] is 02 62 00, is "AmIA"
 *
 * Pure functions for any thread. Invariants: `start <= end` does not hold when a prefix meets an odd bound, and such a range is
 * simply empty, as is what is left after a cursor beyond it; a cursor never leads outside of the range it is applied to.
 *
 * @see Source: Deno KV, its cursor strings and error texts included.
 * Differs: a bound whose bytes, but not whose parts, begin with the prefix is refused; Deno lists an empty range. The cursor at a start
 * key whose bytes begin the end key's is not empty: an empty one means the beginning.
 */
import { KvTypeError } from "../errors.js";
import { checkReadKey, compareBytes, encodeKey, type KvKey } from "./key.js";

/** Which keys to list. */
export type KvListSelector =
  | { readonly prefix: KvKey }
  | { readonly prefix: KvKey; readonly start: KvKey }
  | { readonly prefix: KvKey; readonly end: KvKey }
  | { readonly start: KvKey; readonly end: KvKey };

/** Encoded keys from `start` (inclusive) to `end` (exclusive). */
export type KeyRange = { readonly start: Uint8Array; readonly end: Uint8Array };

/** A range, and the bytes that its cursors leave out. */
export type SelectorRange = KeyRange & { readonly cursorBase: Uint8Array };

type AnySelector = {
  readonly prefix?: KvKey | undefined;
  readonly start?: KvKey | undefined;
  readonly end?: KvKey | undefined;
};

const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/;

/**
 * Refuses a selector that has the wrong members. Looks at no key.
 *
 * @throws KvTypeError KV_INVALID_SELECTOR.
 */
export function checkSelectorShape(selector: KvListSelector): void {
  const { prefix, start, end } = (selector ?? {}) as AnySelector;
  if (prefix !== undefined && start !== undefined && end !== undefined) {
    throw new KvTypeError(
      "KV_INVALID_SELECTOR",
      "Selector can not specify both 'start' and 'end' key when specifying 'prefix'",
    );
  }
  if (prefix === undefined && (start === undefined || end === undefined)) {
    throw new KvTypeError(
      "KV_INVALID_SELECTOR",
      "Selector must specify either 'prefix' or both 'start' and 'end' key",
    );
  }
}

/**
 * The range that a selector means.
 *
 * @throws KvTypeError KV_INVALID_SELECTOR when its members or its keys don't fit together, KV_INVALID_KEY and KV_LIMIT_EXCEEDED for a bad key.
 */
export function selectorRange(selector: KvListSelector): SelectorRange {
  checkSelectorShape(selector);
  const { prefix, start, end } = selector as AnySelector;
  if (prefix !== undefined) return prefixRange(encodeBound(prefix), start, end);
  const startKey = encodeBound(start!);
  const endKey = encodeBound(end!);
  if (compareBytes(startKey, endKey) > 0) {
    throw new KvTypeError("KV_INVALID_SELECTOR", "Start key is greater than end key");
  }
  return { start: startKey, end: endKey, cursorBase: boundsBase(startKey, endKey) };
}

/**
 * Refuses a range whose bounds are too large to be read.
 *
 * @throws KvTypeError KV_LIMIT_EXCEEDED.
 */
export function checkRange(range: KeyRange): void {
  checkReadKey(range.start);
  checkReadKey(range.end);
}

/** The cursor that stands at `key`, which must begin with the cursor base. */
export function encodeCursor(key: Uint8Array, cursorBase: Uint8Array): string {
  return paddedBase64url(key.subarray(cursorBase.length));
}

/**
 * The key at which a cursor stands.
 *
 * @throws KvTypeError KV_INVALID_CURSOR when the text is not a cursor.
 */
export function decodeCursor(cursor: string, cursorBase: Uint8Array): Uint8Array {
  const isText = typeof cursor === "string" && cursor.length % 4 === 0 && BASE64URL.test(cursor);
  const suffix = isText ? Buffer.from(cursor, "base64url") : undefined;
  // Text with stray low bits decodes to the same bytes as another cursor: only the one that was handed out is valid.
  if (suffix === undefined || paddedBase64url(suffix) !== cursor) {
    throw new KvTypeError("KV_INVALID_CURSOR", "invalid cursor");
  }
  const key = new Uint8Array(cursorBase.length + suffix.length);
  key.set(cursorBase);
  key.set(suffix, cursorBase.length);
  return key;
}

/**
 * What is left of a range after the cursor's key, in the direction of the listing.
 *
 * @throws KvTypeError KV_INVALID_CURSOR when the key lies before the range, seen in the direction of the listing.
 */
export function applyCursor(range: KeyRange, cursorKey: Uint8Array, reverse: boolean): KeyRange {
  const bound = reverse ? cursorKey : withByte(cursorKey, 0x00);
  // As in Deno: a cursor beyond the end of its direction is no error, and nothing is left.
  const isBefore = reverse ? compareBytes(bound, range.end) > 0 : compareBytes(bound, range.start) < 0;
  if (isBefore) throw new KvTypeError("KV_INVALID_CURSOR", "cursor out of bounds");
  return reverse ? { start: range.start, end: bound } : { start: bound, end: range.end };
}

function prefixRange(prefixKey: Uint8Array, start: KvKey | undefined, end: KvKey | undefined): SelectorRange {
  const startKey = start === undefined ? undefined : encodeBound(start);
  const endKey = end === undefined ? undefined : encodeBound(end);
  if (startKey !== undefined && !isUnder(startKey, prefixKey)) {
    throw new KvTypeError("KV_INVALID_SELECTOR", "Start key is not in the keyspace defined by prefix");
  }
  if (endKey !== undefined && !isUnder(endKey, prefixKey)) {
    throw new KvTypeError("KV_INVALID_SELECTOR", "End key is not in the keyspace defined by prefix");
  }
  return {
    start: startKey ?? withByte(prefixKey, 0x00),
    end: endKey ?? withByte(prefixKey, 0xff),
    cursorBase: prefixKey,
  };
}

/** A longer key than any that can be read has no place in a range either; LMDB would not take it. */
function encodeBound(key: KvKey): Uint8Array {
  const encoded = encodeKey(key);
  checkReadKey(encoded);
  return encoded;
}

/** Whether a key is strictly longer than the prefix and has it as its first parts. */
function isUnder(key: Uint8Array, prefixKey: Uint8Array): boolean {
  if (key.length <= prefixKey.length) return false;
  if (compareBytes(key.subarray(0, prefixKey.length), prefixKey) !== 0) return false;
  // An ff goes on with the escape of a zero inside of the prefix's last part: ["a\0b"] is not under ["a"].
  return key[prefixKey.length] !== 0xff;
}

/** What the bounds have in common, less a byte where it is all of the start key: the cursor at that key must not be empty. */
function boundsBase(start: Uint8Array, end: Uint8Array): Uint8Array {
  const common = commonPrefix(start, end);
  return common.length < start.length ? common : common.subarray(0, Math.max(0, common.length - 1));
}

function commonPrefix(a: Uint8Array, b: Uint8Array): Uint8Array {
  const lengthMax = Math.min(a.length, b.length);
  let length = 0;
  while (length < lengthMax && a[length] === b[length]) length++;
  return a.slice(0, length);
}

function withByte(bytes: Uint8Array, last: number): Uint8Array {
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  longer[bytes.length] = last;
  return longer;
}

function paddedBase64url(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
  return text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}
