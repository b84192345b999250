/**
 * Owns the writing of a key as a path, for addresses and command lines.
 *
 *     path    := segment ("/" segment)*           the empty text is the empty key
 *     segment := digits with a sign, point or exponent as JSON has them   number: 42, -1.5, 1e21
 *              | "-0" | "NaN" | "Infinity" | "-Infinity"                  number
 *              | digits "n"                                               bigint: 42n
 *              | "true" | "false"                                         boolean
 *              | "0x" hex digits, an even number                          bytes: 0x, 0x00ff
 *              | '"' JSON string '"'                                      string, whatever is in it: "42"
 *              | anything else                                            string
 *     In strings "/" is %2F and "%" is %25; whatever is percent-encoded is decoded.
 *     ["users", 42, "a/b", "7"] is users/42/a%2Fb/"7"
 *
 * Pure functions for any runtime. Invariant: `parseKeyPath(formatKeyPath(key))` is the key.
 */
import type { KvKey, KvKeyPart } from "../codec/key-part.js";
import { KvTypeError } from "../errors.js";

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const BIGINT = /^-?\d+n$/;
const LONE_SURROGATE = /\p{Surrogate}/u;
const BYTES = /^0x(?:[0-9a-fA-F]{2})*$/;
const SPECIAL_NUMBERS: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

/** The key that a path writes. @throws KvTypeError KV_INVALID_KEY. */
export function parseKeyPath(path: string): KvKey {
  return path === "" ? [] : path.split("/").map(parseSegment);
}

/** The path of a key. */
export function formatKeyPath(key: KvKey): string {
  return key.map(formatPart).join("/");
}

function parseSegment(segment: string): KvKeyPart {
  const text = decoded(segment);
  if (NUMBER.test(text)) return Number(text);
  if (BIGINT.test(text)) return BigInt(text.slice(0, -1));
  if (text === "true" || text === "false") return text === "true";
  if (Object.hasOwn(SPECIAL_NUMBERS, text)) return SPECIAL_NUMBERS[text]!;
  if (BYTES.test(text)) return bytesOf(text.slice(2));
  return text.startsWith('"') ? quoted(text) : text;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new KvTypeError(
      "KV_INVALID_KEY",
      `${segment} in a key path is not percent-encoded: write % as %25`,
    );
  }
}

function quoted(text: string): string {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "string") return parsed;
  } catch {
    // Said below.
  }
  throw new KvTypeError("KV_INVALID_KEY", `${text} in a key path begins with a quote and is no JSON string`);
}

function bytesOf(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16);
  }
  return bytes;
}

function formatPart(part: KvKeyPart): string {
  if (typeof part === "number") return Object.is(part, -0) ? "-0" : String(part);
  if (typeof part === "bigint") return `${part}n`;
  if (typeof part === "boolean") return String(part);
  if (typeof part !== "string") {
    return `0x${Array.from(part, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
  // JSON writes a lone surrogate as an escape, which percent-encoding could not.
  const isPlain =
    part !== "" &&
    !part.startsWith('"') &&
    !LONE_SURROGATE.test(part) &&
    parseSegment(encodePart(part)) === part;
  return isPlain ? encodePart(part) : encodePart(JSON.stringify(part));
}

/** Only what would be mistaken: addresses and shells show the rest well enough. */
function encodePart(text: string): string {
  return text.replace(/[%/?#\s]/g, (character) => encodeURIComponent(character));
}
