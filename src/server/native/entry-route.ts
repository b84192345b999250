/**
 * Owns `/v1/entries/<key path>`: one entry as a resource, for hands and shells. GET, PUT, DELETE.
 */
import type { Kv } from "../../index.js";
import { parseKeyPath } from "../../wire/key-path.js";
import { JSON_TYPE } from "../../wire/message.js";
import type { Principal } from "../access.js";
import { demandKeys } from "../demands.js";
import type { Exchange } from "../exchange.js";
import { HttpError } from "../http-error.js";
import { messageOf, sendMessage } from "./messages.js";

export const ENTRIES_PATH = "/v1/entries/";
const BYTES_TYPE = "application/octet-stream";

export async function entryRoute(
  exchange: Exchange,
  kv: Kv,
  principal: Principal,
  readBody: () => Promise<Uint8Array>,
): Promise<void> {
  const key = parseKeyPath(exchange.path.slice(ENTRIES_PATH.length));
  switch (exchange.method) {
    case "GET":
    case "HEAD": {
      demandKeys(principal, "read", [key]);
      const entry = await kv.get(key);
      if (entry.versionstamp === null)
        throw new HttpError(404, "NOT_FOUND", "there is no entry under this key");
      sendEntry(exchange, entry.value, entry);
      return;
    }
    case "PUT": {
      demandKeys(principal, "write", [key]);
      const body = await readBody();
      const isBytes = (exchange.headers["content-type"] ?? JSON_TYPE).startsWith(BYTES_TYPE);
      sendMessage(exchange, 200, await kv.set(key, isBytes ? body : messageOf(exchange, body)));
      return;
    }
    case "DELETE":
      demandKeys(principal, "write", [key]);
      await kv.delete(key);
      sendMessage(exchange, 200, { ok: true });
      return;
    default:
      throw new HttpError(405, "METHOD_NOT_ALLOWED", "only GET, HEAD, PUT, DELETE", {
        allow: "GET, HEAD, PUT, DELETE",
      });
  }
}

/** Bytes go as they are to whoever asks for bytes. */
function sendEntry(exchange: Exchange, value: unknown, entry: unknown): void {
  const wantsBytes = (exchange.headers.accept ?? "").includes(BYTES_TYPE);
  if (wantsBytes && value instanceof Uint8Array) {
    exchange.send(200, { "content-type": BYTES_TYPE, "cache-control": "no-store" }, value);
  } else sendMessage(exchange, 200, entry);
}
