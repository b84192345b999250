/**
 * Owns the table of the native API: which method and path is which operation, and what its documentation says of it. The OpenAPI document is made of it,
 * so there is no route that it does not have.
 */
import type { Operation } from "./operation.js";
import * as operations from "./operations.js";
import * as queue from "./queue-operations.js";

/** A JSON schema, as far as the document uses them. */
export type Schema = Readonly<Record<string, unknown>>;

export interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly summary: string;
  /** What the token needs. */
  readonly right: string;
  readonly request: Schema | null;
  readonly response: Schema;
  readonly run: Operation;
}

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const object = (properties: Record<string, Schema>, required: readonly string[]): Schema => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});
const list = (items: Schema): Schema => ({ type: "array", items });
const text: Schema = { type: "string" };
const flag: Schema = { type: "boolean" };
const count: Schema = { type: "integer", minimum: 0 };

const timeOrNull: Schema = { type: ["integer", "null"] };

/** How many messages are in which state, of a shard and of all. */
const TALLY: Readonly<Record<string, Schema>> = {
  ready: count,
  delayed: count,
  leased: count,
  dead: count,
  deadBytes: count,
  dropped: count,
  oldestReadyMs: timeOrNull,
  nextDueMs: timeOrNull,
};

/** What the document calls by name. */
export const SCHEMAS: Readonly<Record<string, Schema>> = {
  KeyPart: {
    description:
      'A text, a number or a boolean as they are; a bigint as {"$bigint": "123"}, bytes as {"$bytes": base64}, numbers that JSON lacks as {"$number": "NaN"}.',
    oneOf: [text, { type: "number" }, flag, { type: "object", minProperties: 1, maxProperties: 1 }],
  },
  Key: list(ref("KeyPart")),
  Value: {
    description:
      "Any value that can be cloned, in tagged JSON: what JSON lacks is an object with one key, such as $bigint, $bytes, $date, $map, $set, $undefined, $u64.",
  },
  Versionstamp: { type: "string", pattern: "^[0-9a-f]{20}$" },
  Entry: object(
    {
      key: ref("Key"),
      value: ref("Value"),
      versionstamp: { oneOf: [ref("Versionstamp"), { type: "null" }] },
    },
    ["key", "value", "versionstamp"],
  ),
  Committed: object({ ok: { const: true }, versionstamp: ref("Versionstamp"), changed: flag }, [
    "ok",
    "versionstamp",
  ]),
  CheckFailed: object(
    {
      ok: { const: false },
      failedChecks: list(
        object(
          {
            index: count,
            key: ref("Key"),
            expected: { type: ["string", "null"] },
            actual: { type: ["string", "null"] },
          },
          ["index", "key", "expected", "actual"],
        ),
      ),
    },
    ["ok", "failedChecks"],
  ),
  Check: object({ key: ref("Key"), versionstamp: { oneOf: [ref("Versionstamp"), { type: "null" }] } }, [
    "key",
    "versionstamp",
  ]),
  Mutation: object(
    {
      type: { enum: ["set", "delete", "sum", "min", "max"] },
      key: ref("Key"),
      value: ref("Value"),
      expireIn: count,
      ifChanged: flag,
      versionstamped: flag,
    },
    ["type", "key"],
  ),
  Message: object(
    { value: ref("Value"), delay: count, backoffSchedule: list(count), keysIfUndelivered: list(ref("Key")) },
    ["value"],
  ),
  DeadLetter: object(
    {
      id: text,
      value: ref("Value"),
      error: text,
      failures: count,
      interruptions: count,
      versionstamp: ref("Versionstamp"),
      enqueuedAtMs: count,
      diedAtMs: count,
      keysIfUndelivered: list(ref("Key")),
    },
    ["id", "value", "error", "failures", "interruptions", "versionstamp", "enqueuedAtMs", "diedAtMs"],
  ),
  Stats: object(
    {
      shards: list({ type: "object" }),
      pendingCommits: count,
      openSnapshots: count,
      feeds: list({ type: "object" }),
      watches: count,
    },
    ["shards", "pendingCommits", "openSnapshots", "feeds", "watches"],
  ),
  QueueStats: object(
    {
      ...TALLY,
      shards: list(object({ shard: count, ...TALLY }, ["shard", ...Object.keys(TALLY)])),
      listeners: count,
      running: count,
    },
    [...Object.keys(TALLY), "shards", "listeners", "running"],
  ),
  Selector: object({ prefix: ref("Key"), start: ref("Key"), end: ref("Key") }, []),
  ChangeSelector: {
    description:
      'One of key, prefix, start with end, and pattern, in which {"any": true} stands for any part.',
    oneOf: [
      object({ key: ref("Key") }, ["key"]),
      object({ prefix: ref("Key") }, ["prefix"]),
      object({ start: ref("Key"), end: ref("Key") }, ["start", "end"]),
      object({ pattern: list({}) }, ["pattern"]),
    ],
  },
  ChangesRequest: object(
    {
      selectors: { oneOf: [ref("ChangeSelector"), list(ref("ChangeSelector"))] },
      options: object(
        {
          since: text,
          initial: flag,
          types: list({ enum: ["create", "update", "delete"] }),
          previous: flag,
          values: flag,
          order: { enum: ["commit", "shard"] },
          overflow: { enum: ["catch-up", "latest", "drop-oldest", "drop-newest", "error"] },
          onTrimmed: { enum: ["error", "resync"] },
          progressMs: { type: "integer", minimum: 1 },
        },
        [],
      ),
      since: { type: "string", description: "Where to begin: a position, a versionstamp, earliest or now." },
    },
    ["selectors"],
  ),
  WatchRequest: object({ keys: list(ref("Key")) }, ["keys"]),
  Done: object({ ok: { const: true } }, ["ok"]),
  Error: object({ error: object({ code: text, message: text }, ["code", "message"]) }, ["error"]),
};

export const ROUTES: readonly Route[] = [
  {
    method: "POST",
    path: "/v1/get",
    summary: "The entry under a key; value and versionstamp are null where there is none.",
    right: "read on the key",
    request: object({ key: ref("Key") }, ["key"]),
    response: ref("Entry"),
    run: operations.get,
  },
  {
    method: "POST",
    path: "/v1/getMany",
    summary: "The entries under some keys, in their order, at one moment of the store.",
    right: "read on each key",
    request: object({ keys: list(ref("Key")) }, ["keys"]),
    response: object({ entries: list(ref("Entry")) }, ["entries"]),
    run: operations.getMany,
  },
  {
    method: "POST",
    path: "/v1/list",
    summary:
      "A page of entries in key order. Ranges are cut to what the token may read. An empty cursor: there is no more.",
    right: "read on a part of the range",
    request: object(
      {
        selector: ref("Selector"),
        limit: { type: "integer", minimum: 1, maximum: 1000 },
        cursor: text,
        reverse: flag,
        cursors: flag,
      },
      ["selector"],
    ),
    response: object({ entries: list(ref("Entry")), cursor: text, cursors: list(text) }, [
      "entries",
      "cursor",
    ]),
    run: operations.list,
  },
  {
    method: "POST",
    path: "/v1/set",
    summary: "Sets a key.",
    right: "write on the key",
    request: object(
      { key: ref("Key"), value: ref("Value"), expireIn: count, ifChanged: flag, versionstamped: flag },
      ["key", "value"],
    ),
    response: ref("Committed"),
    run: operations.set,
  },
  {
    method: "POST",
    path: "/v1/delete",
    summary: "Deletes a key. One that is not there is no error.",
    right: "write on the key",
    request: object({ key: ref("Key") }, ["key"]),
    response: ref("Done"),
    run: operations.remove,
  },
  {
    method: "POST",
    path: "/v1/atomic",
    summary: "Checks and mutations that are made together or not at all.",
    right: "read on each key that is checked, write on each that is changed",
    request: object(
      { checks: list(ref("Check")), mutations: list(ref("Mutation")), enqueues: list(ref("Message")) },
      [],
    ),
    response: { oneOf: [ref("Committed"), ref("CheckFailed")] },
    run: operations.atomic,
  },
  {
    method: "GET",
    path: "/v1/stats",
    summary: "What the shards are doing.",
    right: "admin on the whole store",
    request: null,
    response: ref("Stats"),
    run: operations.stats,
  },
  {
    method: "GET",
    path: "/v1/history",
    summary: "How far back the change log goes, and its size.",
    right: "admin on the whole store",
    request: null,
    response: object({ oldest: text, newest: text, bytes: count }, ["oldest", "newest", "bytes"]),
    run: operations.history,
  },
  {
    method: "POST",
    path: "/v1/enqueue",
    summary: "Adds a message to the queue, for the handlers of programs that have the store open.",
    right: "write on the whole store",
    request: ref("Message"),
    response: ref("Committed"),
    run: queue.enqueue,
  },
  {
    method: "GET",
    path: "/v1/queueStats",
    summary: "How many messages are in which state.",
    right: "admin on the whole store",
    request: null,
    response: ref("QueueStats"),
    run: queue.queueStats,
  },
  {
    method: "POST",
    path: "/v1/deadLetters/list",
    summary: "Messages that could not be delivered, from the one after an id.",
    right: "admin on the whole store",
    request: object({ limit: { type: "integer", minimum: 1, maximum: 1000 }, after: text }, []),
    response: object({ letters: list(ref("DeadLetter")) }, ["letters"]),
    run: queue.listDeadLetters,
  },
  {
    method: "POST",
    path: "/v1/deadLetters/get",
    summary: "One of them; null when there is none with this id.",
    right: "admin on the whole store",
    request: object({ id: text }, ["id"]),
    response: object({ letter: { oneOf: [ref("DeadLetter"), { type: "null" }] } }, ["letter"]),
    run: queue.getDeadLetter,
  },
  {
    method: "POST",
    path: "/v1/deadLetters/requeue",
    summary: "Lets one be delivered again.",
    right: "admin on the whole store",
    request: object({ id: text, delay: count }, ["id"]),
    response: object({ found: flag }, ["found"]),
    run: queue.requeueDeadLetter,
  },
  {
    method: "POST",
    path: "/v1/deadLetters/delete",
    summary: "Forgets one.",
    right: "admin on the whole store",
    request: object({ id: text }, ["id"]),
    response: object({ found: flag }, ["found"]),
    run: queue.deleteDeadLetter,
  },
  {
    method: "POST",
    path: "/v1/deadLetters/purge",
    summary: "Forgets those that died before a time; without one, all.",
    right: "admin on the whole store",
    request: object({ diedBeforeMs: count }, []),
    response: object({ count }, ["count"]),
    run: queue.purgeDeadLetters,
  },
];
