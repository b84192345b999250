/**
 * Owns the two forms of a message between client and server, JSON and binary, and their media types.
 */
import { KvTypeError } from "../errors.js";
import { pack, unpack } from "./packed.js";
import { toTagged } from "./tagged.js";
import { fromTagged } from "./untagged.js";

export const JSON_TYPE = "application/json";
export const BINARY_TYPE = "application/x-belfry";
export type MessageForm = "json" | "binary";

/** A message in one of its forms. @throws KvTypeError KV_INVALID_VALUE, KV_LIMIT_EXCEEDED. */
export function encodeMessage(message: unknown, form: MessageForm): string | Uint8Array {
  return form === "json" ? JSON.stringify(toTagged(message)) : pack(toTagged(message, "raw"));
}

/** The message in some bytes. @throws KvTypeError KV_INVALID_VALUE, KV_LIMIT_EXCEEDED. */
export function decodeMessage(bytes: Uint8Array, form: MessageForm): unknown {
  return form === "json" ? decodeJson(new TextDecoder().decode(bytes)) : fromTagged(unpack(bytes));
}

/** The message in a text. @throws KvTypeError KV_INVALID_VALUE, KV_LIMIT_EXCEEDED. */
export function decodeJson(text: string): unknown {
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch (cause) {
    throw new KvTypeError("KV_INVALID_VALUE", `message is no JSON: ${(cause as Error).message}`);
  }
  return fromTagged(tree);
}
