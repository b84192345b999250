/**
 * Owns reading what a caller of `kv.changes` asks for: its selectors, checked and encoded. Pure functions.
 *
 * Invariants:
 * 1. Nothing of the caller's arrays is kept: they may change afterwards.
 */
import { readLatin1 } from "../codec/byte-text.js";
import { checkReadKey, type EncodedKey, encodeKey, type KvKey, type KvKeyPart } from "../codec/key.js";
import { type KvListSelector, selectorRange } from "../codec/key-range.js";
import { KvTypeError } from "../errors.js";
import { anyPart, type ChangeSelector } from "./kv-change.js";
import type { EncodedSelector } from "./matcher.js";
import type { PatternParts } from "./pattern-trie.js";

/**
 * The selectors as bytes.
 *
 * @throws KvTypeError KV_INVALID_SELECTOR, or the codes of a bad key.
 */
export function encodeSelectors(selectors: ChangeSelector | readonly ChangeSelector[]): EncodedSelector[] {
  const list: readonly unknown[] = Array.isArray(selectors) ? selectors : [selectors];
  if (list.length === 0) {
    throw invalidSelector("found an empty array; { prefix: [] } follows every key");
  }
  return list.map(encodeSelector);
}

/**
 * One key. It keeps the key as text, which the matcher shares, and makes the bytes when they are asked for: an array of bytes has a hundred and
 * eighty beside its own, which would be a sixth of an idle feed.
 */
class KeySelector {
  readonly text: string;

  constructor(bytes: EncodedKey) {
    this.text = readLatin1(bytes, 0, bytes.length);
  }

  get kind(): "key" {
    return "key";
  }

  get bytes(): EncodedKey {
    return new Uint8Array(Buffer.from(this.text, "latin1")) as Uint8Array as EncodedKey;
  }
}

const MEMBERS = ["key", "prefix", "start", "end", "pattern"] as const;

function encodeSelector(selector: unknown): EncodedSelector {
  if (typeof selector !== "object" || selector === null) throw invalidSelector(`found ${describe(selector)}`);
  const members = selector as Partial<Record<(typeof MEMBERS)[number], unknown>>;
  for (const name of Object.keys(selector)) {
    if (!(MEMBERS as readonly string[]).includes(name)) throw invalidSelector(`found the property "${name}"`);
  }
  const found = MEMBERS.filter((name) => members[name] !== undefined);
  switch (found.join(" ")) {
    case "key":
      return new KeySelector(encodeWatchedKey(members.key));
    case "prefix":
      return { kind: "prefix", bytes: encodeParts(members.prefix) };
    case "start end":
    case "prefix start":
    case "prefix end":
      return encodeRange(selector as KvListSelector);
    case "pattern":
      return { kind: "pattern", parts: encodePattern(members.pattern) };
    default:
      throw invalidSelector(found.length === 0 ? "found none of these" : `found ${found.join(" with ")}`);
  }
}

function encodeWatchedKey(key: unknown): EncodedKey {
  const bytes = encodeParts(key);
  if (bytes.length === 0) {
    throw invalidSelector("found the empty key, which holds nothing; { prefix: [] } follows every key");
  }
  return bytes;
}

function encodeParts(parts: unknown): EncodedKey {
  if (!Array.isArray(parts)) throw invalidSelector(`found ${describe(parts)} in place of the array of parts`);
  const bytes = encodeKey(parts);
  checkReadKey(bytes);
  return bytes;
}

function encodeRange(selector: KvListSelector): EncodedSelector {
  for (const parts of Object.values(selector)) if (parts !== undefined) encodeParts(parts);
  const { start, end } = selectorRange(selector);
  return { kind: "range", start, end };
}

function encodePattern(pattern: unknown): PatternParts {
  if (!Array.isArray(pattern)) throw invalidSelector(`found ${describe(pattern)} in place of the pattern`);
  if (pattern.length === 0)
    throw invalidSelector("found the empty pattern, which no key fits; { prefix: [] } follows every key");
  // No part is shorter than one byte, so this refuses a pattern that no key can fit.
  checkReadKey(encodeKey(pattern.map((part: unknown) => (part === anyPart ? false : part)) as KvKey));
  return pattern.map((part: unknown) => (part === anyPart ? null : encodeKey([part as KvKeyPart])));
}

function invalidSelector(found: string): KvTypeError {
  return new KvTypeError(
    "KV_INVALID_SELECTOR",
    `a selector of changes is { key }, { prefix }, { start, end }, { prefix, start }, { prefix, end } or { pattern }, or an array of those: ${found}`,
  );
}

function describe(value: unknown): string {
  return value === null || typeof value === "number" ? String(value) : typeof value;
}
