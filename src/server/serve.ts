/**
 * Owns a running server: made of a store and options, until it is closed. The server is an edge: it uses the store as any caller does.
 */
import { lookup } from "node:dns/promises";
import { createRequire } from "node:module";
import { KvTypeError } from "../errors.js";
import type { Kv } from "../index.js";
import {
  SERVER_BODY_BYTES_MAX,
  SERVER_BODY_MS_MAX,
  SERVER_CONNECTIONS_MAX,
  SERVER_DRAIN_MS_MAX,
  SERVER_REQUESTS_BURST,
  SERVER_REQUESTS_PER_SECOND,
  SERVER_WATCHES_MAX,
} from "../limits.js";
import { Ending } from "../wire/linked-signal.js";
import { Access, type AccessToken } from "./access.js";
import { Exchange } from "./exchange.js";
import { Handler } from "./handler.js";
import { Metrics } from "./metrics.js";
import { openApi } from "./openapi.js";
import type { Origins } from "./origin.js";
import { Port } from "./port.js";
import { type RateLimit, RateLimiter } from "./rate-limit.js";
import { StreamCount } from "./stream-count.js";

export interface ServeOptions {
  /** Default: 4512; 0: any free one. */
  readonly port?: number;
  /** Default: 127.0.0.1. Without tokens it must be a loopback address. */
  readonly host?: string;
  /** Who may do what. Default: nobody needs a token, and only this machine is served. */
  readonly tokens?: readonly AccessToken[];
  /** PEM texts. With them the port speaks TLS only. */
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer };
  /** Origins whose pages may use the server (CORS). Default: none. */
  readonly origins?: Origins;
  /** Largest body in bytes. Default: 96 MiB. */
  readonly bodyBytesMax?: number;
  /** Default: 4096. */
  readonly connectionsMax?: number;
  /** Watches and change feeds on one connection. Default: 128. */
  readonly watchesMax?: number;
  /** Requests of one token, or without tokens of one address. Default: 10 000 a second, 20 000 at once. */
  readonly rate?: RateLimit;
  /** Time for a request's head to arrive, in milliseconds. Default: 10 000. */
  readonly headMsMax?: number;
  /** Time that a connection may be without a request, in milliseconds. Below 20 000 it ends idle streams over HTTP/2. Default: 65 000. */
  readonly idleMsMax?: number;
  /** Time for a request's body to arrive, in milliseconds. Default: 60 000. */
  readonly bodyMsMax?: number;
  /** Hears of errors inside of the server, whose text no client gets. Default: written to stderr. */
  readonly onError?: (error: unknown) => void;
}

const PORT_DEFAULT = 4512;
const PORT_MAX = 65_535;
const WHOLE_NUMBERS = [
  ...(["bodyBytesMax", "connectionsMax", "watchesMax", "headMsMax", "idleMsMax", "bodyMsMax"] as const),
];

/**
 * Serves a store: KV Connect for Deno's own clients, the native API, metrics, all on one port.
 *
 * *Closing*: `close()` ends the server and leaves the store open; a store that is closed ends the streams, and later requests fail.
 *
 * @throws KvTypeError KV_INVALID_OPTION; what the system says when the port can't be had.
 *
 * @example
 * const kv = await openKv("./data");
 * const server = await serve(kv, { port: 4512 });
 * console.log(server.url); // a Deno program: await Deno.openKv(url)
 */
export async function serve(kv: Kv, options: ServeOptions = {}): Promise<BelfryServer> {
  const access = new Access(options.tokens ?? []);
  const host = options.host ?? "127.0.0.1";
  checkOptions(options);
  if (access.isOpen) await demandLoopback(host);
  const server = new BelfryServer(kv, access, host, options);
  await server.listen();
  return server;
}

/** A server that runs; made by {@link serve}. */
export class BelfryServer {
  /** Whether everybody on this machine may do everything: no token is configured. */
  readonly isOpen: boolean;
  /** Method and path of everything it answers: `POST /v1/get`. `/v1/entries/` takes several methods, and every path below it. */
  readonly routes: readonly string[];
  readonly #port: Port;
  readonly #host: string;
  readonly #scheme: string;
  readonly #stopping = new Ending();
  readonly #running = new Set<Promise<void>>();
  #portNumber = 0;
  #closing: Promise<void> | null = null;

  /** Use {@link serve}. */
  constructor(kv: Kv, access: Access, host: string, options: ServeOptions) {
    this.isOpen = access.isOpen;
    this.#host = host;
    this.#scheme = options.tls === undefined ? "http" : "https";
    const handler = new Handler({
      kv,
      encoded: kv.encoded(),
      access,
      origins: options.origins ?? [],
      limiter: new RateLimiter(
        options.rate ?? { perSecond: SERVER_REQUESTS_PER_SECOND, burst: SERVER_REQUESTS_BURST },
      ),
      metrics: new Metrics(),
      streams: new StreamCount(options.watchesMax ?? SERVER_WATCHES_MAX),
      bodyBytesMax: options.bodyBytesMax ?? SERVER_BODY_BYTES_MAX,
      bodyMsMax: options.bodyMsMax ?? SERVER_BODY_MS_MAX,
      port: () => this.#port,
      openApi: JSON.stringify(openApi(packageVersion())),
      stopping: this.#stopping,
      onError: options.onError ?? ((error) => console.error("belfry server:", error)),
    });
    this.routes = handler.routes;
    this.#port = new Port({
      host,
      port: options.port ?? PORT_DEFAULT,
      tls: options.tls ?? null,
      connectionsMax: options.connectionsMax ?? SERVER_CONNECTIONS_MAX,
      ...(options.headMsMax !== undefined && { headMsMax: options.headMsMax }),
      ...(options.idleMsMax !== undefined && { idleMsMax: options.idleMsMax }),
      onRequest: (request, response) => {
        const exchange = new Exchange(request, response);
        // An answer that is made is not yet one that the client has.
        const running = handler.handle(exchange).then(() => exchange.closed);
        this.#running.add(running);
        void running.finally(() => this.#running.delete(running));
      },
    });
  }

  /** The address of the server, for clients on this machine. */
  get url(): string {
    const host = this.#host === "0.0.0.0" || this.#host === "::" ? "localhost" : this.#host;
    return `${this.#scheme}://${host.includes(":") ? `[${host}]` : host}:${this.#portNumber}`;
  }

  get port(): number {
    return this.#portNumber;
  }

  get connectionCount(): number {
    return this.#port.connectionCount;
  }

  async listen(): Promise<void> {
    this.#portNumber = (await this.#port.listen()).port;
  }

  /**
   * Takes no more connections, ends streams with a reason, lets requests that run finish for up to 10 s, and ends what is left. The store
   * stays open. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#stopping.end(new Error("the server is shutting down"));
    this.#port.stop();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SERVER_DRAIN_MS_MAX);
    });
    await Promise.race([Promise.allSettled([...this.#running]), patience]);
    clearTimeout(timer);
    this.#port.destroy();
  }
}

function checkOptions(options: ServeOptions): void {
  const { port = PORT_DEFAULT, rate } = options;
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX) {
    throw invalid(`port must be a whole number from 0 to ${PORT_MAX}, found ${String(port)}`);
  }
  for (const name of WHOLE_NUMBERS) {
    const value = options[name];
    if (value === undefined || (Number.isInteger(value) && value >= 1)) continue;
    throw invalid(`${name} must be a whole number from 1, found ${String(value)}`);
  }
  if (rate !== undefined && !(rate.perSecond > 0 && rate.burst >= 1)) {
    throw invalid("rate must have perSecond above 0 and burst from 1");
  }
}

async function demandLoopback(host: string): Promise<void> {
  const addresses = await lookup(host, { all: true });
  const isLoopback = addresses.every(({ address }) => address === "::1" || /^127\./.test(address));
  if (isLoopback) return;
  throw invalid(
    `host ${host} is reachable from other machines and no access token is configured: give tokens, or serve 127.0.0.1`,
  );
}

function packageVersion(): string {
  return (createRequire(import.meta.url)("belfry/package.json") as { version: string }).version;
}

function invalid(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_OPTION", message);
}
