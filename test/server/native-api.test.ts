import { request } from "node:http";
import { describe, expect, it } from "vitest";
import { KvU64 } from "../../src/index.js";
import { decodeMessage, encodeMessage } from "../../src/wire/message.js";
import { post, tempServer } from "./temp-server.js";

describe("the native API", () => {
  it("gets, sets, lists and deletes", async () => {
    const { url, kv } = await tempServer();
    const set = await post(`${url}/v1/set`, { key: ["users", 1], value: { big: { $bigint: "7" } } });
    expect(set).toMatchObject({ status: 200, body: { ok: true } });
    expect((await kv.get(["users", 1])).value).toEqual({ big: 7n });
    await kv.set(["users", 2], new Map([["k", new Uint8Array([1])]]));
    expect((await post(`${url}/v1/get`, { key: ["users", 2] })).body).toMatchObject({
      value: { $map: [["k", { $bytes: "AQ==" }]] },
    });
    const first = await post(`${url}/v1/list`, { selector: { prefix: ["users"] }, limit: 1 });
    const { cursor, entries } = first.body as { cursor: string; entries: { key: unknown }[] };
    expect(entries.map(({ key }) => key)).toEqual([["users", 1]]);
    const second = await post(`${url}/v1/list`, { selector: { prefix: ["users"] }, limit: 5, cursor });
    expect(second.body).toMatchObject({ entries: [{ key: ["users", 2] }], cursor: "" });
    await post(`${url}/v1/delete`, { key: ["users", 1] });
    const many = await post(`${url}/v1/getMany`, {
      keys: [
        ["users", 1],
        ["users", 2],
      ],
    });
    expect((many.body as { entries: { versionstamp: unknown }[] }).entries[0]!.versionstamp).toBeNull();
  });

  it("commits atomically, and tells which check failed", async () => {
    const { url, kv } = await tempServer();
    const commit = {
      checks: [{ key: ["a"], versionstamp: null }],
      mutations: [
        { type: "set", key: ["a"], value: 1 },
        { type: "sum", key: ["n"], value: { $u64: "5" } },
        { type: "set", key: ["log"], value: "x", versionstamped: true },
      ],
    };
    const { versionstamp } = (await post(`${url}/v1/atomic`, commit)).body as { versionstamp: string };
    expect((await kv.get(["n"])).value).toEqual(new KvU64(5n));
    expect((await kv.get(["log", versionstamp])).value).toBe("x");
    expect((await post(`${url}/v1/atomic`, commit)).body).toEqual({
      ok: false,
      failedChecks: [{ index: 0, key: ["a"], expected: null, actual: versionstamp }],
    });
  });

  it("speaks the binary form to whoever asks for it", async () => {
    const { url } = await tempServer();
    const type = "application/x-belfry";
    const send = async (path: string, message: unknown) => {
      const body = encodeMessage(message, "binary");
      const headers = { "content-type": type, accept: type };
      const response = await fetch(url + path, {
        method: "POST",
        headers,
        body: body as Uint8Array<ArrayBuffer>,
      });
      expect(response.headers.get("content-type")).toBe(type);
      return decodeMessage(new Uint8Array(await response.arrayBuffer()), "binary");
    };
    const value = { bytes: new Uint8Array([0, 1]), nothing: undefined, zero: -0 };
    await send("/v1/set", { key: [1n, new Uint8Array([7])], value });
    expect(await send("/v1/get", { key: [1n, new Uint8Array([7])] })).toMatchObject({ value });
  });

  it("has entries as resources under key paths", async () => {
    const { url, kv } = await tempServer();
    const address = `${url}/v1/entries/users/42`;
    await fetch(address, { method: "PUT", body: '{"name":"Ada"}' });
    expect((await kv.get(["users", 42])).value).toEqual({ name: "Ada" });
    expect(await (await fetch(address)).json()).toMatchObject({ key: ["users", 42], value: { name: "Ada" } });
    await fetch(address, {
      method: "PUT",
      body: "raw",
      headers: { "content-type": "application/octet-stream" },
    });
    const raw = await fetch(address, { headers: { accept: "application/octet-stream" } });
    expect(await raw.text()).toBe("raw");
    await fetch(address, { method: "DELETE" });
    expect((await fetch(address)).status).toBe(404);
    expect((await fetch(address, { method: "PATCH" })).status).toBe(405);
  });
});

describe("a wrong request", () => {
  const WRONG: readonly [string, string, string][] = [
    ["no JSON", "/v1/get", "{"],
    ["no object", "/v1/get", "[]"],
    ["a missing key", "/v1/get", "{}"],
    ["a key that is none", "/v1/get", '{"key":[null]}'],
    ["an unknown field", "/v1/get", '{"key":["a"],"extra":1}'],
    ["a key that is too long", "/v1/set", `{"key":["${"x".repeat(3000)}"],"value":1}`],
    ["an empty key", "/v1/set", '{"key":[],"value":1}'],
    ["no value", "/v1/set", '{"key":["a"]}'],
    ["an expiry that is none", "/v1/set", '{"key":["a"],"value":1,"expireIn":-1}'],
    ["a selector that is none", "/v1/list", '{"selector":{"start":["a"]}}'],
    ["a limit that is too large", "/v1/list", '{"selector":{"prefix":[]},"limit":1001}'],
    ["a cursor that is none", "/v1/list", '{"selector":{"prefix":[]},"cursor":"%"}'],
    ["an unknown mutation", "/v1/atomic", '{"mutations":[{"type":"drop","key":["a"]}]}'],
    ["a check that is none", "/v1/atomic", '{"checks":[{"key":["a"],"versionstamp":"1"}]}'],
    ["arithmetic on a text", "/v1/atomic", '{"mutations":[{"type":"sum","key":["a"],"value":"1"}]}'],
    ["an unknown tag", "/v1/set", '{"key":["a"],"value":{"$what":1}}'],
    ["nesting without end", "/v1/set", `{"key":["a"],"value":${"[".repeat(6000)}${"]".repeat(6000)}}`],
    ["a stream without selectors", "/v1/changes", "{}"],
    [
      "a stream with a wrong option",
      "/v1/changes",
      '{"selectors":{"prefix":[]},"options":{"overflow":"never"}}',
    ],
    [
      "a stream that begins with the state and in a past that is none",
      "/v1/changes",
      '{"selectors":{"prefix":[]},"options":{"initial":true,"since":{"$bigint":"1"}}}',
    ],
    ["a watch of nothing", "/v1/watch", '{"keys":[]}'],
  ];

  it("is a 400 with a text", async () => {
    const { url } = await tempServer();
    for (const [what, path, body] of WRONG) {
      const answer = await post(url + path, body);
      const error = { code: expect.stringMatching(/^[A-Z_]+$/), message: expect.stringMatching(/./) };
      expect(answer, what).toMatchObject({ status: 400, body: { error } });
      expect(JSON.stringify(answer.body), what).not.toMatch(/node:|\.js|\/src\/|at Object/);
    }
  });

  it("of another media type, or too large, is told so", async () => {
    const { url } = await tempServer({ bodyBytesMax: 1000 });
    expect((await post(`${url}/v1/get`, "x", { "content-type": "image/png" })).status).toBe(415);
    expect(await post(`${url}/v1/set`, { key: ["a"], value: "x".repeat(2000) })).toMatchObject({
      status: 413,
      body: { error: { code: "BODY_TOO_LARGE" } },
    });
  });

  it("to a path that plays tricks finds nothing", async () => {
    const { server } = await tempServer();
    const paths = [
      "/../etc/passwd",
      "//v1/get",
      "/v1/get/",
      "/v1/%67et",
      "/v1/entries/%zz",
      "/v1/entries/%22x",
      "/constructor",
    ];
    for (const path of paths) {
      const status = await new Promise((resolve, reject) => {
        request({ port: server.port, path }, (response) => resolve(response.resume().statusCode))
          .on("error", reject)
          .end();
      });
      expect([400, 404], path).toContain(status);
    }
  });
});
