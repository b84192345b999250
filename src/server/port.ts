/**
 * Owns one listening port that speaks HTTP/1.1 and HTTP/2.
 *
 * Without TLS nobody announces the protocol: Deno's client speaks HTTP/2 from its first byte. So the first bytes of each connection are
 * looked at: the preface of HTTP/2 (`PRI * HTTP/2.0…`) goes to one server, everything else to the other. With TLS, ALPN says it.
 *
 * Invariants:
 * 1. Every open socket is in `#sockets`, from its first moment to its last.
 * 2. No more than `connectionsMax` of them; one more is told so and closed.
 * 3. A connection on which nothing is asked for a while is closed, whatever it speaks.
 */
import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import { KvError } from "../errors.js";
import { SERVER_HEAD_MS_MAX, SERVER_IDLE_MS_MAX, SERVER_STREAMS_MAX } from "../limits.js";
import type { HttpRequest, HttpResponse } from "./exchange.js";

export interface PortOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly key: string | Buffer; readonly cert: string | Buffer } | null;
  readonly connectionsMax: number;
  readonly headMsMax?: number;
  readonly idleMsMax?: number;
  readonly onRequest: (request: HttpRequest, response: HttpResponse) => void;
}

const PREFACE = Buffer.from("PRI * HTTP/2.0");
const FULL =
  "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 21\r\n\r\ntoo many connections\n";

export class Port {
  readonly #options: PortOptions;
  readonly #headMsMax: number;
  readonly #idleMsMax: number;
  readonly #sockets = new Set<net.Socket>();
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  readonly #http1: http.Server;
  readonly #http2: http2.Http2Server;
  readonly #listener: net.Server;

  constructor(options: PortOptions) {
    this.#options = options;
    this.#headMsMax = options.headMsMax ?? SERVER_HEAD_MS_MAX;
    this.#idleMsMax = options.idleMsMax ?? SERVER_IDLE_MS_MAX;
    const timeouts = { headersTimeout: this.#headMsMax, keepAliveTimeout: this.#idleMsMax };
    const interval = Math.min(1000, this.#headMsMax);
    // A body has a time of its own (Exchange), which answers; Node's would only cut.
    const patience = { requestTimeout: 0, connectionsCheckingInterval: interval };
    this.#http1 = http.createServer({ ...timeouts, ...patience }, options.onRequest);
    // It never listens itself, and it is then that it begins to look for heads that do not arrive.
    this.#http1.emit("listening");
    const settings = { maxConcurrentStreams: SERVER_STREAMS_MAX };
    if (options.tls === null) {
      this.#http2 = http2.createServer({ settings }, options.onRequest);
      this.#listener = net.createServer({ noDelay: true }, (socket) => this.#sniff(socket));
    } else {
      const handshakeTimeout = this.#headMsMax;
      const secure = {
        ...options.tls,
        allowHTTP1: true,
        handshakeTimeout,
        settings,
        ...timeouts,
        ...patience,
      };
      const server = http2.createSecureServer(secure, options.onRequest);
      this.#http2 = server;
      this.#listener = server as unknown as net.Server;
      server.on("connection", (socket: net.Socket) => this.#admit(socket));
      server.on("tlsClientError", (_, socket) => socket.destroy());
    }
    this.#http2.on("session", (session) => this.#keep(session));
    this.#http2.on("sessionError", (_, session) => session.destroy());
    this.#http1.on("clientError", refuseGarbage);
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Bytes that wait for clients to take them. */
  get bufferedBytes(): number {
    let bytes = 0;
    for (const socket of this.#sockets) bytes += socket.writableLength;
    return bytes;
  }

  /** Begins to listen. @throws what the system says: the port is taken, not allowed, … */
  listen(): Promise<net.AddressInfo> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen({ host, port, backlog: 511 }, () => {
        this.#listener.off("error", reject);
        const address = this.#listener.address();
        if (address === null || typeof address === "string") {
          reject(new KvError("KV_STORAGE", `listening on ${host} gave no port`));
        } else resolve(address);
      });
    });
  }

  /**
   * Takes no more connections, and lets sessions of HTTP/2 end when their streams have. Node's own closing of an HTTP server also destroys
   * connections whose answer is not sent yet, since it takes an answer that is made for one that is done: so that comes last.
   */
  stop(): void {
    net.Server.prototype.close.call(this.#listener);
    for (const session of this.#sessions) session.close();
  }

  /** Ends what is left. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#http1.close();
    this.#http2.close();
  }

  #admit(socket: net.Socket): boolean {
    if (this.#sockets.size >= this.#options.connectionsMax) {
      if (this.#options.tls === null) socket.end(FULL);
      else socket.destroy();
      socket.on("error", () => {});
      return false;
    }
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    // Who writes to or reads from it hears of the error too; with nobody there it would end the process.
    socket.on("error", () => {});
    return true;
  }

  #keep(session: http2.ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on("close", () => this.#sessions.delete(session));
    session.on("error", () => {});
    // Nothing has moved, so no stream has had a heartbeat either: there is none, or its client takes nothing.
    session.setTimeout(this.#idleMsMax, () => session.close());
  }

  #sniff(socket: net.Socket): void {
    if (!this.#admit(socket)) return;
    const timer = setTimeout(() => socket.destroy(), this.#headMsMax);
    socket.once("close", () => clearTimeout(timer));
    let seen: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const length = Math.min(seen.length, PREFACE.length);
      const mayBeHttp2 = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
      if (mayBeHttp2 && length < PREFACE.length) return;
      clearTimeout(timer);
      socket.off("data", onData);
      socket.pause();
      socket.unshift(seen);
      const server = mayBeHttp2 ? this.#http2 : this.#http1;
      server.emit("connection", socket);
      if (!mayBeHttp2) socket.resume();
    };
    socket.on("data", onData);
  }
}

function refuseGarbage(
  error: NodeJS.ErrnoException,
  socket: NodeJS.WritableStream & { destroyed?: boolean },
) {
  if (socket.destroyed === true || !socket.writable) return;
  const status = error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
  const text = error.code === "HPE_HEADER_OVERFLOW" ? "the head is too large" : "this is no HTTP request";
  const body = `${status.startsWith("408") ? "the head did not arrive in time" : text}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}
