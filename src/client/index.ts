/**
 * The client: `belfry/client`. It runs in Node, Deno, Bun and browsers, and loads nothing of the engine.
 */
import { KvTypeError } from "../errors.js";
import { RemoteKv } from "./remote-kv.js";
import { Transport } from "./transport.js";

export { KvU64 } from "../codec/kv-u64.js";
export * from "../errors.js";
export type {
  ChangeSelector,
  ChangesOptions,
  KvChange,
  KvChangeEvent,
  KvCheck,
  KvCommitError,
  KvCommitResult,
  KvEntry,
  KvEntryMaybe,
  KvKey,
  KvKeyPart,
  KvListOptions,
  KvListSelector,
  KvMutation,
  KvSetOptions,
} from "../index.js";
export { anyPart } from "../watch/kv-change.js";
export { formatKeyPath, parseKeyPath } from "../wire/key-path.js";
export type { RemoteAtomicOperation } from "./remote-atomic.js";
export type { RemoteChangeFeed } from "./remote-changes.js";
export type { RemoteKv } from "./remote-kv.js";
export type { RemoteListIterator } from "./remote-list.js";

export interface ConnectOptions {
  /** The access token, where the server wants one. */
  readonly token?: string;
  /** Time for one request in milliseconds, from 1. Default: 30 000. */
  readonly timeoutMs?: number;
  /** How often a read that fails on its way is tried, from 1. Default: 5. */
  readonly attemptsMax?: number;
  /** Default: the runtime's. */
  readonly fetch?: typeof fetch;
}

/**
 * A store behind a server. Nothing is sent before the first call.
 *
 * @param url The server's address, `http:` or `https:`.
 * @throws KvTypeError KV_INVALID_OPTION.
 *
 * @example
 * const kv = connect("http://127.0.0.1:4512");
 * await kv.set(["users", 7], { name: "Ada" });
 */
export function connect(url: string, options: ConnectOptions = {}): RemoteKv {
  const { token, timeoutMs = 30_000, attemptsMax = 5 } = options;
  for (const [name, value] of Object.entries({ timeoutMs, attemptsMax })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new KvTypeError(
      "KV_INVALID_OPTION",
      `${name} must be a whole number from 1, found ${String(value)}`,
    );
  }
  return new RemoteKv(
    new Transport({
      url: checkedUrl(url),
      token,
      timeoutMs,
      attemptsMax,
      // Called as a method of something else, a browser's fetch refuses.
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    }),
  );
}

/** Without the slash at its end. */
function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const isGood = parsed !== undefined && /^https?:$/.test(parsed.protocol) && parsed.username === "";
  if (!isGood || parsed.search !== "" || parsed.hash !== "") {
    throw new KvTypeError("KV_INVALID_OPTION", `${url} is not the address of a server: http://host:port`);
  }
  return parsed.href.replace(/\/$/, "");
}
