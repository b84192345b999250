/**
 * Owns the way from bytes to one-byte and two-byte strings.
 *
 * Pure functions for any thread. The bytes are borrowed for the call, the string is the caller's. Ranges must lie inside
 * the bytes. Hot path: names and short texts take a loop, since a call into the binding costs more than twelve characters.
 */

/** The methods of `Buffer` that read any `Uint8Array`; the type package leaves them out. */
type TextReader = {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  ucs2Slice(this: Uint8Array, start: number, end: number): string;
};

/** V8 copies concatenations up to 12 characters flat and makes ropes of longer ones. */
const LOOP_CHARACTERS_MAX = 12;

const { latin1Slice, ucs2Slice } = Buffer.prototype as unknown as TextReader;

/** The bytes `start` (inclusive) to `end` (exclusive), each one a character of code 0 to 255. */
export function readLatin1(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > LOOP_CHARACTERS_MAX) return latin1Slice.call(bytes, start, end);
  let text = "";
  for (let offset = start; offset < end; offset++) text += String.fromCharCode(bytes[offset]!);
  return text;
}

/** The bytes `start` (inclusive) to `end` (exclusive) as little-endian UTF-16 code units, lone surrogates kept. */
export function readUtf16(bytes: Uint8Array, start: number, end: number): string {
  return ucs2Slice.call(bytes, start, end);
}
