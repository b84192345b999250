/**
 * Owns the requests of one client: the token, the form of messages, trying again, and what a lost connection means.
 *
 * A read that fails on its way is tried again. A write is tried again only when it is certain that nothing was done: the server said so, or it
 * could not be reached at all. Else nobody knows, and the caller is told that.
 */
import { KvClosedError, KvInterruptedError, KvUnknownOutcomeError, KvUnreachableError } from "../errors.js";
import { Ending, LinkedSignal } from "../wire/linked-signal.js";
import { BINARY_TYPE, decodeMessage, encodeMessage, JSON_TYPE } from "../wire/message.js";
import { Backoff } from "./backoff.js";
import { errorOf, isPassing } from "./wire-errors.js";

export interface TransportOptions {
  readonly url: string;
  readonly token: string | undefined;
  readonly timeoutMs: number;
  readonly attemptsMax: number;
  readonly fetch: typeof fetch;
}

/** What a request does to the store. */
export type Effect = "read" | "write";

type Outcome =
  | { readonly kind: "answer"; readonly message: unknown }
  | { readonly kind: "failure"; readonly error: unknown; readonly mayRetry: boolean };

export class Transport {
  readonly #options: TransportOptions;
  readonly #closed = new Ending();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Aborts when the client is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Ends every request and stream of the client. Doing it twice does nothing. */
  close(): void {
    this.#closed.end(new KvClosedError());
  }

  /**
   * Asks, and gives the answer's message.
   *
   * @throws KvClosedError; KvInterruptedError; KvUnreachableError; KvUnknownOutcomeError for a write; what the server refuses with.
   */
  async call(path: string, message: unknown, effect: Effect): Promise<unknown> {
    const body = message === undefined ? undefined : encodeMessage(message, "binary");
    const backoff = new Backoff();
    for (;;) {
      this.#closed.signal.throwIfAborted();
      const outcome = await this.#attempt(path, body, effect);
      if (outcome.kind === "answer") return outcome.message;
      if (!outcome.mayRetry || backoff.attempts + 1 >= this.#options.attemptsMax) throw outcome.error;
      using waiting = new LinkedSignal(this.#closed);
      await backoff.wait(waiting.signal);
    }
  }

  /** Opens a stream of server-sent events. @throws KvUnreachableError when it may work later; what the server refuses with. */
  async open(path: string, message: unknown, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const sent = this.#fetch(path, encodeMessage(message, "json"), JSON_TYPE, signal);
    const response = await sent.catch((cause) => {
      throw this.#unreachable(cause);
    });
    if (response.ok && response.body !== null) return response.body as ReadableStream<Uint8Array>;
    const body = await readBody(response);
    const error = errorOf(response.status, body);
    throw response.status >= 500 || isPassing(response.status, body) ? this.#unreachable(error) : error;
  }

  async #attempt(path: string, body: string | Uint8Array | undefined, effect: Effect): Promise<Outcome> {
    const limit = new LinkedSignal(this.#closed, undefined, this.#options.timeoutMs);
    try {
      const response = await this.#fetch(path, body, BINARY_TYPE, limit.signal);
      const message = await readBody(response);
      if (response.ok) return { kind: "answer", message };
      const mayRetry = isPassing(response.status, message);
      return { kind: "failure", error: errorOf(response.status, message), mayRetry };
    } catch (cause) {
      if (this.#closed.signal.aborted)
        return { kind: "failure", error: new KvInterruptedError(), mayRetry: false };
      if (effect === "read" || wasRefused(cause)) {
        return { kind: "failure", error: this.#unreachable(cause), mayRetry: true };
      }
      return { kind: "failure", error: new KvUnknownOutcomeError(null, { cause }), mayRetry: false };
    } finally {
      limit[Symbol.dispose]();
    }
  }

  #fetch(
    path: string,
    body: string | Uint8Array | undefined,
    type: string,
    signal: AbortSignal,
  ): Promise<Response> {
    const { url, token } = this.#options;
    const headers: Record<string, string> = { accept: type };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = type;
    return this.#options.fetch(url + path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      signal,
      redirect: "error",
      ...(body !== undefined && { body: body as string }),
    });
  }

  #unreachable(cause: unknown): KvUnreachableError {
    return new KvUnreachableError(this.#options.url, { cause });
  }
}

async function readBody(response: Response): Promise<unknown> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const isBinary = (response.headers.get("content-type") ?? "").startsWith(BINARY_TYPE);
  if (response.ok) return decodeMessage(bytes, isBinary ? "binary" : "json");
  try {
    return decodeMessage(bytes, isBinary ? "binary" : "json");
  } catch {
    // A refusal that is no message is somebody else's, and is told as that.
    return null;
  }
}

/** Whether nothing of a request has left: Node says so; elsewhere nobody does. */
function wasRefused(error: unknown): boolean {
  const cause = (error as { cause?: { code?: unknown } } | null)?.cause;
  return cause?.code === "ECONNREFUSED";
}
