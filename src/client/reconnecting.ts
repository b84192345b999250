/**
 * Owns a stream of events that outlives its connections: when one is lost, another is opened where the last event was.
 *
 * Why neither a gap nor a duplicate comes of it. Every event that moves the stream on has an id, the place behind it. The consumer's asking
 * for the next event moves `since` there; the next connection asks for what comes after it. An event that was received and not handed over
 * does not move it, and comes again.
 */
import { KvError } from "../errors.js";
import { decodeJson } from "../wire/message.js";
import { Backoff } from "./backoff.js";
import { readEvents, type ServerEvent } from "./event-stream.js";
import type { Transport } from "./transport.js";
import { errorOf } from "./wire-errors.js";

export interface Reconnecting {
  readonly transport: Transport;
  readonly path: string;
  /** The request, given where to go on; `undefined` at first. */
  readonly message: (since: string | undefined) => unknown;
  /** Ends the stream. */
  readonly signal: AbortSignal;
}

/** An event's name, and what is in it. */
export interface StreamItem {
  readonly name: string;
  readonly data: unknown;
}

/**
 * The events, until the signal aborts (then it just ends) or the server says that there can't be more.
 *
 * @throws what the server refuses or ends the stream with.
 */
export async function* reconnecting(options: Reconnecting): AsyncGenerator<StreamItem, void> {
  const { transport, path, message, signal } = options;
  const backoff = new Backoff();
  let since: string | undefined;
  while (!signal.aborted) {
    try {
      const body = await transport.open(path, message(since), signal);
      for await (const event of readEvents(body)) {
        backoff.reset();
        if (event.name === "end") break;
        yield itemOf(event);
        since = event.id ?? since;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isLost(error)) throw error;
    }
    if (!signal.aborted) await backoff.wait(signal);
  }
}

function itemOf({ name, data }: ServerEvent): StreamItem {
  const content = decodeJson(data);
  if (name === "failure") throw errorOf(200, content);
  return { name, data: content };
}

/** Whether only the connection is gone. What the server refuses has other codes; what `fetch` throws in the midst of a body has none. */
function isLost(error: unknown): boolean {
  if (error instanceof KvError) return error.code === "KV_UNREACHABLE";
  return error instanceof TypeError && !("code" in error && String(error.code).startsWith("KV_"));
}
