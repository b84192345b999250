/**
 * Owns what a token may do: rights on key prefixes, and their questions about keys and ranges. Pure functions on encoded keys.
 *
 * A right on a prefix holds for the key that is the prefix and for every key below it. In bytes: for `[ prefix , prefix ff )`, since no
 * part of a key begins with ff, but an escaped zero inside of a part goes on with it.
 */
import { compareBytes, encodeKey, type KvKey } from "../codec/key.js";

/** `admin` includes the other two, and the store as a whole: its statistics, its dead letters. */
export type Right = "read" | "write" | "admin";

/** What one token may do below one prefix. */
export interface Grant {
  readonly prefix: KvKey;
  readonly rights: readonly Right[];
}

interface Span {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

export interface ByteRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

/** The rights of whoever makes a request. */
export class Rights {
  readonly #spans: Readonly<Record<"read" | "write", readonly Span[]>>;
  /** Whether it may ask about the store as a whole. */
  readonly isAdmin: boolean;

  constructor(grants: readonly Grant[]) {
    this.#spans = { read: spansOf(grants, "read"), write: spansOf(grants, "write") };
    this.isAdmin = grants.some(({ prefix, rights }) => prefix.length === 0 && rights.includes("admin"));
  }

  coversKey(right: "read" | "write", key: Uint8Array): boolean {
    return this.#spans[right].some(({ start, end }) => isWithin(key, start, end));
  }

  coversRange(right: "read" | "write", range: ByteRange): boolean {
    return this.#spans[right].some(
      ({ start, end }) => compareBytes(start, range.start) <= 0 && compareBytes(range.end, end) <= 0,
    );
  }

  /** The parts of a range that may be touched, in order, without overlaps. */
  clip(right: "read" | "write", range: ByteRange): ByteRange[] {
    const parts: ByteRange[] = [];
    for (const span of this.#spans[right]) {
      const start = compareBytes(span.start, range.start) > 0 ? span.start : range.start;
      const end = compareBytes(span.end, range.end) < 0 ? span.end : range.end;
      if (compareBytes(start, end) < 0) parts.push({ start, end });
    }
    return parts;
  }
}

/** Everything: where no token is configured. */
export const ALL_RIGHTS = new Rights([{ prefix: [], rights: ["admin"] }]);

/** Sorted; nested and touching ones joined, so that no key is listed twice. */
function spansOf(grants: readonly Grant[], right: "read" | "write"): Span[] {
  const spans = grants
    .filter(({ rights }) => rights.includes(right) || rights.includes("admin"))
    .map(({ prefix }) => spanOf(encodeKey(prefix)))
    .sort((a, b) => compareBytes(a.start, b.start));
  const joined: Span[] = [];
  for (const span of spans) {
    const last = joined.at(-1);
    if (last === undefined || compareBytes(span.start, last.end) >= 0) joined.push(span);
  }
  return joined;
}

function spanOf(prefix: Uint8Array): Span {
  const end = new Uint8Array(prefix.length + 1).fill(0xff);
  end.set(prefix);
  return { start: prefix, end };
}

function isWithin(key: Uint8Array, start: Uint8Array, end: Uint8Array): boolean {
  return compareBytes(start, key) <= 0 && compareBytes(key, end) < 0;
}
