/**
 * Owns one request and its answer, the same over HTTP/1.1 and HTTP/2: the body with its bounds, the answer, and streams that wait for
 * their socket.
 *
 * Invariants:
 * 1. A body is held in memory up to its bound, and waited for up to its time.
 * 2. One answer a request. A handler that ends without one is a defect of the server, and `wasAnswered` shows it.
 * 3. A body that nobody wants is read and thrown away. Over HTTP/2 it would else fill what the connection may hold in memory, and every later
 *    request on it would be refused. Some time after the answer is complete the client is told to stop: nothing is left half open.
 * 4. `signal` aborts once: when the client has gone, or the answer is complete.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { badRequest, HttpError } from "./http-error.js";

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** Time after an answer in which the rest of a body nobody wants is still read, so that the client gets to read the answer. */
const LINGER_MS = 2_000;

export class Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Resolves when the client has its whole answer, or has gone. */
  readonly closed: Promise<void>;
  readonly #request: HttpRequest;
  readonly #response: HttpResponse;
  readonly #gone = new AbortController();
  #extraHeaders: Record<string, string> = {};
  #isBodyTaken = false;

  constructor(request: HttpRequest, response: HttpResponse) {
    this.#request = request;
    this.#response = response;
    this.method = request.method ?? "GET";
    this.headers = request.headers;
    const target = request.url ?? "/";
    const end = target.indexOf("?");
    this.path = end < 0 ? target : target.slice(0, end);
    this.query = new URLSearchParams(end < 0 ? "" : target.slice(end + 1));
    this.closed = new Promise((resolve) => {
      response.on("close", () => {
        this.#gone.abort();
        resolve();
      });
    });
    // A reset while nobody reads or writes: the "close" that follows says all there is.
    request.on("error", () => {});
    response.on("error", () => {});
  }

  /** Aborts when the client has gone or has its whole answer. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get wasAnswered(): boolean {
    return this.#response.headersSent || this.#gone.signal.aborted;
  }

  /** What the connection is told apart by. */
  get connection(): object {
    return "stream" in this.#request
      ? (this.#request.stream.session ?? this.#request.stream)
      : this.#request.socket;
  }

  get remoteAddress(): string {
    return this.#request.socket?.remoteAddress ?? "";
  }

  get host(): string {
    return this.headers.host ?? String(this.headers[":authority"] ?? "");
  }

  get isSecure(): boolean {
    return "encrypted" in (this.#request.socket ?? {});
  }

  /** Headers for whatever answer follows. */
  addHeaders(headers: Readonly<Record<string, string>>): void {
    this.#extraHeaders = { ...this.#extraHeaders, ...headers };
  }

  /**
   * The whole body.
   *
   * @throws HttpError 413 beyond `bytesMax`, 408 after `waitMsMax`, 400 when the client ended it halfway.
   */
  readBody(bytesMax: number, waitMsMax: number): Promise<Uint8Array> {
    this.#isBodyTaken = true;
    const stated = Number(this.headers["content-length"] ?? 0);
    if (stated > bytesMax) return Promise.reject(this.#refuseBody(`${stated} bytes`, bytesMax));
    return new Promise((resolve, reject) => {
      const request = this.#request;
      const chunks: Uint8Array[] = [];
      let length = 0;
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        request.off("data", onData);
        finish();
      };
      const onData = (chunk: Uint8Array): void => {
        length += chunk.length;
        if (length <= bytesMax) chunks.push(chunk);
        else settle(() => reject(this.#refuseBody("more", bytesMax)));
      };
      const timer = setTimeout(() => settle(() => reject(this.#refuseSlow(waitMsMax))), waitMsMax);
      request.on("data", onData);
      request.once("end", () => settle(() => resolve(joined(chunks, length))));
      request.once("close", () =>
        settle(() => reject(badRequest("the body ended before its stated length"))),
      );
    });
  }

  /** Sends a whole answer. */
  send(status: number, headers: Readonly<Record<string, string>>, body: string | Uint8Array = ""): void {
    if (this.wasAnswered) return;
    this.#leaveBody();
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    const length = { "content-length": String(bytes.length) };
    this.#response.writeHead(status, { ...this.#extraHeaders, ...headers, ...length });
    // The compatibility layers of both protocols have the same method with types of their own.
    (this.#response as ServerResponse).end(this.method === "HEAD" ? undefined : bytes);
    this.#endBody();
  }

  /** Begins an answer that goes on. */
  stream(status: number, headers: Readonly<Record<string, string>>): ResponseStream {
    this.#leaveBody();
    this.#response.writeHead(status, { ...this.#extraHeaders, ...headers });
    this.#request.socket?.setKeepAlive?.(true, 30_000);
    return new ResponseStream(this.#response as ServerResponse, this.signal, () => this.#endBody());
  }

  #refuseBody(found: string, bytesMax: number): HttpError {
    this.#request.resume();
    return new HttpError(413, "BODY_TOO_LARGE", `the body is ${found}, limit ${bytesMax} bytes`);
  }

  #refuseSlow(waitMsMax: number): HttpError {
    this.#request.resume();
    return new HttpError(408, "TIMEOUT", `the body did not arrive within ${waitMsMax} ms`);
  }

  #leaveBody(): void {
    if (this.#isBodyTaken) return;
    this.#isBodyTaken = true;
    this.#request.resume();
  }

  /** Sees to it that the client stops sending, once it has had the time to read the answer. */
  #endBody(): void {
    const request = this.#request;
    // Of HTTP/2 the response of the compatibility layer says that it is finished when all of the stream is.
    const writing = "stream" in request ? request.stream : this.#response;
    const wait = (): void => {
      if (request.readableEnded || request.destroyed) return;
      const end = setTimeout(() => cutOff(request), LINGER_MS).unref();
      request.once("end", () => clearTimeout(end));
      request.once("close", () => clearTimeout(end));
    };
    if (writing.writableFinished) wait();
    else writing.once("finish", wait);
  }
}

/**
 * An answer in pieces. *Back-pressure*: `write` resolves when the socket has room again, so a slow client holds up whoever writes to
 * it, and what waits for the socket is one piece and what the socket itself buffers.
 */
export class ResponseStream {
  readonly #response: ServerResponse;
  readonly #signal: AbortSignal;
  readonly #onEnd: () => void;

  constructor(response: ServerResponse, signal: AbortSignal, onEnd: () => void) {
    this.#response = response;
    this.#signal = signal;
    this.#onEnd = onEnd;
  }

  /** Sends the head at once, before the first piece. */
  flush(): void {
    if (!this.#signal.aborted) this.#response.flushHeaders();
  }

  /** Resolves when there is room for more, or the client has gone. */
  write(piece: string | Uint8Array): Promise<void> {
    if (this.#signal.aborted || this.#response.write(piece)) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#response.off("drain", settle);
        this.#signal.removeEventListener("abort", settle);
        resolve();
      };
      this.#response.once("drain", settle);
      this.#signal.addEventListener("abort", settle, { once: true });
    });
  }

  end(): void {
    if (this.#signal.aborted) return;
    this.#response.end();
    this.#onEnd();
  }
}

/** Ends what a client sends to no purpose. To destroy a request of HTTP/2 would leave its stream as it is, half open and read by nobody. */
function cutOff(request: HttpRequest): void {
  if ("stream" in request) request.stream.close(constants.NGHTTP2_NO_ERROR);
  else request.destroy();
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
