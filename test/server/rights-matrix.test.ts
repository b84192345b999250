/** Every token × every route × keys inside and outside of its rights. The routes are the server's own: one without an expectation fails. */
import { PbfWriter } from "pbf";
import { expect, test } from "vitest";
import { encodeKey, type KvKey } from "../../src/codec/key.js";
import { formatKeyPath } from "../../src/wire/key-path.js";
import { tempServer } from "./temp-server.js";

type Need = "nothing" | "a token" | "read" | "write" | "write on everything" | "admin on everything";

interface Case {
  readonly need: Need;
  readonly method?: string;
  readonly below?: (key: KvKey) => string;
  readonly body?: (key: KvKey) => unknown;
}

const PREFIX = ["in"];
const INSIDE: readonly KvKey[] = [PREFIX, ["in", 1]];
const OUTSIDE: readonly KvKey[] = [["in\0"], ["inn", 1], ["im"], []];

const TOKENS = [
  { name: "reads", right: "read", prefix: PREFIX },
  { name: "writes", right: "write", prefix: PREFIX },
  { name: "administers", right: "admin", prefix: PREFIX },
  { name: "reads everything", right: "read", prefix: [] },
  { name: "writes everything", right: "write", prefix: [] },
  { name: "administers everything", right: "admin", prefix: [] },
] as const;

type Token = (typeof TOKENS)[number] | string | null;

const store: Case = { need: "admin on everything" };
const letter: Case = { need: "admin on everything", body: () => ({ id: "0".repeat(24) }) };
const keyed = (need: Need): Case => ({ need, body: (key) => ({ key, value: 1 }) });
const connect = (need: Need, write: (key: Uint8Array, writer: PbfWriter) => void): Case => ({
  need,
  body: (key) => {
    const writer = new PbfWriter();
    write(encodeKey(key), writer);
    return writer.finish();
  },
});
const nested = (writer: PbfWriter, tag: number, write: (inner: PbfWriter) => void): void =>
  writer.writeMessage(tag, (_: null, inner) => write(inner), null);

const CASES: Readonly<Record<string, readonly Case[]>> = {
  "GET /healthz": [{ need: "nothing" }],
  "GET /readyz": [{ need: "nothing" }],
  "GET /v1/openapi.json": [{ need: "a token" }],
  "GET /metrics": [store],
  "POST /": [{ need: "a token", body: () => ({ supportedVersions: [3] }) }],
  "POST /connect": [{ need: "a token", body: () => ({ supportedVersions: [3] }) }],
  "POST /connect/snapshot_read": [
    connect("read", (key, writer) =>
      nested(writer, 1, (range) => {
        range.writeBytesField(1, key);
        range.writeBytesField(2, Buffer.concat([key, new Uint8Array(1)]));
        range.writeVarintField(3, 1);
      }),
    ),
  ],
  "POST /connect/atomic_write": [
    connect("read", (key, writer) => nested(writer, 1, (check) => check.writeBytesField(1, key))),
    connect("write", (key, writer) =>
      nested(writer, 2, (mutation) => {
        mutation.writeBytesField(1, key);
        mutation.writeVarintField(3, 2);
      }),
    ),
  ],
  "POST /connect/watch": [
    connect("read", (key, writer) => nested(writer, 1, (watched) => watched.writeBytesField(1, key))),
  ],
  "POST /v1/get": [{ need: "read", body: (key) => ({ key }) }],
  "POST /v1/getMany": [{ need: "read", body: (key) => ({ keys: [key] }) }],
  "POST /v1/list": [
    { need: "read", body: (key) => ({ selector: { start: key, end: [...key, { $bytes: "" }] } }) },
  ],
  "POST /v1/set": [keyed("write")],
  "POST /v1/delete": [{ need: "write", body: (key) => ({ key }) }],
  "POST /v1/atomic": [
    { need: "read", body: (key) => ({ checks: [{ key, versionstamp: null }] }) },
    { need: "write", body: (key) => ({ mutations: [{ type: "delete", key }] }) },
    { need: "write on everything", body: () => ({ enqueues: [{ value: 1 }] }) },
  ],
  "GET /v1/stats": [store],
  "GET /v1/history": [store],
  "POST /v1/enqueue": [{ need: "write on everything", body: () => ({ value: 1 }) }],
  "GET /v1/queueStats": [store],
  "POST /v1/deadLetters/list": [{ ...store, body: () => ({}) }],
  "POST /v1/deadLetters/get": [letter],
  "POST /v1/deadLetters/requeue": [letter],
  "POST /v1/deadLetters/delete": [letter],
  "POST /v1/deadLetters/purge": [{ ...store, body: () => ({}) }],
  "GET /v1/changes": [{ need: "read", below: (key) => `?selectors=${query({ key })}` }],
  "POST /v1/changes": [
    { need: "read", body: (key) => ({ selectors: { key } }) },
    { need: "read", body: (prefix) => ({ selectors: { prefix } }) },
    { need: "read", body: (key) => ({ selectors: { pattern: [...key, { any: true }] } }) },
  ],
  "GET /v1/watch": [{ need: "read", below: (key) => `?keys=${query([key])}` }],
  "POST /v1/watch": [{ need: "read", body: (key) => ({ keys: [key] }) }],
  "/v1/entries/": [
    { need: "read", method: "GET", below: pathOf },
    { need: "read", method: "HEAD", below: pathOf },
    { need: "write", method: "PUT", below: pathOf, body: () => 1 },
    { need: "write", method: "DELETE", below: pathOf },
  ],
};

test("each token may do on each route what it should, and nothing else", async () => {
  const configured = TOKENS.map(({ name, right, prefix }) => ({
    name,
    token: textOf(name),
    grants: [{ prefix, rights: [right] }],
  }));
  const { server, url, kv } = await tempServer({ tokens: configured });
  expect(Object.keys(CASES).sort()).toEqual([...server.routes].sort());
  const common = { "x-denokv-version": "3", "x-denokv-database-id": kv.encoded().storeId };
  for (const [route, cases] of Object.entries(CASES)) {
    for (const { need, method = route.split(" ")[0]!, below, body } of cases) {
      const isKeyed = need === "read" || need === "write";
      for (const key of isKeyed ? [...INSIDE, ...OUTSIDE] : [PREFIX]) {
        const before = key.length > 0 ? await kv.set(key, 0) : null;
        const ask = async (token: Token): Promise<void> => {
          const name = typeof token === "object" ? token?.name : token;
          const response = await fetch(url + route.slice(route.indexOf(" ") + 1) + (below?.(key) ?? ""), {
            method,
            headers: { ...common, ...(name !== undefined && { authorization: `Bearer ${textOf(name)}` }) },
            ...(body !== undefined && { body: bodyOf(body(key)) }),
          });
          await response.body?.cancel();
          const what = `${name ?? "nobody"}: ${method} ${route} ${JSON.stringify(key)} (${need})`;
          expect(verdict(response.status), `${what}: ${response.status}`).toBe(expected(token, need, key));
        };
        const tokens: readonly Token[] = [null, "wrong", ...TOKENS];
        const isDone = (token: Token): boolean => expected(token, need, key) === "done";
        await Promise.all(tokens.filter((token) => !isDone(token)).map(ask));
        if (before !== null) {
          expect((await kv.get(key)).versionstamp, `${method} ${route}`).toBe(before.versionstamp);
        }
        await Promise.all(tokens.filter(isDone).map(ask));
      }
    }
  }
});

function expected(token: Token, need: Need, key: KvKey): string {
  if (need === "nothing") return "done";
  if (token === null || typeof token === "string") return "unknown";
  const isEverything = token.prefix.length === 0;
  const isCovered = isEverything || INSIDE.includes(key);
  const has = (right: string): boolean => token.right === right || token.right === "admin";
  const mays: Readonly<Record<Exclude<Need, "nothing">, boolean>> = {
    "a token": true,
    read: has("read") && isCovered,
    write: has("write") && isCovered,
    "write on everything": has("write") && isEverything,
    "admin on everything": has("admin") && isEverything,
  };
  return mays[need] ? "done" : "forbidden";
}

/** What is done may still find nothing, or be refused for what the empty key is. */
function verdict(status: number): string {
  if (status === 401) return "unknown";
  if (status === 403) return "forbidden";
  return [200, 404, 400].includes(status) ? "done" : `${status}`;
}

function textOf(name: string): string {
  return `token-of-who-${name.replaceAll(" ", "-")}`;
}

function bodyOf(body: unknown): string | Uint8Array<ArrayBuffer> {
  return body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body);
}

function query(value: unknown): string {
  return encodeURIComponent(JSON.stringify(value));
}

function pathOf(key: KvKey): string {
  return formatKeyPath(key).replaceAll("\0", "%00");
}
