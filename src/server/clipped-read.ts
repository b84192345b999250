/**
 * Owns reads of ranges within somebody's rights: a range is cut to what may be read before anything is read, so that neither a limit nor the
 * time that a read takes tells of keys beyond it.
 */
import { ENTRY_HEADER_BYTES } from "../codec/entry.js";
import { compareBytes } from "../codec/key.js";
import type { EncodedKv, KvEncodedEntry, KvEncodedRange } from "../index.js";
import type { Principal } from "./access.js";
import { HttpError } from "./http-error.js";

/**
 * The entries of each range, all at one moment.
 *
 * @throws HttpError 403 when a range that is not empty has nothing in it that may be read.
 */
export async function clippedRead(
  kv: EncodedKv,
  { rights }: Principal,
  ranges: readonly KvEncodedRange[],
): Promise<KvEncodedEntry[][]> {
  const parts = ranges.map((range) => {
    const clipped = rights.clip("read", range);
    if (clipped.length === 0 && compareBytes(range.start, range.end) < 0) {
      throw new HttpError(403, "FORBIDDEN", "The access token may not read this range.");
    }
    return (range.reverse ? clipped.reverse() : clipped).map((part) => ({ ...range, ...part }));
  });
  const flat = parts.flat();
  const found = flat.length === 0 ? [] : await kv.read(flat);
  let next = 0;
  return ranges.map((range, index) => {
    const own = found.slice(next, next + parts[index]!.length);
    next += parts[index]!.length;
    return joinedParts(own, range);
  });
}

/** Whether a read ended because of its bounds: there may be more. */
export function isCutShort(entries: readonly KvEncodedEntry[], range: KvEncodedRange): boolean {
  if (entries.length >= range.limit) return true;
  const bytes = entries.reduce((sum, { value }) => sum + value.length + ENTRY_HEADER_BYTES, 0);
  return bytes >= (range.bytesMax ?? Number.POSITIVE_INFINITY);
}

/** One after the other, but nothing behind a part that was cut short: that would leave a gap. */
function joinedParts(parts: readonly KvEncodedEntry[][], range: KvEncodedRange): KvEncodedEntry[] {
  const joined: KvEncodedEntry[] = [];
  for (const part of parts) {
    joined.push(...part.slice(0, range.limit - joined.length));
    if (joined.length >= range.limit || isCutShort(part, range)) break;
  }
  return joined;
}
