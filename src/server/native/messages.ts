/**
 * Owns the two forms of a native message at the server: which one a request has and which one its answer.
 */
import {
  BINARY_TYPE,
  decodeMessage,
  encodeMessage,
  JSON_TYPE,
  type MessageForm,
} from "../../wire/message.js";
import type { Exchange } from "../exchange.js";
import { HttpError } from "../http-error.js";

/** What `curl -d` and `fetch` say of a text when nobody tells them more is taken for JSON too. */
const JSON_TYPES: ReadonlySet<string> = new Set([
  JSON_TYPE,
  "text/plain",
  "application/x-www-form-urlencoded",
]);

/** The message in a body. @throws HttpError 415; KvTypeError for a body that is no message. */
export function messageOf(exchange: Exchange, body: Uint8Array): unknown {
  return decodeMessage(body, formOf(exchange.headers["content-type"] ?? JSON_TYPE));
}

/** Answers with a message, in the form that the client accepts. */
export function sendMessage(exchange: Exchange, status: number, message: unknown): void {
  const isBinary = (exchange.headers.accept ?? "").includes(BINARY_TYPE);
  const headers = { "content-type": isBinary ? BINARY_TYPE : JSON_TYPE, "cache-control": "no-store" };
  exchange.send(status, headers, encodeMessage(message, isBinary ? "binary" : "json"));
}

function formOf(contentType: string): MessageForm {
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  if (JSON_TYPES.has(type)) return "json";
  if (type === BINARY_TYPE) return "binary";
  throw new HttpError(415, "UNSUPPORTED_MEDIA_TYPE", `the body must be ${JSON_TYPE} or ${BINARY_TYPE}`);
}
