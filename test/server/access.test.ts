import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { encodeKey, type KvKey } from "../../src/codec/key.js";
import { createToken, readTokenFile, serve } from "../../src/server/index.js";
import { Rights } from "../../src/server/rights.js";
import { tempKv, tempPath } from "../kv/temp-store.js";
import { post, tempServer } from "./temp-server.js";

const READER = "reader-token-0123456789";
const WRITER = "writer-token-0123456789";
const ADMIN = "admin-token-01234567890";
const TOKENS = [
  { name: "reader", token: READER, grants: [{ prefix: ["a"], rights: ["read"] as const }] },
  {
    name: "writer",
    token: WRITER,
    grants: [
      { prefix: ["a"], rights: ["write"] as const },
      { prefix: ["b", 1], rights: ["read", "write"] as const },
    ],
  },
  { name: "admin", token: ADMIN },
];

describe("rights", () => {
  const rights = new Rights([
    { prefix: ["a"], rights: ["read"] },
    { prefix: ["a", "b"], rights: ["read", "write"] },
  ]);

  it.each<[KvKey, boolean]>([
    [["a"], true],
    [["a", 1], true],
    [["a", new Uint8Array([255])], true],
    [["a\0"], false],
    [["a\0b"], false],
    [["ab"], false],
    [["b"], false],
    [[], false],
  ])("on a prefix hold for %j: %s", (key, holds) => {
    expect(rights.coversKey("read", encodeKey(key))).toBe(holds);
  });

  it("join where they lie within each other, so that nothing is listed twice", () => {
    const all = { start: new Uint8Array(0), end: new Uint8Array([0xff]) };
    expect(rights.clip("read", all)).toHaveLength(1);
    expect(rights.clip("write", all)).toHaveLength(1);
  });
});

describe("access", () => {
  /** token × request → status. */
  const MATRIX: readonly [string, unknown, Record<string, number>][] = [
    ["/v1/get", { key: ["a", 1] }, { none: 401, wrong: 401, [READER]: 200, [WRITER]: 403, [ADMIN]: 200 }],
    ["/v1/get", { key: ["b", 1] }, { [READER]: 403, [WRITER]: 200, [ADMIN]: 200 }],
    ["/v1/get", { key: ["b"] }, { [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["/v1/getMany", { keys: [["a"], ["b", 1]] }, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["/v1/set", { key: ["a", 1], value: 1 }, { none: 401, [READER]: 403, [WRITER]: 200, [ADMIN]: 200 }],
    ["/v1/delete", { key: ["a", 1] }, { none: 401, [READER]: 403, [WRITER]: 200, [ADMIN]: 200 }],
    ["/v1/list", { selector: { prefix: ["b"] } }, { none: 401, [READER]: 403, [WRITER]: 200, [ADMIN]: 200 }],
    [
      "/v1/atomic",
      { checks: [{ key: ["b", 1], versionstamp: null }], mutations: [{ type: "delete", key: ["a"] }] },
      { none: 401, [READER]: 403, [WRITER]: 200, [ADMIN]: 200 },
    ],
    [
      "/v1/atomic",
      { checks: [{ key: ["a"], versionstamp: null }], mutations: [] },
      { [READER]: 200, [WRITER]: 403, [ADMIN]: 200 },
    ],
    ["/v1/changes", { selectors: { prefix: [] } }, { none: 401, [READER]: 403, [WRITER]: 403 }],
    ["/v1/changes", { selectors: [{ key: ["a"] }, { prefix: ["b"] }] }, { [READER]: 403, [WRITER]: 403 }],
    ["/v1/changes", { selectors: { pattern: [{ any: true }, "x"] } }, { [READER]: 403, [WRITER]: 403 }],
    ["/v1/changes", { selectors: { start: ["a"], end: ["b"] } }, { [READER]: 403, [WRITER]: 403 }],
    ["/v1/watch", { keys: [["a"], ["c"]] }, { none: 401, [READER]: 403, [WRITER]: 403 }],
    ["/v1/enqueue", { value: 1 }, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["/v1/atomic", { enqueues: [{ value: 1 }] }, { [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["/v1/deadLetters/list", {}, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["/v1/deadLetters/purge", {}, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["GET /v1/queueStats", undefined, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["GET /v1/stats", undefined, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["GET /v1/history", undefined, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["GET /metrics", undefined, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 200 }],
    ["GET /v1/entries/b", undefined, { none: 401, [READER]: 403, [WRITER]: 403, [ADMIN]: 404 }],
    ["GET /healthz", undefined, { none: 200, [READER]: 200 }],
    ["/", { supportedVersions: [3] }, { none: 401, wrong: 401, [READER]: 200 }],
  ];

  it("is what the matrix of tokens, routes and keys says", async () => {
    const { url } = await tempServer({ tokens: TOKENS });
    for (const [route, body, expected] of MATRIX) {
      const [method, path] = route.startsWith("GET ") ? ["GET", route.slice(4)] : ["POST", route];
      for (const [token, status] of Object.entries(expected)) {
        const headers = token === "none" ? {} : { authorization: `Bearer ${token}` };
        const response = await fetch(url + path, {
          method,
          headers,
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        await response.arrayBuffer();
        expect(response.status, `${token} ${route} ${JSON.stringify(body)}`).toBe(status);
      }
    }
  });

  it("cuts lists to what may be read, before the limit counts", async () => {
    const { url, kv } = await tempServer({ tokens: TOKENS });
    for (const key of [["0"], ["a"], ["a", 1], ["a\0"], ["b"]]) await kv.set(key, 1);
    const headers = { authorization: `Bearer ${READER}` };
    for (const reverse of [false, true]) {
      const { body } = await post(`${url}/v1/list`, { selector: { prefix: [] }, limit: 3, reverse }, headers);
      const keys = (body as { entries: { key: KvKey }[] }).entries.map(({ key }) => key);
      expect(keys).toEqual(reverse ? [["a", 1], ["a"]] : [["a"], ["a", 1]]);
    }
  });

  it("knows tokens by their hash", async () => {
    const { token, sha256 } = createToken();
    const { url } = await tempServer({ tokens: [{ name: "made", sha256 }] });
    expect((await post(`${url}/v1/get`, { key: ["a"] }, { authorization: `Bearer ${token}` })).status).toBe(
      200,
    );
    expect((await post(`${url}/v1/get`, { key: ["a"] }, { authorization: `Bearer ${sha256}` })).status).toBe(
      401,
    );
  });

  it("reads a token file, and refuses one that has a token's text", async () => {
    const path = tempPath();
    const grants = [{ prefix: ["a", { $bigint: "1" }], rights: ["read"] }];
    writeFileSync(path, JSON.stringify({ tokens: [{ name: "app", sha256: createToken().sha256, grants }] }));
    expect(readTokenFile(path)).toMatchObject([{ name: "app", grants: [{ prefix: ["a", 1n] }] }]);
    for (const bad of [
      '{"tokens":[{"name":"app","token":"0123456789abcdef"}]}',
      "{",
      '{"tokens":[{"name":"x","sha256":"1"}]}',
    ]) {
      writeFileSync(path, bad);
      expect(() => readTokenFile(path)).toThrow(expect.objectContaining({ code: "KV_INVALID_OPTION" }));
    }
  });

  it("without a token is for this machine only", async () => {
    const kv = await tempKv();
    await expect(serve(kv, { port: 0, host: "0.0.0.0" })).rejects.toThrow(/no access token is configured/);
    const { server } = await tempServer({}, { kv });
    expect(server.isOpen).toBe(true);
    const raw = await exchangeRaw(
      server.port,
      "GET /v1/history HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    expect(raw).toMatch(/^HTTP\/1.1 403/);
  });

  it("is closed to pages of other origins, unless they are allowed", async () => {
    const foreign = { origin: "https://page.example" };
    const closed = await tempServer();
    const refused = await post(`${closed.url}/v1/set`, { key: ["a"], value: 1 }, foreign);
    expect(refused.status).toBe(403);
    expect((await closed.kv.get(["a"])).value).toBeNull();
    const open = await tempServer({ origins: ["https://page.example"] });
    const response = await fetch(`${open.url}/v1/history`, { headers: foreign });
    expect(response.headers.get("access-control-allow-origin")).toBe("https://page.example");
    const preflight = await fetch(`${open.url}/v1/get`, {
      method: "OPTIONS",
      headers: { ...foreign, "access-control-request-method": "POST" },
    });
    expect([preflight.status, preflight.headers.get("access-control-allow-headers")]).toEqual([
      204,
      expect.stringContaining("authorization"),
    ]);
  });
});

describe("limits", () => {
  it("on the rate of one client", async () => {
    const { url } = await tempServer({ rate: { perSecond: 0.001, burst: 3 } });
    const statuses = [];
    for (let count = 0; count < 5; count++)
      statuses.push((await post(`${url}/v1/get`, { key: ["a"] })).status);
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
  });

  it("on connections", async () => {
    const { server } = await tempServer({ connectionsMax: 1 });
    const first = await openSocket(server.port);
    await waitFor(() => server.connectionCount === 1);
    expect(await exchangeRaw(server.port, "")).toMatch(/^HTTP\/1.1 503 .*too many connections/s);
    first.destroy();
    await waitFor(() => server.connectionCount === 0);
    expect(await exchangeRaw(server.port, "GET /healthz HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 200/);
  });

  it("on the watches of one connection", async () => {
    const { server } = await tempServer({ watchesMax: 1 });
    const { connect: connectHttp2 } = await import("node:http2");
    const session = connectHttp2(server.url);
    onTestFinished(() => session.destroy());
    const open = () =>
      new Promise((resolve) => {
        const path = `/v1/watch?keys=${encodeURIComponent('[["a"]]')}`;
        session.request({ ":path": path }).on("response", (headers) => resolve(headers[":status"]));
      });
    expect(await open()).toBe(200);
    expect(await open()).toBe(429);
  });

  it.each([
    ["half a head", "GET / HTTP/1.1\r\nHos"],
    ["half a preface of HTTP/2", "PRI * HT"],
    ["nothing at all", ""],
  ])("on the time of %s", async (_, text) => {
    const { server } = await tempServer({ headMsMax: 100 });
    const answer = await exchangeRaw(server.port, text);
    expect(answer === "" || answer.startsWith("HTTP/1.1 408")).toBe(true);
    await waitFor(() => server.connectionCount === 0);
  });

  it.each(["HTTP/1.1", "HTTP/2"])("on the time that a connection of %s is idle", async (protocol) => {
    const { server } = await tempServer({ idleMsMax: 100 });
    if (protocol === "HTTP/2") {
      const { connect: connectHttp2 } = await import("node:http2");
      const session = connectHttp2(server.url);
      onTestFinished(() => session.destroy());
      await new Promise((resolve) => session.once("close", resolve));
    } else {
      const head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
      expect(await exchangeRaw(server.port, head)).toMatch(/^HTTP\/1.1 200 .*ok\n$/s);
    }
    await waitFor(() => server.connectionCount === 0);
  });

  it("on the time of a body, over both protocols", async () => {
    const { server, url } = await tempServer({ bodyMsMax: 100 });
    const head =
      "POST /v1/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{";
    expect(await exchangeRaw(server.port, head)).toMatch(/^HTTP\/1.1 408 .*TIMEOUT/s);
    const { connect: connectHttp2 } = await import("node:http2");
    const session = connectHttp2(url);
    onTestFinished(() => session.destroy());
    const slow = session.request({ ":method": "POST", ":path": "/v1/get" });
    slow.on("error", () => {});
    slow.write("{");
    const status = await new Promise((resolve) =>
      slow.on("response", (headers) => resolve(headers[":status"])),
    );
    expect(status).toBe(408);
  });

  it.each([
    ["garbage", "\x16\x03\x01 hello\r\n\r\n", /^HTTP\/1.1 400/],
    [
      "two lengths",
      "POST /v1/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      /^HTTP\/1.1 400/,
    ],
    ["a head without end", `GET / HTTP/1.1\r\nX: ${"x".repeat(40_000)}\r\n\r\n`, /^HTTP\/1.1 4/],
    ["a preface and garbage", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"\xff".repeat(64)}`, /./s],
    [
      "a body that is longer than allowed",
      "POST /v1/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
      /^HTTP\/1.1 413/,
    ],
  ])("on %s", async (_, text, expected) => {
    const { server, url } = await tempServer();
    expect(await exchangeRaw(server.port, text, 700)).toMatch(expected);
    expect((await post(`${url}/v1/get`, { key: ["a"] })).status).toBe(200);
  });
});

async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => {
    socket.destroy();
  });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return socket;
}

/** What comes back for some bytes, until the server ends the connection or `waitMs` are over. */
async function exchangeRaw(port: number, text: string, waitMs = 10_000): Promise<string> {
  const socket = await openSocket(port);
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk.toString("latin1");
  });
  socket.on("error", () => {});
  if (text !== "") socket.write(Buffer.from(text, "latin1"));
  await new Promise((resolve) => {
    socket.once("close", resolve);
    setTimeout(resolve, waitMs).unref();
  });
  socket.destroy();
  return answer;
}

async function waitFor(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}
