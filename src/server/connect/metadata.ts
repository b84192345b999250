/**
 * Owns KV Connect's first exchange: which version is spoken, where, and with which token.
 */
import { CONNECT_METADATA_MS } from "../../limits.js";
import type { Exchange } from "../exchange.js";
import { badRequest } from "../http-error.js";

/** Path of the data path's methods. */
export const CONNECT_PATH = "/connect";

const VERSION_MAX = 3;
/** What a client is to send back where no token is configured: it must have one, and it opens nothing. */
const OPEN_TOKEN = "no-token-is-configured";

/** The answer to a metadata request. @throws HttpError 400 when no version suits both. */
export function metadata(exchange: Exchange, body: Uint8Array, storeId: string, nowMs: number): object {
  const version = Math.max(...offeredVersions(body).filter(isSpoken), 0);
  if (version === 0) {
    throw badRequest(
      "The server could not negotiate a protocol version. The server requires protocol version 1, 2 or 3.",
    );
  }
  const scheme = exchange.isSecure ? "https" : "http";
  // Version 1 knows absolute addresses only.
  const url = version === 1 ? `${scheme}://${exchange.host}${CONNECT_PATH}` : CONNECT_PATH;
  const token = /^Bearer +([^\s]+)/i.exec(exchange.headers.authorization ?? "")?.[1];
  return {
    version,
    databaseId: storeId,
    endpoints: [{ url, consistency: "strong" }],
    token: token ?? OPEN_TOKEN,
    expiresAt: new Date(nowMs + CONNECT_METADATA_MS).toISOString(),
  };
}

/** The version that a request on the data path speaks. @throws HttpError 400. */
export function dataPathVersion(exchange: Exchange, storeId: string): number {
  const stated = exchange.headers["x-denokv-version"];
  const isFirst = stated === undefined && exchange.headers["x-transaction-domain-id"] !== undefined;
  const version = isFirst ? 1 : Number(stated);
  if (!isSpoken(version)) throw badRequest("Expected protocol version 1, 2 or 3.");
  const id = exchange.headers[version === 1 ? "x-transaction-domain-id" : "x-denokv-database-id"];
  if (id !== storeId) throw badRequest("Invalid database id.");
  return version;
}

function isSpoken(version: number): boolean {
  return Number.isInteger(version) && version >= 1 && version <= VERSION_MAX;
}

/** A request without a body is one of a client that knows version 1 only. */
function offeredVersions(body: Uint8Array): number[] {
  if (body.length === 0) return [1];
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw badRequest("The metadata request is no JSON.");
  }
  const versions = (content as { supportedVersions?: unknown } | null)?.supportedVersions;
  if (!Array.isArray(versions)) throw badRequest("The metadata request has no supportedVersions.");
  return versions.filter((version) => typeof version === "number");
}
