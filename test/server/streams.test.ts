import { once } from "node:events";
import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { tempPath } from "../kv/temp-store.js";
import { tempServer } from "./temp-server.js";

interface StreamEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: { readonly key?: unknown; readonly value?: unknown; readonly [name: string]: unknown };
}

/** Reads server-sent events one by one. */
async function openEvents(url: string, headers: Readonly<Record<string, string>> = {}, skipsProgress = true) {
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  const response = await fetch(url, { headers, signal: ended.signal });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const next = async (): Promise<StreamEvent | null> => {
    for (;;) {
      const end = text.indexOf("\n\n");
      if (end >= 0) {
        const lines = text.slice(0, end).split("\n");
        text = text.slice(end + 2);
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (field("event") === undefined || (skipsProgress && field("event") === "progress")) continue;
        return { event: field("event")!, id: field("id"), data: JSON.parse(field("data")!) };
      }
      const { done, value } = await reader.read();
      if (done) return null;
      text += value;
    }
  };
  return { next, close: () => ended.abort() };
}

const query = (name: string, value: unknown) => `${name}=${encodeURIComponent(JSON.stringify(value))}`;

describe("a stream of changes", () => {
  it("has each change once, and resumes behind the last one that was seen", async () => {
    const { url, kv } = await tempServer();
    const address = `${url}/v1/changes?${query("selectors", { prefix: ["a"] })}`;
    const events = await openEvents(address);
    await kv.atomic().set(["a", 1], 1n).set(["a", 2], 2).set(["b"], 0).commit();
    const first = await events.next();
    expect(first).toMatchObject({
      event: "change",
      data: { type: "create", key: ["a", 1], value: { $bigint: "1" } },
    });
    expect(first!.id).toMatch(/^[0-9a-f]{24}$/);
    events.close();
    await kv.delete(["a", 1]);
    const resumed = await openEvents(address, { "last-event-id": first!.id! });
    expect(await resumed.next()).toMatchObject({ data: { key: ["a", 2], value: 2 } });
    expect(await resumed.next()).toMatchObject({ data: { type: "delete", key: ["a", 1] } });
  });

  it("says where it begins, so that nothing is missed before the first change", async () => {
    const { url, kv } = await tempServer();
    const address = `${url}/v1/changes?${query("selectors", { prefix: [] })}`;
    const events = await openEvents(address, {}, false);
    const begin = await events.next();
    expect(begin).toMatchObject({ event: "progress" });
    events.close();
    await kv.set(["missed"], 1);
    const resumed = await openEvents(address, { "last-event-id": begin!.id! });
    expect(await resumed.next()).toMatchObject({ data: { key: ["missed"] } });
  });

  it("begins with the state, whose events can't be resumed from", async () => {
    const { url, kv } = await tempServer();
    await kv.set(["a", 1], "old");
    const events = await openEvents(
      `${url}/v1/changes?${query("selectors", [{ prefix: ["a"] }])}&${query("options", { initial: true })}`,
      {},
      false,
    );
    expect(await events.next()).toMatchObject({ event: "change", id: undefined, data: { initial: true } });
    expect(await events.next()).toMatchObject({ event: "progress", id: expect.stringMatching(/./) });
    await kv.set(["a", 1], "new");
    expect(await events.next()).toMatchObject({ event: "change", data: { type: "update", value: "new" } });
  });

  it("follows a pattern", async () => {
    const { url, kv } = await tempServer();
    const selector = { pattern: ["users", { any: true }, "status"] };
    const events = await openEvents(`${url}/v1/changes?${query("selectors", selector)}`);
    await kv.set(["users", 7, "name"], 1);
    await kv.set(["users", 7, "status"], "up");
    expect(await events.next()).toMatchObject({ data: { key: ["users", 7, "status"] } });
  });

  it("ends with a reason when the server closes, and when the store does", async () => {
    const { url, kv, server } = await tempServer();
    const address = `${url}/v1/changes?${query("selectors", { prefix: [] })}`;
    const first = await openEvents(address);
    const second = await openEvents(`${url}/v1/watch?${query("keys", [["a"]])}`);
    expect(await second.next()).toMatchObject({ event: "state" });
    const closing = server.close();
    expect(await first.next()).toMatchObject({ event: "end", data: { reason: /shutting down/ } });
    expect(await second.next()).toMatchObject({ event: "end" });
    expect(await first.next()).toBeNull();
    await closing;
    expect((await kv.get(["a"])).value).toBeNull();
  });

  it("goes on exactly where it was after the server was restarted", async () => {
    const path = tempPath();
    const first = await tempServer({}, { path });
    const address = (url: string) => `${url}/v1/changes?${query("selectors", { prefix: ["n"] })}`;
    const events = await openEvents(address(first.url));
    for (let number = 0; number < 20; number++) await first.kv.set(["n", number], number);
    let last = "";
    for (let number = 0; number < 10; number++) last = (await events.next())!.id!;
    events.close();
    await first.server.close();
    await first.kv.close();
    const second = await tempServer({}, { path });
    const resumed = await openEvents(address(second.url), { "last-event-id": last });
    for (let number = 10; number < 20; number++) {
      expect((await resumed.next())!.data).toMatchObject({ key: ["n", number] });
    }
  });

  it("says that the history is gone", async () => {
    const { url, kv } = await tempServer({}, { open: { history: { bytesMax: 4096 }, shards: 1 } });
    const { versionstamp } = await kv.set(["a"], 0);
    for (let number = 0; number < 100; number++) await kv.set(["a"], "x".repeat(1000));
    const events = await openEvents(
      `${url}/v1/changes?${query("selectors", { key: ["a"] })}&since=${versionstamp}`,
    );
    expect(await events.next()).toMatchObject({
      event: "failure",
      data: { error: { code: "KV_HISTORY_TRIMMED" } },
    });
  });

  it("never buffers without bound for a client that does not read, and catches it up", async () => {
    const { server, url, kv } = await tempServer();
    const path = `/v1/changes?${query("selectors", { prefix: ["n"] })}`;
    const outgoing = request({ port: server.port, path }).end();
    onTestFinished(() => {
      outgoing.destroy();
    });
    const response = await new Promise<import("node:http").IncomingMessage>((resolve) =>
      outgoing.on("response", resolve),
    );
    response.pause();
    const value = "x".repeat(10_000);
    const count = 6000;
    for (let number = 0; number < count; number += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, index) => kv.set(["n", number + index], value)));
    }
    const metrics = await (await fetch(`${url}/metrics`)).text();
    // 60 MB were written; what the client's side of the connection took does not count here.
    expect(Number(/belfry_buffered_bytes (\d+)/.exec(metrics)![1])).toBeLessThan(1e6);
    let text = "";
    let seen = 0;
    for await (const chunk of response.setEncoding("latin1")) {
      text += chunk;
      const events = text.split("\n\n");
      text = events.pop()!;
      seen += events.filter((event) => event.startsWith("event: change")).length;
      if (seen === count) break;
    }
    expect(seen).toBe(count);
  });

  it("frees what a client that goes away held", async () => {
    const { url, kv } = await tempServer();
    const open = async () => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(/belfry_streams\{kind="changes"\} (\d+)/.exec(text)![1]);
    };
    const streams = await Promise.all(
      Array.from({ length: 10 }, () => openEvents(`${url}/v1/changes?${query("selectors", { prefix: [] })}`)),
    );
    expect(await open()).toBe(10);
    for (const { close } of streams) close();
    while ((await open()) > 0) await sleep(5);
    await kv.set(["a"], 1);
  });
});

describe("a server that closes", () => {
  it.each(["HTTP/1.1", "HTTP/2"])("lets a client that is slow have its answer over %s", async (protocol) => {
    const { server, kv } = await tempServer();
    await kv.set(["large"], "x".repeat(12 * 2 ** 20));
    const answer = await openAnswer(server.port, "/v1/entries/large", protocol);
    answer.pause();
    const closing = server.close();
    // Over HTTP/1.1 the system may take all of it by now; over HTTP/2 the client's window keeps the rest at the server.
    await sleep(100);
    let length = 0;
    for await (const chunk of answer) length += (chunk as Buffer).length;
    expect(length).toBeGreaterThan(12 * 2 ** 20);
    await closing;
  });
});

/** An answer whose body is still to be read. */
async function openAnswer(port: number, path: string, protocol: string): Promise<Readable> {
  if (protocol === "HTTP/2") {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    onTestFinished(() => session.destroy());
    const stream = session.request({ ":path": path });
    await once(stream, "response");
    return stream;
  }
  const outgoing = request({ port, path }).end();
  const [response] = (await once(outgoing, "response")) as [Readable];
  return response;
}

describe("a stream of states", () => {
  it("begins with the state, and tells each newer one", async () => {
    const { url, kv } = await tempServer();
    const events = await openEvents(`${url}/v1/watch?${query("keys", [["a"], ["b"]])}`);
    expect(await events.next()).toMatchObject({
      event: "state",
      data: { entries: [{ value: null }, { value: null }] },
    });
    await kv.set(["b"], 5);
    expect(await events.next()).toMatchObject({
      event: "state",
      data: { entries: [{ value: null }, { value: 5 }] },
    });
  });
});
