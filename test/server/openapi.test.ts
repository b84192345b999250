/**
 * The OpenAPI document is what the server does: each method of each path that it names is answered and no other is, and what goes in and
 * comes out has the shape that it says.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import type { Kv } from "../../src/index.js";
import { ENTRIES_PATH } from "../../src/server/native/entry-route.js";
import { ROUTES, type Schema } from "../../src/server/native/routes.js";
import { misfits, type Schemas } from "./schema-check.js";
import { post, tempServer } from "./temp-server.js";

const ENTRIES = `${ENTRIES_PATH}{path}`;
const METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"];

interface Operation {
  readonly requestBody?: { readonly content: Record<string, { readonly schema?: Schema }> };
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema?: Schema }> }>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Schemas };
}

let document: Document;
let documented: string[];

beforeAll(async () => {
  // Not of a server that a test has: this one is closed with the first of them.
  const { openApi } = await import("../../src/server/openapi.js");
  document = JSON.parse(JSON.stringify(openApi("0.0.0"))) as Document;
  documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
});

describe("the OpenAPI document", () => {
  it("is served", async () => {
    const { url } = await tempServer();
    const response = await fetch(`${url}/v1/openapi.json`);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(((await response.json()) as Document).paths).toEqual(document.paths);
  });

  it("has every route of the server, and no other", async () => {
    const { server } = await tempServer();
    const served = server.routes.flatMap((route) =>
      route === ENTRIES_PATH ? ["GET", "PUT", "DELETE"].map((method) => `${method} ${ENTRIES}`) : [route],
    );
    expect([...documented].sort()).toEqual(served.sort());
  });

  it("has every method that a path takes, and no other", async () => {
    const { url } = await tempServer();
    for (const path of Object.keys(document.paths)) {
      const taken = METHODS.filter((method) => documented.includes(`${method} ${path}`));
      for (const method of METHODS) {
        const body = method === "GET" ? {} : { body: "{" };
        const response = await fetch(url + path.replace("{path}", "a"), { method, ...body });
        await response.body?.cancel();
        const what = `${method} ${path}`;
        if (!taken.includes(method)) {
          const allowed = taken.flatMap((one) => (one === "GET" ? ["GET", "HEAD"] : [one]));
          expect([response.status, response.headers.get("allow")], what).toEqual([405, allowed.join(", ")]);
        } else if (what === `GET ${ENTRIES}`) expect(response.status, what).toBe(404);
        // A body that is no JSON, or a stream without selectors, is a wrong request; there is a route all the same.
        else expect([200, 400], what).toContain(response.status);
      }
    }
  });

  it("names schemas that are there, and uses all of them", () => {
    const text = JSON.stringify(document);
    const used = new Set(
      [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name as string),
    );
    expect([...used].sort()).toEqual(Object.keys(document.components.schemas).sort());
  });

  it("has the shape of every message", async () => {
    const { url, kv } = await tempServer();
    const check = (value: unknown, schema: Schema | undefined, what: string): void => {
      expect(schema, what).toBeDefined();
      expect(misfits(value, schema!, document.components.schemas), what).toEqual([]);
    };
    const shape = (content: Record<string, { readonly schema?: Schema }> | undefined): Schema | undefined =>
      content?.["application/json"]?.schema;
    const failure = document.components.schemas["Error"] as Schema;
    await makeDeadLetter(kv);
    for (const { method, path } of ROUTES) {
      const { requestBody, responses } = document.paths[path]![method.toLowerCase()]!;
      for (const message of method === "GET" ? [undefined] : MESSAGES[path]!) {
        const what = `${method} ${path} ${JSON.stringify(message)}`;
        if (message !== undefined) check(message, shape(requestBody?.content), what);
        const answer =
          message === undefined
            ? { status: 200, body: await (await fetch(url + path)).json() }
            : await post(url + path, message);
        expect(answer.status, `${what} ${JSON.stringify(answer.body)}`).toBe(200);
        check(answer.body, shape(responses["200"]!.content), what);
        if (path === "/v1/deadLetters/list") {
          const { letters } = answer.body as { letters: { id: string }[] };
          const letter = await post(`${url}/v1/deadLetters/get`, { id: letters[0]!.id });
          check(letter.body, GET_LETTER, what);
        }
      }
      if (method === "GET") continue;
      const refused = await post(url + path, '{"nothing":0}');
      check(refused.body, failure, path);
      expect(refused.status, path).toBe(400);
    }
  });

  it("tells which requests are none", () => {
    const { schemas } = document.components;
    const get = document.paths["/v1/get"]!["post"]!.requestBody!.content["application/json"]!.schema!;
    expect(misfits({ key: ["a", { $bigint: "1" }] }, get, schemas)).toEqual([]);
    for (const wrong of [{}, { key: "a" }, { key: [null] }, { key: ["a"], more: 1 }, null]) {
      expect(misfits(wrong, get, schemas), JSON.stringify(wrong)).not.toEqual([]);
    }
  });

  it("has the shape of what begins a stream", async () => {
    const { url, kv } = await tempServer();
    const { schemas } = document.components;
    for (const [path, messages] of Object.entries(STREAM_MESSAGES)) {
      const schema = document.paths[path]!["post"]!.requestBody!.content["application/json"]!.schema!;
      for (const message of messages) {
        expect(misfits(message, schema, schemas), JSON.stringify(message)).toEqual([]);
        const response = await fetch(url + path, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(message),
        });
        expect(response.status, JSON.stringify(message)).toBe(200);
        await response.body!.cancel();
      }
    }
    while (kv.stats().feeds.length > 0) await sleep(5);
  });
});

const GET_LETTER: Schema = {
  type: "object",
  properties: { letter: { $ref: "#/components/schemas/DeadLetter" } },
  required: ["letter"],
};

async function makeDeadLetter(kv: Kv): Promise<void> {
  const ended = new AbortController();
  const refuse = (): never => {
    throw new Error("nobody wants it");
  };
  const listening = kv.listenQueue(refuse, { signal: ended.signal, onError: () => {} });
  await kv.enqueue({ when: new Date(0) }, { backoffSchedule: [], keysIfUndelivered: [["undelivered", 1n]] });
  while (kv.queueStats().dead === 0) await sleep(5);
  ended.abort();
  await listening;
}

/** Right messages of every route that takes one, in an order in which they work. */
const MESSAGES: Readonly<Record<string, readonly object[]>> = {
  "/v1/set": [
    { key: ["a"], value: 1 },
    { key: ["a"], value: 1, ifChanged: true },
    { key: ["b", 1, true, { $bytes: "AQ==" }], value: { $map: [] }, expireIn: 60_000 },
    { key: ["log"], value: null, versionstamped: true },
  ],
  "/v1/get": [{ key: ["a"] }, { key: ["nothing"] }],
  "/v1/getMany": [{ keys: [["a"], ["nothing"]] }],
  "/v1/list": [
    { selector: { prefix: [] } },
    { selector: { start: ["a"], end: ["z"] }, limit: 1, reverse: true, cursors: true },
  ],
  "/v1/delete": [{ key: ["a"] }],
  "/v1/atomic": [
    { checks: [{ key: ["a"], versionstamp: null }], mutations: [{ type: "set", key: ["c"], value: 1 }] },
    { checks: [{ key: ["c"], versionstamp: null }] },
    {
      mutations: [
        { type: "delete", key: ["c"] },
        { type: "sum", key: ["n"], value: { $u64: "1" } },
      ],
      enqueues: [{ value: "m", delay: 60_000, backoffSchedule: [1], keysIfUndelivered: [["u"]] }],
    },
  ],
  "/v1/enqueue": [{ value: "m" }],
  "/v1/deadLetters/list": [{}, { limit: 1 }],
  "/v1/deadLetters/get": [{ id: "0".repeat(26) }],
  "/v1/deadLetters/requeue": [{ id: "0".repeat(26), delay: 1 }],
  "/v1/deadLetters/delete": [{ id: "0".repeat(26) }],
  "/v1/deadLetters/purge": [{}, { diedBeforeMs: 1 }],
};

const STREAM_MESSAGES: Readonly<Record<string, readonly object[]>> = {
  "/v1/changes": [
    { selectors: { prefix: ["a"] } },
    { selectors: [{ key: ["a"] }, { start: ["a"], end: ["b"] }], since: "earliest" },
    { selectors: { pattern: ["a", { any: true }] }, options: { initial: true, previous: true } },
    {
      selectors: { prefix: [] },
      options: { types: ["delete"], values: false, overflow: "latest", onTrimmed: "resync", progressMs: 100 },
    },
  ],
  "/v1/watch": [{ keys: [["a"], ["b", 1]] }],
};
