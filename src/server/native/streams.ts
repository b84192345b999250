/**
 * Owns the server-sent events of the native API: changes, and states of keys.
 *
 *     event := "event: " name newline ("id: " position newline)? "data: " tagged JSON newline newline
 *     name  := change | state | progress | lagged | failure | end
 *
 * An event's id is where to resume, so a browser that reconnects by itself (`Last-Event-ID`) goes on exactly there. What must not be
 * resumed from (the state that a feed begins with) has none. `failure` and `end` are the last events of a stream: what went wrong, and why
 * the server ended it. An `EventSource` reconnects after both; a client that can read the code knows better.
 *
 * *Lag*: the next change is read when the socket has taken the last one. A slow client's feed falls behind and is caught up from the log,
 * by the policy that its options choose; what waits in memory for it is bounded by the feed's buffer and the socket's.
 */
import { encodeKey, type KvKey } from "../../codec/key.js";
import type { ChangeSelector, ChangesOptions, Kv, KvChangeEvent, KvProgressEvent } from "../../index.js";
import { anyPart } from "../../index.js";
import { SERVER_HEARTBEAT_MS, SERVER_STREAM_BYTES_MAX, SERVER_STREAM_CHANGES_MAX } from "../../limits.js";
import { decodeJson } from "../../wire/message.js";
import { toTagged } from "../../wire/tagged.js";
import type { Principal } from "../access.js";
import { demandKeys } from "../demands.js";
import type { Exchange } from "../exchange.js";
import { badRequest, errorBody, HttpError, httpErrorOf } from "../http-error.js";
import { itemsOf, pump } from "../pump.js";
import { type Fields, fieldsOf, keyField, listField } from "./request-fields.js";

export interface StreamRequest {
  readonly exchange: Exchange;
  readonly kv: Kv;
  readonly principal: Principal;
  /** The message of a POST; a GET has it in its address. */
  readonly message: unknown;
  /** Aborts when the client goes or the server stops. */
  readonly signal: AbortSignal;
  readonly onChange: () => void;
  /** What nobody foresaw. */
  readonly onError: (error: unknown) => void;
}

/** Options that can be given over the network. */
const OPTIONS = [
  ...["since", "initial", "types", "previous", "values", "order", "overflow", "onTrimmed", "progressMs"],
];
/** Stands for {@link anyPart} in a pattern. */
const ANY_PART_TAG = "any";

export async function changesRoute(request: StreamRequest): Promise<void> {
  const { exchange, kv, principal, onChange } = request;
  const fields = requestFields(request, ["selectors", "options", "since"]);
  const given = fields["selectors"];
  const selectors = (Array.isArray(given) ? given : [given]).map(selectorOf);
  for (const selector of selectors) demandSelector(principal, selector);
  const options = optionsOf(exchange, fields);
  const begin = isFromNow(options) ? beginning(kv) : undefined;
  const feed = kv.changes(selectors, begin === undefined ? options : { ...options, since: begin.position });
  await stream(request, from(begin, feed), (event) => {
    if (event.type !== "progress" && event.type !== "lagged") onChange();
    const isState = "initial" in event && event.initial === true;
    return eventText(nameOf(event), event, isState ? undefined : event.position);
  });
}

export async function watchRoute(request: StreamRequest): Promise<void> {
  const { kv, principal } = request;
  const keys = listField(requestFields(request, ["keys"]), "keys") as readonly KvKey[];
  if (keys.length === 0) throw badRequest("keys is empty");
  demandKeys(principal, "read", keys);
  const states = itemsOf(kv.watch(keys as KvKey[]));
  await stream(request, states, (entries) => eventText("state", { entries }, undefined));
}

async function stream<T>(
  { exchange, signal, onError }: StreamRequest,
  items: AsyncIterator<T, unknown>,
  textOf: (item: T) => string,
): Promise<void> {
  const out = exchange.stream(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  });
  // Whoever asks for the head alone would wait on this connection for ever.
  if (exchange.method === "HEAD") {
    out.end();
    await items.return?.();
    return;
  }
  out.flush();
  try {
    await pump({
      items,
      signal,
      idleMs: SERVER_HEARTBEAT_MS,
      onIdle: () => out.write(": still here\n\n"),
      onItem: (item) => out.write(textOf(item)),
    });
    const reason = signal.aborted ? "the server is shutting down" : "the store was closed";
    await out.write(eventText("end", { reason }, undefined));
  } catch (error) {
    await out.write(eventText("failure", errorBody(httpErrorOf(error, onError)), undefined));
  } finally {
    out.end();
  }
}

/** A GET has its fields as tagged JSON in its address. */
function requestFields({ exchange, message }: StreamRequest, allowed: readonly string[]): Fields {
  if (exchange.method === "POST") return fieldsOf(message, allowed);
  const { query } = exchange;
  const unknown = [...query.keys()].find((name) => !allowed.includes(name));
  if (unknown !== undefined)
    throw badRequest(`there is no ${unknown.slice(0, 40)}, only ${allowed.join(", ")}`);
  const given = allowed.filter((name) => query.has(name));
  return Object.fromEntries(
    given.map((name) => {
      const text = query.get(name)!;
      return [name, name === "since" ? text : decodeJson(text)];
    }),
  );
}

function optionsOf(exchange: Exchange, fields: Fields): ChangesOptions {
  const options = { ...fieldsOf(fields["options"] ?? {}, OPTIONS, "options") };
  const lastEventId = exchange.headers["last-event-id"];
  const since = lastEventId ?? fields["since"];
  if (since !== undefined) {
    // Who comes back has had the state already.
    if (lastEventId !== undefined) delete options["initial"];
    options["since"] = since;
  }
  const bounds = { bufferBytesMax: SERVER_STREAM_BYTES_MAX, bufferCountMax: SERVER_STREAM_CHANGES_MAX };
  return { progressMs: SERVER_HEARTBEAT_MS, ...options, ...bounds } as ChangesOptions;
}

function isFromNow({ since, initial }: ChangesOptions): boolean {
  return initial !== true && (since === undefined || since === "now");
}

/**
 * Where a feed from now on begins, said to the client before anything else: who loses its connection before the first change would not know
 * otherwise, and miss what happens until it is back. A commit that was not acknowledged yet may come or not, as with every "now".
 */
function beginning(kv: Kv): KvProgressEvent {
  const { newest } = kv.history();
  return { type: "progress", versionstamp: newest, position: newest };
}

/** No generator: its `return` would wait for a `next` that is under way. */
function from(
  begin: KvProgressEvent | undefined,
  feed: AsyncIterable<KvChangeEvent>,
): AsyncIterator<KvChangeEvent, unknown> {
  const changes = feed[Symbol.asyncIterator]();
  let first = begin;
  return {
    next: async () => {
      const event = first;
      first = undefined;
      return event === undefined ? changes.next() : { done: false, value: event };
    },
    return: async () => (await changes.return?.()) ?? { done: true, value: undefined },
  };
}

/** A selector as it travels: in a pattern, `{any: true}` stands for any part. */
function selectorOf(given: unknown): ChangeSelector {
  const fields = fieldsOf(given, ["key", "prefix", "start", "end", "pattern"], "a selector");
  if (!("pattern" in fields)) return fields as unknown as ChangeSelector;
  const pattern = keyField(fields, "pattern").map((part) => (isAnyPart(part) ? anyPart : part));
  return { ...fields, pattern } as ChangeSelector;
}

function isAnyPart(part: unknown): boolean {
  return typeof part === "object" && part !== null && ANY_PART_TAG in part;
}

/** A feed must be within the rights as a whole: what is cut off silently would look like nothing having changed. */
function demandSelector({ rights }: Principal, selector: ChangeSelector): void {
  if (isCovered(rights, selector)) return;
  throw new HttpError(403, "FORBIDDEN", "the access token may not read all that a selector selects");
}

function isCovered(rights: Principal["rights"], selector: ChangeSelector): boolean {
  if ("key" in selector) return rights.coversKey("read", encodeKey(selector.key));
  if ("pattern" in selector) {
    const end = selector.pattern.indexOf(anyPart);
    const known = end < 0 ? selector.pattern : selector.pattern.slice(0, end);
    return rights.coversRange("read", below(encodeKey(known as KvKey)));
  }
  if ("prefix" in selector) return rights.coversRange("read", below(encodeKey(selector.prefix)));
  return rights.coversRange("read", { start: encodeKey(selector.start), end: encodeKey(selector.end) });
}

function below(prefix: Uint8Array): { readonly start: Uint8Array; readonly end: Uint8Array } {
  const end = new Uint8Array(prefix.length + 1).fill(0xff);
  end.set(prefix);
  return { start: prefix, end };
}

function nameOf(event: KvChangeEvent): string {
  return event.type === "progress" || event.type === "lagged" ? event.type : "change";
}

/** JSON has no line ends of its own, so a datum is one line. */
function eventText(name: string, data: unknown, id: string | undefined): string {
  const position = id === undefined ? "" : `id: ${id}\n`;
  return `event: ${name}\n${position}data: ${JSON.stringify(toTagged(data))}\n\n`;
}
