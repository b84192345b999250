/**
 * Owns the way from bytes to one-byte and two-byte strings.
 *
 * Pure functions for any thread. The bytes are borrowed for the call, the string is the caller's. Ranges must lie inside
 * the bytes.
 *
 * Hot path: a call into the binding costs 55 ns whatever the length, and putting a text together character by character 7 ns each. So
 * short texts are made by one call of `String.fromCharCode` with all their characters, 20 to 45 ns. Such a call needs its arguments in the
 * source, so there is a function for each length, made of text; where the runtime makes no functions of text, a loop does it.
 */

/** The methods of `Buffer` that read any `Uint8Array`; the type package leaves them out. */
type TextReader = {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  ucs2Slice(this: Uint8Array, start: number, end: number): string;
};

/** Longer texts are the binding's. */
const CALL_CHARACTERS_MAX = 32;
/** Where no functions are made of text. V8 copies concatenations up to 12 characters flat and makes ropes of longer ones. */
const LOOP_CHARACTERS_MAX = 12;

type ShortTextReader = (bytes: Uint8Array, start: number) => string;

const { latin1Slice, ucs2Slice } = Buffer.prototype as unknown as TextReader;

/** By length, from 0 to CALL_CHARACTERS_MAX; empty where no functions are made of text. */
const shortTextReaders: readonly ShortTextReader[] = makeShortTextReaders();

/** The bytes `start` (inclusive) to `end` (exclusive), each one a character of code 0 to 255. */
export function readLatin1(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  if (length < shortTextReaders.length) return shortTextReaders[length]!(bytes, start);
  if (length > LOOP_CHARACTERS_MAX) return latin1Slice.call(bytes, start, end);
  let text = "";
  for (let offset = start; offset < end; offset++) text += String.fromCharCode(bytes[offset]!);
  return text;
}

/** The bytes `start` (inclusive) to `end` (exclusive) as little-endian UTF-16 code units, lone surrogates kept. */
export function readUtf16(bytes: Uint8Array, start: number, end: number): string {
  return ucs2Slice.call(bytes, start, end);
}

function makeShortTextReaders(): ShortTextReader[] {
  try {
    return Array.from({ length: CALL_CHARACTERS_MAX + 1 }, (_, length) => {
      const codes = Array.from({ length }, (_, index) => `bytes[start+${index}]`);
      const make = new Function("of", `return (bytes,start)=>of(${codes.join(",")})`);
      return make(String.fromCharCode) as ShortTextReader;
    });
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    return [];
  }
}
