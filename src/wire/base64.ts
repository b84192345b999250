/**
 * Owns base64 (RFC 4648, padded), in every runtime that has `btoa`.
 */
import { KvTypeError } from "../errors.js";

/** Arguments of one call: far below every engine's limit. */
const CHUNK_BYTES = 0x2000;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
    text += String.fromCharCode(...bytes.subarray(offset, offset + CHUNK_BYTES));
  }
  return btoa(text);
}

/** @throws KvTypeError KV_INVALID_VALUE when the text is no base64. */
export function fromBase64(text: unknown): Uint8Array<ArrayBuffer> {
  try {
    if (typeof text !== "string") throw new TypeError("it is no text");
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
    return bytes;
  } catch (cause) {
    throw new KvTypeError("KV_INVALID_VALUE", `bytes must be base64: ${(cause as Error).message}`);
  }
}
