/**
 * Owns the way of one request: who it is from, whether it may ask now, which route it means, and what a failure is answered with.
 */
import type { EncodedKv, Kv } from "../index.js";
import { type Ending, LinkedSignal } from "../wire/linked-signal.js";
import type { Access, Principal } from "./access.js";
import { atomicWrite, snapshotRead } from "./connect/data-path.js";
import { CONNECT_PATH, dataPathVersion, metadata } from "./connect/metadata.js";
import { watchStream } from "./connect/watch-stream.js";
import { demandAdmin } from "./demands.js";
import type { Exchange } from "./exchange.js";
import { badRequest, errorBody, HttpError, httpErrorOf } from "./http-error.js";
import { type Metrics, OPENMETRICS_TYPE } from "./metrics.js";
import { ENTRIES_PATH, entryRoute } from "./native/entry-route.js";
import { messageOf, sendMessage } from "./native/messages.js";
import { ROUTES } from "./native/routes.js";
import { changesRoute, watchRoute } from "./native/streams.js";
import { checkOrigin, isPreflight, type Origins } from "./origin.js";
import type { RateLimiter } from "./rate-limit.js";
import type { StreamCount } from "./stream-count.js";

export interface HandlerMakings {
  readonly kv: Kv;
  readonly encoded: EncodedKv;
  readonly access: Access;
  readonly origins: Origins;
  readonly limiter: RateLimiter;
  readonly metrics: Metrics;
  readonly streams: StreamCount;
  readonly bodyBytesMax: number;
  readonly bodyMsMax: number;
  readonly port: () => { readonly connectionCount: number; readonly bufferedBytes: number };
  readonly openApi: string;
  /** Over when streams are to end. */
  readonly stopping: Ending;
  /** What nobody foresaw. */
  readonly onError: (error: unknown) => void;
}

type Route = (exchange: Exchange, principal: Principal) => Promise<void> | void;

const NATIVE = "/v1/";
const PLAIN = { "content-type": "text/plain; charset=utf-8" };

export class Handler {
  readonly #makings: HandlerMakings;
  readonly #routes: ReadonlyMap<string, Route>;

  constructor(makings: HandlerMakings) {
    this.#makings = makings;
    this.#routes = new Map([...this.#plainRoutes(), ...this.#connectRoutes(), ...this.#nativeRoutes()]);
  }

  /** Method and path of every route; one without a method takes several, and every path below its own. */
  get routes(): readonly string[] {
    return [...this.#routes.keys()];
  }

  /** Answers one request. Never rejects. */
  async handle(exchange: Exchange): Promise<void> {
    const startedMs = performance.now();
    const { metrics, onError } = this.#makings;
    const name = this.#routeName(exchange);
    let status = 200;
    try {
      await this.#answer(exchange, name);
    } catch (error) {
      const refusal = httpErrorOf(error, onError);
      status = refusal.status;
      sendRefusal(exchange, refusal);
    } finally {
      metrics.countRequest(name ?? "none", status, (performance.now() - startedMs) / 1000);
    }
  }

  async #answer(exchange: Exchange, name: string | undefined): Promise<void> {
    if (name === "GET /healthz") return exchange.send(200, PLAIN, "ok\n");
    if (name === "GET /readyz") return this.#ready(exchange);
    checkOrigin(exchange, this.#makings.origins, this.#makings.access.isOpen);
    if (isPreflight(exchange)) return exchange.send(204, {});
    const principal = this.#principal(exchange);
    if (this.#makings.stopping.isOver) {
      throw new HttpError(503, "SHUTTING_DOWN", "the server is shutting down", { "retry-after": "1" });
    }
    if (name === undefined) throw this.#noRoute(exchange);
    await this.#routes.get(name)!(exchange, principal);
  }

  #principal(exchange: Exchange): Principal {
    const { access, limiter } = this.#makings;
    const nowMs = performance.now();
    try {
      const principal = access.principal(exchange.headers.authorization);
      limiter.take(access.isOpen ? exchange.remoteAddress : `token ${principal.name}`, nowMs);
      return principal;
    } catch (error) {
      // Guesses count for the address that makes them.
      if (error instanceof HttpError && error.status === 401) limiter.take(exchange.remoteAddress, nowMs);
      throw error;
    }
  }

  #routeName({ method, path }: Exchange): string | undefined {
    if (path.startsWith(ENTRIES_PATH)) return ENTRIES_PATH;
    const name = `${method === "HEAD" ? "GET" : method} ${path}`;
    return this.#routes.has(name) ? name : undefined;
  }

  #noRoute({ path }: Exchange): HttpError {
    const methods = ["GET", "POST"].filter((method) => this.#routes.has(`${method} ${path}`));
    if (methods.length === 0) return new HttpError(404, "NOT_FOUND", "Resource not found.");
    const allowed = methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])).join(", ");
    return new HttpError(405, "METHOD_NOT_ALLOWED", `only ${allowed}`, { allow: allowed });
  }

  #ready(exchange: Exchange): void {
    const { kv, stopping } = this.#makings;
    const isUp =
      !stopping.isOver && kv.stats().shards.every(({ state }) => state !== "failed" && state !== "down");
    exchange.send(isUp ? 200 : 503, PLAIN, isUp ? "ready\n" : "not ready\n");
  }

  #plainRoutes(): [string, Route][] {
    const { metrics, kv, streams, openApi, port } = this.#makings;
    return [
      ["GET /healthz", () => {}],
      ["GET /readyz", () => {}],
      [
        "GET /v1/openapi.json",
        (exchange) => exchange.send(200, { "content-type": "application/json" }, openApi),
      ],
      [
        "GET /metrics",
        (exchange, principal) => {
          demandAdmin(principal);
          const gauges = {
            connections: port().connectionCount,
            bufferedBytes: port().bufferedBytes,
            changeStreams: streams.count("changes"),
            watchStreams: streams.count("watch"),
          };
          exchange.send(
            200,
            { "content-type": OPENMETRICS_TYPE },
            metrics.text(kv.stats(), kv.queueStats(), kv.history(), gauges),
          );
        },
      ],
    ];
  }

  #connectRoutes(): [string, Route][] {
    const { encoded, streams } = this.#makings;
    const protobuf = { "content-type": "application/x-protobuf" };
    const exchangeMetadata: Route = async (exchange) => {
      const body = await this.#body(exchange);
      const answer = metadata(exchange, body, encoded.storeId, Date.now());
      exchange.send(200, { "content-type": "application/json" }, JSON.stringify(answer));
    };
    return [
      ["POST /", exchangeMetadata],
      [`POST ${CONNECT_PATH}`, exchangeMetadata],
      [
        `POST ${CONNECT_PATH}/snapshot_read`,
        async (exchange, principal) => {
          const version = dataPathVersion(exchange, encoded.storeId);
          const body = await this.#body(exchange);
          exchange.send(200, protobuf, await snapshotRead(encoded, principal, body, version));
        },
      ],
      [
        `POST ${CONNECT_PATH}/atomic_write`,
        async (exchange, principal) => {
          dataPathVersion(exchange, encoded.storeId);
          const body = await this.#body(exchange);
          exchange.send(200, protobuf, await atomicWrite(encoded, principal, body));
        },
      ],
      [
        `POST ${CONNECT_PATH}/watch`,
        async (exchange, principal) => {
          if (dataPathVersion(exchange, encoded.storeId) < 3) {
            throw badRequest("watch: Only supported in version 3 of the protocol or higher.");
          }
          const body = await this.#body(exchange);
          using _counted = streams.begin("watch", exchange.connection);
          using ending = this.#ending(exchange);
          await watchStream(exchange, encoded, principal, body, ending.signal);
        },
      ],
    ];
  }

  #nativeRoutes(): [string, Route][] {
    const { kv, encoded, streams, metrics } = this.#makings;
    const messages = ROUTES.map(({ method, path, request, run }): [string, Route] => [
      `${method} ${path}`,
      async (exchange, principal) => {
        const message = request === null ? undefined : messageOf(exchange, await this.#body(exchange));
        sendMessage(exchange, 200, await run(message, { kv, encoded, principal }));
      },
    ]);
    const changes: Route = async (exchange, principal) => {
      const message =
        exchange.method === "POST" ? messageOf(exchange, await this.#body(exchange)) : undefined;
      using _counted = streams.begin("changes", exchange.connection);
      using ending = this.#ending(exchange);
      await changesRoute({
        exchange,
        kv,
        principal,
        message,
        signal: ending.signal,
        onChange: () => metrics.countChange(),
        onError: this.#makings.onError,
      });
    };
    const watch: Route = async (exchange, principal) => {
      const message =
        exchange.method === "POST" ? messageOf(exchange, await this.#body(exchange)) : undefined;
      using _counted = streams.begin("watch", exchange.connection);
      using ending = this.#ending(exchange);
      await watchRoute({
        exchange,
        kv,
        principal,
        message,
        signal: ending.signal,
        onChange: () => {},
        onError: this.#makings.onError,
      });
    };
    return [
      ...messages,
      ["GET /v1/changes", changes],
      ["POST /v1/changes", changes],
      ["GET /v1/watch", watch],
      ["POST /v1/watch", watch],
      [
        ENTRIES_PATH,
        (exchange, principal) => entryRoute(exchange, kv, principal, () => this.#body(exchange)),
      ],
    ];
  }

  #body(exchange: Exchange): Promise<Uint8Array> {
    return exchange.readBody(this.#makings.bodyBytesMax, this.#makings.bodyMsMax);
  }

  /** Aborts when the client goes or the server stops. */
  #ending(exchange: Exchange): LinkedSignal {
    return new LinkedSignal(this.#makings.stopping, exchange.signal);
  }
}

/** KV Connect's clients show the text as it is; everybody else gets a message. */
function sendRefusal(exchange: Exchange, refusal: HttpError): void {
  const { status, message, headers } = refusal;
  if (exchange.path.startsWith(NATIVE)) {
    const body = JSON.stringify(errorBody(refusal));
    exchange.send(status, { ...headers, "content-type": "application/json" }, body);
  } else exchange.send(status, { ...headers, ...PLAIN }, message);
}
