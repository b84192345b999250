/**
 * Owns the making of requests that nobody should send: for any route that a server has, right ones, nearly right ones, and garbage, chosen by a
 * generator of random numbers. Requests are data; who sends them is another matter.
 */
import { PbfWriter } from "pbf";
import { encodeKey } from "../../src/codec/key.js";
import { encodeValue } from "../../src/codec/value.js";
import { pack } from "../../src/wire/packed.js";

export type Random = (below: number) => number;

export interface HostileRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | null;
}

const METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "PROPFIND", "TRACE"];
const TYPES = [
  "application/json",
  "application/x-belfry",
  "application/octet-stream",
  "application/x-protobuf",
  "text/plain; charset=utf-16",
  "multipart/form-data",
  ";;;",
  "",
];
const FIELDS = [
  ...["key", "keys", "value", "checks", "mutations", "enqueues", "selector", "selectors", "options", "since"],
  ...["limit", "cursor", "cursors", "reverse", "prefix", "start", "end", "pattern", "type", "versionstamp"],
  ...[
    "expireIn",
    "ifChanged",
    "versionstamped",
    "delay",
    "backoffSchedule",
    "keysIfUndelivered",
    "id",
    "after",
  ],
  ...["diedBeforeMs", "initial", "types", "previous", "values", "overflow", "onTrimmed", "progressMs"],
  ...["supportedVersions", "__proto__", "constructor", "toJSON", "then"],
];
const PATH_TRICKS = [
  ...[
    "/../metrics",
    "//v1/get",
    "/v1/get/",
    "/v1//get",
    "/V1/GET",
    "/v1/%67et",
    "/v1/get%00",
    "/v1/./stats",
    "*",
  ],
  ...[
    "/v1/entries",
    "/v1/entries/",
    "/v1/entries//",
    "/v1/entries/%",
    "/v1/entries/%ff",
    "/v1/entries/%00/a",
    "/",
  ],
  ...[
    '/v1/entries/"a',
    "/v1/entries/0x",
    "/v1/entries/1e999",
    "/v1/entries/../metrics",
    "/connect/",
    "/connect/x",
  ],
  ...[
    "http://127.0.0.1/metrics",
    "/v1/entries/99999999999999999999n",
    "/__proto__",
    "/constructor",
    "/?",
    "/#a",
  ],
];

/** A request to `route` (`POST /v1/get`, or a path that takes several methods), wrong in one way or several, or right by chance. */
export function hostileRequest(route: string, storeId: string, random: Random): HostileRequest {
  const space = route.indexOf(" ");
  const isConnect = route.includes("/connect/");
  let method = space < 0 ? pick(["GET", "PUT", "DELETE", "HEAD"], random) : route.slice(0, space);
  let path =
    space < 0
      ? `${route}${pick(["a", "a/1", "b/2n", '"1"', "%", "x".repeat(3000)], random)}`
      : route.slice(space + 1);
  const headers: Record<string, string> = isConnect
    ? { "x-denokv-version": "3", "x-denokv-database-id": storeId }
    : {};
  let body = method === "GET" || method === "HEAD" ? null : hostileBody(path, headers, random);
  if (method === "GET" && random(2) === 0) path += hostileQuery(random);
  if (random(12) === 0) method = pick(METHODS, random);
  if (random(12) === 0) path = pick(PATH_TRICKS, random);
  if (random(12) === 0) path += hostileQuery(random);
  if (random(8) === 0) headers["content-type"] = pick(TYPES, random);
  if (random(8) === 0) headers["accept"] = pick([...TYPES, "*/*"], random);
  if (random(12) === 0) Object.assign(headers, hostileHeaders(random));
  if (random(40) === 0) body = new Uint8Array(3 * 2 ** 20).fill(random(256));
  return { method, path, headers, body };
}

function hostileHeaders(random: Random): Record<string, string> {
  return pick<Record<string, string>>(
    [
      { "x-denokv-version": pick(["0", "1", "2", "4", "NaN", "3.5", "", "0x3"], random) },
      { "x-denokv-database-id": "x" },
      { authorization: pick(["Bearer", "Bearer x", "Basic eDp5", "\t"], random) },
      { "last-event-id": pick(["", "x", "0".repeat(24), "f".repeat(24), "now"], random) },
      { origin: pick(["null", "https://evil.example", "x"], random) },
      { "accept-encoding": "gzip", "content-encoding": "gzip" },
      { range: "bytes=0-1", "if-match": "*" },
      { "x-long": "x".repeat(6000) },
    ],
    random,
  );
}

function hostileQuery(random: Random): string {
  const fields = Array.from({ length: 1 + random(3) }, () => {
    const value = random(3) === 0 ? randomText(random) : JSON.stringify(hostileTree(3, random));
    return `${pick([...FIELDS.slice(0, 10), "token"], random)}=${random(8) === 0 ? "%" : encodeURIComponent(value.replaceAll(/\p{Surrogate}/gu, ""))}`;
  });
  return `?${fields.join(pick(["&", "&&", ";", "&="], random))}`;
}

function hostileBody(path: string, headers: Record<string, string>, random: Random): Uint8Array {
  if (path.startsWith("/connect/")) return spoiled(protobuf(path, random), random);
  const tree = random(4) === 0 ? hostileTree(4, random) : nearlyRight(path, random);
  if (random(3) === 0) {
    headers["content-type"] = "application/x-belfry";
    return spoiled(pack(tree), random);
  }
  headers["content-type"] = "application/json";
  return spoiled(Buffer.from(random(30) === 0 ? "[".repeat(50_000) : JSON.stringify(tree)), random);
}

/** A message with the fields of its route, most of them as they should be. */
function nearlyRight(path: string, random: Random): unknown {
  const or = (right: unknown): unknown => (random(5) === 0 ? hostileTree(3, random) : right);
  const key = (): unknown => or([pick(["a", "b", "c"], random), random(5)]);
  const selector = (): unknown =>
    pick(
      [
        { prefix: key() },
        { start: key(), end: key() },
        { key: key() },
        { pattern: or(["a", { any: true }]) },
        {},
      ],
      random,
    );
  const change = { type: or(pick(["set", "delete", "sum", "min", "max"], random)), key: key(), value: or(1) };
  const message = { value: or("m"), delay: or(random(2) === 0 ? 0 : 1e12), backoffSchedule: or([1]) };
  const fields: Readonly<Record<string, unknown>> = {
    ...{ key: key(), keys: or([key(), key()]), value: or("v"), expireIn: or(1000), versionstamped: or(true) },
    ...{
      selector: selector(),
      limit: or(random(2000)),
      cursor: or("AAAA"),
      reverse: or(true),
      cursors: or(true),
    },
    ...{
      checks: or([{ key: key(), versionstamp: or(null) }]),
      mutations: or([change]),
      enqueues: or([message]),
    },
    ...{
      selectors: selector(),
      options: or({ initial: or(true), types: or(["create"]) }),
      since: or("0".repeat(24)),
    },
    ...{
      id: or("0".repeat(24)),
      after: or("x"),
      diedBeforeMs: or(1),
      supportedVersions: or([3, 2]),
      ...message,
    },
  };
  const wanted = WANTED[path] ?? Object.keys(fields);
  return Object.fromEntries(wanted.filter(() => random(8) > 0).map((name) => [name, fields[name]]));
}

/** What gets past the first look; a route that is not here gets any fields. */
const WANTED: Readonly<Record<string, readonly string[]>> = {
  "/": ["supportedVersions"],
  "/connect": ["supportedVersions"],
  "/v1/get": ["key"],
  "/v1/getMany": ["keys"],
  "/v1/list": ["selector", "limit", "cursor", "reverse", "cursors"],
  "/v1/set": ["key", "value", "expireIn", "versionstamped"],
  "/v1/delete": ["key"],
  "/v1/atomic": ["checks", "mutations", "enqueues"],
  "/v1/changes": ["selectors", "options", "since"],
  "/v1/watch": ["keys"],
  "/v1/enqueue": ["value", "delay", "backoffSchedule"],
  "/v1/deadLetters/list": ["limit", "after"],
  "/v1/deadLetters/get": ["id"],
  "/v1/deadLetters/requeue": ["id", "delay"],
  "/v1/deadLetters/delete": ["id"],
  "/v1/deadLetters/purge": ["diedBeforeMs"],
};

/** Any tree that JSON can write. */
function hostileTree(depth: number, random: Random): unknown {
  switch (random(depth > 0 ? 10 : 6)) {
    case 0:
      return null;
    case 1:
      return random(2) === 0;
    case 2:
      return pick([0, -1, 1.5, 2 ** 53, -(2 ** 63), 1e308, -0, 1001], random);
    case 3:
      return randomText(random);
    case 4:
      return pick(
        [{ $bigint: "x" }, { $bytes: "*" }, { $map: 1 }, { $date: {} }, { $error: [] }, { $: 0 }],
        random,
      );
    case 5:
      return pick(
        [{ $u64: "-1" }, { $bigint: "9".repeat(999) }, { $number: "NaN" }, { $undefined: 0 }],
        random,
      );
    case 6:
    case 7:
      return Array.from({ length: random(4) }, () => hostileTree(depth - 1, random));
    default:
      return Object.fromEntries(
        Array.from({ length: random(4) }, () => [pick(FIELDS, random), hostileTree(depth - 1, random)]),
      );
  }
}

function randomText(random: Random): string {
  return pick(
    ["", "a", "\0", "\uffff", "\ud800", "é😀", "x".repeat(3000), "now", "9".repeat(30), "../.."],
    random,
  );
}

// ── KV Connect ─────────────────────────────────────────────────────────────────────────────────────

function protobuf(path: string, random: Random): Uint8Array {
  const writer = new PbfWriter();
  for (let count = random(4); count >= 0; count--) {
    if (path.endsWith("/snapshot_read")) writer.writeMessage(1, writeRange, random);
    else if (path.endsWith("/watch")) writer.writeMessage(1, writeKey, random);
    else writer.writeMessage(1 + random(3), pick([writeCheck, writeMutation, writeEnqueue], random), random);
  }
  return writer.finish();
}

function keyBytes(random: Random): Uint8Array {
  return random(5) === 0 ? randomBytes(random(30), random) : encodeKey([pick(["a", "b"], random), random(5)]);
}

function writeKey(random: Random, writer: PbfWriter): void {
  writer.writeBytesField(1, keyBytes(random));
}

function writeRange(random: Random, writer: PbfWriter): void {
  writer.writeBytesField(1, keyBytes(random));
  writer.writeBytesField(2, random(2) === 0 ? keyBytes(random) : new Uint8Array([0xff]));
  writer.writeVarintField(3, pick([0, 1, 10, 400, 1001, -1, 2 ** 40], random));
  writer.writeBooleanField(4, random(2) === 0);
}

function writeCheck(random: Random, writer: PbfWriter): void {
  writer.writeBytesField(1, keyBytes(random));
  if (random(2) === 0) writer.writeBytesField(2, randomBytes(pick([10, 9, 0], random), random));
}

function writeMutation(random: Random, writer: PbfWriter): void {
  writer.writeBytesField(1, keyBytes(random));
  if (random(6) > 0) writer.writeMessage(2, writeValue, random);
  writer.writeVarintField(3, random(11));
  if (random(3) === 0) writer.writeVarintField(4, pick([-2, -1, 0, 1, 2 ** 53, 2 ** 62], random));
  if (random(6) === 0) writer.writeBytesField(5, randomBytes(8, random));
}

function writeValue(random: Random, writer: PbfWriter): void {
  const right = encodeValue("v");
  writer.writeBytesField(1, random(3) > 0 ? right.bytes : randomBytes(pick([0, 7, 8, 100], random), random));
  writer.writeVarintField(2, random(5));
}

function writeEnqueue(random: Random, writer: PbfWriter): void {
  writer.writeBytesField(1, random(3) > 0 ? encodeValue("m").bytes : randomBytes(20, random));
  writer.writeVarintField(2, pick([0, -1, Date.now(), 2 ** 60], random));
  if (random(3) === 0) writer.writeBytesField(3, keyBytes(random));
  if (random(3) === 0) writer.writePackedVarint(4, [random(100), pick([0, 2 ** 40, -5], random)]);
}

// ── bytes ──────────────────────────────────────────────────────────────────────────────────────────

/** The same bytes, or with a byte changed, cut off, added, or others altogether. */
function spoiled(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  switch (random(8)) {
    case 0:
      if (copy.length > 0) copy[random(copy.length)] = random(256);
      return copy;
    case 1:
      return copy.subarray(0, random(copy.length + 1));
    case 2:
      return Buffer.concat([copy, randomBytes(1 + random(8), random)]);
    case 3:
      return random(3) === 0 ? randomBytes(random(200), random) : copy;
    default:
      return copy;
  }
}

function randomBytes(length: number, random: Random): Uint8Array {
  return Uint8Array.from({ length }, () => random(256));
}

function pick<T>(from: readonly T[], random: Random): T {
  return from[random(from.length)]!;
}
