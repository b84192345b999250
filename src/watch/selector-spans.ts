/**
 * Owns where in the order of keys the keys of some selectors stand: what has to be read to find them all. Pure functions.
 *
 * Invariants:
 * 1. The spans are in key order and do not overlap, and every selected key is in one of them.
 * 2. Where no selector is a pattern, a key in a span is selected. A pattern's span is all that is below its leading fixed parts.
 */
import { compareBytes } from "../codec/key.js";
import type { EncodedSelector } from "./matcher.js";

/** Keys from `start` (inclusive) to `end` (exclusive). */
export interface KeySpan {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

export function selectorSpans(selectors: readonly EncodedSelector[]): KeySpan[] {
  const spans = selectors.map(spanOf).sort((a, b) => compareBytes(a.start, b.start));
  const joined: KeySpan[] = [];
  for (const span of spans) {
    const last = joined.at(-1);
    if (compareBytes(span.start, span.end) >= 0) continue;
    if (last === undefined || compareBytes(span.start, last.end) > 0) joined.push(span);
    else if (compareBytes(span.end, last.end) > 0)
      joined[joined.length - 1] = { start: last.start, end: span.end };
  }
  return joined;
}

function spanOf(selector: EncodedSelector): KeySpan {
  switch (selector.kind) {
    case "key":
      return { start: selector.bytes, end: withByte(selector.bytes, 0x00) };
    case "prefix":
      return below(selector.bytes);
    case "range":
      return { start: selector.start, end: selector.end };
    case "pattern": {
      const any = selector.parts.indexOf(null);
      const fixed = selector.parts.slice(0, any < 0 ? -1 : any) as readonly Uint8Array[];
      return below(Buffer.concat(fixed));
    }
  }
}

/** All keys strictly below a prefix. */
function below(prefix: Uint8Array): KeySpan {
  return { start: withByte(prefix, 0x00), end: withByte(prefix, 0xff) };
}

function withByte(bytes: Uint8Array, last: number): Uint8Array {
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  longer[bytes.length] = last;
  return longer;
}
