/**
 * Owns what pages of other sites may do: nothing, unless their origin is allowed.
 *
 * A page can send a request anywhere, with a body, before anybody asks whether it may read the answer. So a request that names a foreign
 * origin is refused before it does anything. And where no token protects the store, a name that resolves to this machine must not
 * make a foreign page one of ours: there the host has to be a loopback one.
 */
import type { Exchange } from "./exchange.js";
import { HttpError } from "./http-error.js";

/** Origins whose pages may use the server; `"*"`: all. */
export type Origins = readonly string[] | "*";

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i;

/** @throws HttpError 403. Adds the headers of CORS for an origin that is allowed. */
export function checkOrigin(exchange: Exchange, origins: Origins, isOpen: boolean): void {
  if (isOpen && !LOOPBACK_HOST.test(exchange.host)) {
    throw new HttpError(
      403,
      "FORBIDDEN",
      "without access tokens this server answers to localhost, 127.0.0.1 and [::1] only",
    );
  }
  const { origin } = exchange.headers;
  if (origin === undefined || isSameOrigin(exchange, origin)) return;
  if (origins !== "*" && !origins.includes(origin)) {
    throw new HttpError(403, "FORBIDDEN", "this origin is not allowed");
  }
  exchange.addHeaders({
    "access-control-allow-origin": origin,
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": "authorization, content-type, last-event-id",
    "access-control-max-age": "600",
    vary: "Origin",
  });
}

/** Whether a browser only asks what it may do. */
export function isPreflight({ method, headers }: Exchange): boolean {
  return method === "OPTIONS" && headers.origin !== undefined && "access-control-request-method" in headers;
}

function isSameOrigin({ host, isSecure }: Exchange, origin: string): boolean {
  return origin === `${isSecure ? "https" : "http"}://${host}`;
}
