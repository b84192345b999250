import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { anyPart, connect, type RemoteKv } from "../../src/client/index.js";
import { type KvKey, KvU64 } from "../../src/index.js";
import { tempKv, tempPath } from "../kv/temp-store.js";
import { type TempServer, tempServer } from "../server/temp-server.js";

async function connected(server?: TempServer): Promise<TempServer & { readonly remote: RemoteKv }> {
  const running = server ?? (await tempServer());
  const remote = connect(running.url);
  onTestFinished(() => remote.close());
  return { ...running, remote };
}

async function keysOf(iterator: AsyncIterable<{ readonly key: KvKey }>): Promise<KvKey[]> {
  const keys: KvKey[] = [];
  for await (const { key } of iterator) keys.push(key);
  return keys;
}

describe("the client", () => {
  it("reads and writes every kind of value", async () => {
    const { remote, kv } = await connected();
    const value = {
      map: new Map<unknown, unknown>([[1n, new Set([undefined])]]),
      when: new Date(3),
      floats: new Float32Array([1.5]),
      zero: -0,
      error: new RangeError("far"),
    };
    await remote.set(["v", 1n, new Uint8Array([0]), true, -0], value);
    const entry = await kv.get(["v", 1n, new Uint8Array([0]), true, -0]);
    expect(entry.value).toEqual(value);
    expect(await remote.get(["v", 1n, new Uint8Array([0]), true, -0])).toEqual(entry);
    await remote.set(["bytes"], Buffer.from("ab"));
    expect((await kv.get(["bytes"])).value).toEqual(new Uint8Array([97, 98]));
    await remote.set(["n"], new KvU64(5n));
    expect((await remote.get(["n"])).value).toEqual(new KvU64(5n));
    await remote.delete(["n"]);
    expect(await remote.getMany([["n"], ["bytes"]])).toMatchObject([
      { versionstamp: null },
      { key: ["bytes"] },
    ]);
  });

  it("commits atomically, with the versionstamp in a key", async () => {
    const { remote, kv } = await connected();
    const commit = () =>
      remote
        .atomic()
        .check({ key: ["a"], versionstamp: null })
        .set(["a"], 1)
        .sum(["n"], 2n)
        .set(["log", remote.commitVersionstamp()], "x")
        .mutate({ type: "delete", key: ["b"] })
        .commit();
    const first = await commit();
    expect(first.ok).toBe(true);
    if (first.ok) expect((await kv.get(["log", first.versionstamp])).value).toBe("x");
    expect(await commit()).toMatchObject({
      ok: false,
      failedChecks: [{ index: 0, key: ["a"], expected: null }],
    });
  });

  it("enqueues, and looks after what could not be delivered", async () => {
    const { remote, kv } = await connected();
    await remote.enqueue({ n: 1n }, { backoffSchedule: [] });
    await remote.atomic().set(["a"], 1).enqueue("two", { backoffSchedule: [] }).commit();
    expect(await remote.queueStats()).toMatchObject({ ready: 2, dead: 0 });
    const ended = new AbortController();
    const listening = kv.listenQueue(
      () => {
        throw new Error("no");
      },
      { onError: () => {}, signal: ended.signal },
    );
    while ((await remote.queueStats()).dead < 2) await sleep(5);
    ended.abort();
    await listening;
    const letters = [];
    for await (const letter of remote.deadLetters.list({ limit: 5 })) letters.push(letter);
    expect(letters.map(({ value }) => value)).toEqual([{ n: 1n }, "two"]);
    expect(await remote.deadLetters.get(letters[0]!.id)).toEqual(letters[0]);
    expect(await remote.deadLetters.requeue(letters[0]!.id)).toBe(true);
    expect(await remote.deadLetters.delete(letters[1]!.id)).toBe(true);
    expect(await remote.deadLetters.purge()).toBe(0);
    expect(await remote.queueStats()).toMatchObject({ ready: 1, dead: 0 });
    await expect(remote.enqueue(1, { delay: -1 })).rejects.toMatchObject({ code: "KV_INVALID_OPTION" });
  });

  it("lists page after page, and goes on at a cursor", async () => {
    const { remote, kv } = await connected();
    const commit = kv.atomic();
    for (let number = 0; number < 25; number++) commit.set(["n", number], number);
    await commit.commit();
    const all = Array.from({ length: 25 }, (_, number) => ["n", number]);
    expect(await keysOf(remote.list({ prefix: ["n"] }, { batchSize: 10 }))).toEqual(all);
    expect(await keysOf(remote.list({ prefix: ["n"] }, { reverse: true, limit: 3 }))).toEqual(
      all.slice(-3).reverse(),
    );
    const some = remote.list({ prefix: ["n"] }, { batchSize: 10 });
    for (let count = 0; count < 7; count++) await some.next();
    const local = kv.list({ prefix: ["n"] });
    for (let count = 0; count < 7; count++) await local.next();
    expect(some.cursor).toBe(local.cursor);
    expect(await keysOf(remote.list({ prefix: ["n"] }, { cursor: some.cursor }))).toEqual(all.slice(7));
    expect(() => remote.list({ prefix: ["n"] }, { limit: 0 })).toThrow(
      expect.objectContaining({ code: "KV_INVALID_OPTION" }),
    );
  });

  it("throws what the embedded store throws", async () => {
    const { remote } = await connected();
    await expect(remote.set([], 1)).rejects.toMatchObject({ code: "KV_INVALID_KEY" });
    await expect(remote.set(["a"], () => 1)).rejects.toMatchObject({ code: "KV_INVALID_VALUE" });
    await expect(remote.set(["x".repeat(3000)], 1)).rejects.toMatchObject({ code: "KV_LIMIT_EXCEEDED" });
    await expect(keysOf(remote.list({ start: ["b"], end: ["a"] }))).rejects.toMatchObject({
      code: "KV_INVALID_SELECTOR",
    });
    await remote.set(["text"], "x");
    await expect(remote.atomic().sum(["text"], 1n).commit()).rejects.toMatchObject({
      code: "KV_INVALID_MUTATION",
    });
    await remote.close();
    await expect(remote.get(["a"])).rejects.toMatchObject({ code: "KV_CLOSED" });
    expect(() => remote.watch([["a"]])).toThrow(expect.objectContaining({ code: "KV_CLOSED" }));
  });

  it("is refused without the right token", async () => {
    const { url } = await tempServer({ tokens: [{ name: "t", token: "the-right-token-1234" }] });
    await expect(connect(url).get(["a"])).rejects.toMatchObject({ code: "KV_ACCESS_DENIED" });
    expect(await connect(url, { token: "the-right-token-1234" }).get(["a"])).toMatchObject({ value: null });
    const feed = connect(url, { token: "the-wrong-token-1234" }).changes({ prefix: [] });
    await expect(feed[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "KV_ACCESS_DENIED" });
  });

  it("tells a server that is not there from a write whose outcome nobody knows", async () => {
    const silent = createServer((request) => request.socket.destroy());
    await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
    onTestFinished(() => void silent.close());
    const { port } = silent.address() as { port: number };
    const lost = connect(`http://127.0.0.1:${port}`, { attemptsMax: 2 });
    await expect(lost.get(["a"])).rejects.toMatchObject({ code: "KV_UNREACHABLE" });
    await expect(lost.set(["a"], 1)).rejects.toMatchObject({ code: "KV_UNKNOWN_OUTCOME", shard: null });
    await new Promise((done) => silent.close(done));
    await expect(lost.set(["a"], 1)).rejects.toMatchObject({ code: "KV_UNREACHABLE" });
  });

  it.each(["", "localhost:4512", "ftp://a", "http://a?x=1", "http://user@a"])(
    "refuses the address %j",
    (url) => {
      expect(() => connect(url)).toThrow(expect.objectContaining({ code: "KV_INVALID_OPTION" }));
    },
  );

  it("follows changes, with filters, patterns and the state", async () => {
    const { remote, kv } = await connected();
    await kv.set(["users", 1, "status"], "old");
    const feed = remote.changes<string>(
      { pattern: ["users", anyPart, "status"] },
      { initial: true, where: ({ value }) => value !== "skip" },
    );
    const events = feed[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ type: "create", initial: true, value: "old" });
    expect((await events.next()).value).toMatchObject({ type: "progress" });
    await kv.set(["users", 1, "status"], "skip");
    await kv.set(["users", 1, "name"], "no");
    await kv.set(["users", 2, "status"], "new");
    expect((await events.next()).value).toMatchObject({ type: "create", key: ["users", 2, "status"] });
    await events.return?.();
    expect((await events.next()).done).toBe(true);
  });

  it("follows changes in each shard's order", async () => {
    const { remote, kv } = await connected();
    const feed = remote.changes<number>({ prefix: ["n"] }, { order: "shard", since: "earliest" });
    for (let number = 0; number < 3; number++) await kv.set(["n", number], number);
    const seen: number[] = [];
    for await (const change of feed) if (change.type !== "delete" && seen.push(change.value) === 3) break;
    expect(seen).toEqual([0, 1, 2]);
  });

  it("ends a feed by the signal, by close, and with the client", async () => {
    const { remote } = await connected();
    const controller = new AbortController();
    const byId = (options = {}) => remote.changes({ prefix: [] }, options)[Symbol.asyncIterator]().next();
    const bySignal = byId({ signal: controller.signal });
    const byClient = byId();
    const closed = remote.changes({ prefix: [] });
    const byClose = closed[Symbol.asyncIterator]().next();
    await sleep(20);
    controller.abort(new Error("enough"));
    await expect(bySignal).rejects.toThrow("enough");
    closed.close();
    expect((await byClose).done).toBe(true);
    await remote.close();
    expect((await byClient).done).toBe(true);
  });

  it("says that the history is gone", async () => {
    const server = await tempServer({}, { open: { history: { bytesMax: 4096 }, shards: 1 } });
    const { remote, kv } = await connected(server);
    const { versionstamp } = await kv.set(["a"], 0);
    for (let number = 0; number < 100; number++) await kv.set(["a"], "x".repeat(1000));
    const feed = remote.changes({ key: ["a"] }, { since: versionstamp });
    await expect(feed[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: "KV_HISTORY_TRIMMED",
      oldest: expect.stringMatching(/^[0-9a-f]{20}/),
    });
  });
});

describe("a client whose server is restarted", () => {
  it("has every change once, and the newest state", async () => {
    const path = tempPath();
    const first = await tempServer({}, { path });
    const port = first.server.port;
    const remote = connect(first.url);
    onTestFinished(() => remote.close());
    const seen: unknown[] = [];
    const feed = remote.changes<number>({ prefix: ["n"] });
    const following = (async () => {
      for await (const { value } of feed) if (seen.push(value) === 60) break;
    })();
    const states = remote.watch<[string]>([["state"]]).getReader();
    expect((await states.read()).value?.[0].value).toBeNull();

    let server = first;
    for (let round = 0; round < 3; round++) {
      for (let number = 0; number < 20; number++) await server.kv.set(["n", number], round * 20 + number);
      await server.kv.set(["state"], `round ${round}`);
      if (round === 2) break;
      await server.server.close();
      // What is written while the server is away is not missed either.
      await server.kv.close();
      const kv = await tempKv(path);
      server = await tempServer({ port }, { kv });
    }
    await following;
    expect(seen).toEqual(Array.from({ length: 60 }, (_, number) => number));
    let state: string | null | undefined;
    while (state !== "round 2") state = (await states.read()).value?.[0].value;
  }, 30_000);
});

describe("what the client loads", () => {
  it("is none of Node, and none of the engine", () => {
    const entry = fileURLToPath(new URL("../../src/client/index.js", import.meta.url));
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      const text = readFileSync(file, "utf8");
      for (const [, specifier] of text.matchAll(/(?:import|export)\s[^;]*?from\s+"([^"]+)"/g)) {
        expect(specifier, file).toMatch(/^\.\.?\//);
        visit(resolve(dirname(file), specifier!));
      }
      expect(text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, ""), file).not.toMatch(/\bBuffer\b|\brequire\(/);
    };
    visit(entry);
    const folders = new Set(
      [...seen].map((file) => file.slice(join(dirname(entry), "..").length + 1).split("/")[0]),
    );
    expect([...folders].sort()).toEqual([
      "client",
      "codec",
      "errors.js",
      "limits.js",
      "queue",
      "watch",
      "wire",
    ]);
  });
});
