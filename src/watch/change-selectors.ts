/**
 * Owns reading what a caller of `kv.changes` asks for: its selectors and options, checked and encoded. Pure functions.
 *
 * Invariants:
 * 1. Nothing of the caller's arrays is kept: they may change afterwards.
 */
import { checkReadKey, encodeKey } from "../codec/key.js";
import { KvTypeError } from "../errors.js";
import { WATCHER_BUFFER_BYTES_MAX, WATCHER_BUFFER_COUNT_MAX } from "../limits.js";
import type { ChangeSelector, ChangesOptions } from "./kv-change.js";
import type { EncodedSelector } from "./matcher.js";

/** Checked options. */
export interface FeedBounds {
  readonly signal: AbortSignal | undefined;
  readonly bufferBytesMax: number;
  readonly bufferCountMax: number;
}

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
 * The options with their defaults.
 *
 * @throws KvTypeError KV_INVALID_OPTION.
 */
export function checkChangesOptions(options: ChangesOptions): FeedBounds {
  if (typeof options !== "object" || options === null) {
    throw new KvTypeError(
      "KV_INVALID_OPTION",
      `options of changes must be an object, found ${describe(options)}`,
    );
  }
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new KvTypeError("KV_INVALID_OPTION", `signal must be an AbortSignal, found ${describe(signal)}`);
  }
  return {
    signal,
    bufferBytesMax: checkBound("bufferBytesMax", options.bufferBytesMax, WATCHER_BUFFER_BYTES_MAX),
    bufferCountMax: checkBound("bufferCountMax", options.bufferCountMax, WATCHER_BUFFER_COUNT_MAX),
  };
}

function encodeSelector(selector: unknown): EncodedSelector {
  if (typeof selector !== "object" || selector === null) throw invalidSelector(`found ${describe(selector)}`);
  const { key, prefix } = selector as { key?: unknown; prefix?: unknown };
  for (const name of Object.keys(selector)) {
    if (name !== "key" && name !== "prefix") throw invalidSelector(`found the property "${name}"`);
  }
  if ((key === undefined) === (prefix === undefined)) {
    throw invalidSelector(key === undefined ? "found neither" : "found both");
  }
  const parts = key ?? prefix;
  if (!Array.isArray(parts)) throw invalidSelector(`found ${describe(parts)} in place of the array of parts`);
  const bytes = encodeKey(parts);
  checkReadKey(bytes);
  if (key !== undefined && bytes.length === 0) {
    throw invalidSelector("found the empty key, which holds nothing; { prefix: [] } follows every key");
  }
  return { kind: key === undefined ? "prefix" : "key", bytes };
}

function checkBound(name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw new KvTypeError(
    "KV_INVALID_OPTION",
    `${name} must be a whole number from 1, found ${describe(value)}`,
  );
}

function invalidSelector(found: string): KvTypeError {
  return new KvTypeError(
    "KV_INVALID_SELECTOR",
    `a selector of changes is { key } or { prefix }, or an array of those: ${found}`,
  );
}

function describe(value: unknown): string {
  return value === null || typeof value === "number" ? String(value) : typeof value;
}
