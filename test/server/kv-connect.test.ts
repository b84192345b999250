/**
 * KV Connect as Deno's own clients speak it: `@deno/kv` over HTTP/1.1, and the `deno` program over HTTP/2 without TLS.
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { openKv as openDenoKv } from "@deno/kv";
import { describe, expect, it, onTestFinished } from "vitest";
import { KvU64 } from "../../src/index.js";
import { tempPath } from "../kv/temp-store.js";
import { denoProgram } from "../runtimes/deno-program.js";
import { tempServer } from "./temp-server.js";

const TOKEN = "a-token-for-deno-kv";

/** Sets `["a"]` to `{x: 1}`, as Deno encodes it. */
const SET = "12170a03026100120e0a0aff106f22017849027b0110011801";

async function denoKv(url: string, accessToken = TOKEN) {
  const client = await openDenoKv(url, { accessToken });
  onTestFinished(() => client.close());
  return client;
}

async function metadataOf(url: string, body = '{"supportedVersions":[1,2,3]}') {
  const response = await fetch(url, { method: "POST", body });
  return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
}

async function openDataPath(url: string, method: string, hex: string, version = 3): Promise<Response> {
  const { databaseId } = JSON.parse((await metadataOf(url)).text);
  return fetch(`${url}/connect/${method}`, {
    method: "POST",
    headers: { "x-denokv-version": String(version), "x-denokv-database-id": databaseId },
    body: Buffer.from(hex, "hex"),
  });
}

async function dataPath(url: string, method: string, hex: string, version = 3): Promise<string> {
  const response = await openDataPath(url, method, hex, version);
  const bytes = Buffer.from(await response.arrayBuffer());
  return response.status === 200 ? bytes.toString("hex") : `${response.status} ${bytes}`;
}

describe("KV Connect", () => {
  it("exchanges metadata as every version wants it", async () => {
    const { url, kv } = await tempServer();
    const third = await metadataOf(url);
    expect(third).toMatchObject({ status: 200, type: "application/json" });
    expect(JSON.parse(third.text)).toEqual({
      version: 3,
      databaseId: kv.encoded().storeId,
      endpoints: [{ url: "/connect", consistency: "strong" }],
      token: expect.stringMatching(/./),
      expiresAt: expect.stringMatching(/Z$/),
    });
    expect(JSON.parse((await metadataOf(url, '{"supportedVersions":[2,1]}')).text).version).toBe(2);
    const first = JSON.parse((await metadataOf(url, "")).text);
    expect([first.version, first.endpoints[0].url]).toEqual([1, `${url}/connect`]);
    expect(await metadataOf(url, '{"supportedVersions":[7]}')).toMatchObject({ status: 400 });
  });

  it("writes and reads the golden bytes", async () => {
    const { url } = await tempServer({}, { open: { shards: 1 } });
    const written = await dataPath(url, "atomic_write", SET);
    expect(written).toMatch(/^0801120a[0-9a-f]{20}$/);
    const versionstamp = written.slice(8);
    expect(await dataPath(url, "snapshot_read", "0a0d0a030261001204026100001801")).toBe(
      `0a210a1f0a03026100120aff106f22017849027b011801220a${versionstamp}20014001`,
    );
    expect(await dataPath(url, "atomic_write", "0a050a03026100")).toBe("0802220100");
    expect(await dataPath(url, "snapshot_read", "0a0d0a030271001204027100001801")).toBe("0a0020014001");
    expect(await dataPath(url, "snapshot_read", "0a0d0a030271001204027100001801", 2)).toBe("0a002001");
  });

  it("streams the golden bytes of a watch: all keys first, then those that have changed", async () => {
    const { url, kv } = await tempServer();
    const written = await dataPath(url, "atomic_write", SET);
    const response = await openDataPath(url, "watch", "0a050a030261000a050a03026200");
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
    const reader = response.body!.getReader();
    const next = async () => Buffer.from((await reader.read()).value!).toString("hex");
    const entry = `0a03026100120aff106f22017849027b011801220a${written.slice(8)}`;
    expect(await next()).toBe(`2b000000080112230801121f${entry}12020801`);
    await kv.delete(["a"]);
    expect(await next()).toBe("080000000801120208011200");
    await reader.cancel();
  });

  it("refuses with a text", async () => {
    const { url } = await tempServer();
    const wrong: readonly [string, string, string, RegExp][] = [
      ["a protobuf that is none", "snapshot_read", "0aff", /^400 Request protobuf is invalid/],
      ["a limit of zero", "snapshot_read", "0a0b0a030261001204026100ff", /^400 /],
      [
        "too many entries",
        "snapshot_read",
        "0a0e0a03026100120402610000 18e907".replace(" ", ""),
        /^400 .*too large/,
      ],
      ["a versionstamp that is none", "atomic_write", "0a080a03026100120101", /^400 Invalid versionstamp/],
      [
        "an unknown mutation",
        "atomic_write",
        "12090a03026100120018 07".replace(" ", ""),
        /^400 Invalid mutation/,
      ],
      [
        "a value that can't be read",
        "atomic_write",
        "120d0a03026100120 40a02ff9910011801".replace(" ", ""),
        /^400 /,
      ],
      ["no keys to watch", "watch", "", /^400 /],
      ["too many ranges", "snapshot_read", "0a00".repeat(11), /^400 Too many read ranges/],
      ["too many keys to watch", "watch", "0a00".repeat(1e6), /^400 Too many keys watched/],
      ["too many checks", "atomic_write", "0a00".repeat(1e6), /^400 Too many checks/],
      ["too many mutations", "atomic_write", "1200".repeat(1e6), /^400 Too many mutations/],
      ["too many messages", "atomic_write", "1a00".repeat(1e6), /^400 Too many mutations/],
      ["too many intervals", "atomic_write", `1a082206${"01".repeat(6)}`, /^400 Too many backoff intervals/],
      [
        "too many keys of a message",
        "atomic_write",
        `1ad20f${"1a00".repeat(1001)}`,
        /^400 Too many dead letter/,
      ],
    ];
    for (const [what, method, hex, expected] of wrong) {
      expect(await dataPath(url, method, hex), what).toMatch(expected);
    }
  });

  it("refuses another store's id", async () => {
    const { url } = await tempServer();
    const headers = {
      "x-denokv-version": "3",
      "x-denokv-database-id": "00000000-0000-0000-0000-000000000000",
    };
    const response = await fetch(`${url}/connect/snapshot_read`, { method: "POST", headers });
    expect([response.status, await response.text()]).toEqual([400, "Invalid database id."]);
  });
});

describe("the unmodified @deno/kv", () => {
  it("reads, writes, checks and lists, and shares values with Node", async () => {
    const { url, kv } = await tempServer();
    const deno = await denoKv(url);
    const value = { when: new Date(5), tags: new Set(["x"]), big: 7n, bytes: new Float64Array([1.5]) };
    expect(await deno.set(["users", 1], value)).toMatchObject({ ok: true });
    expect((await kv.get(["users", 1])).value).toEqual(value);
    await kv.set(["users", 2], value);
    expect((await deno.get(["users", 2])).value).toEqual(value);
    await kv.set(["bytes"], new Uint8Array([1, 2]));
    expect((await deno.get(["bytes"])).value).toEqual(new Uint8Array([1, 2]));

    const listed = [];
    for await (const { key } of deno.list({ prefix: ["users"] })) listed.push(key);
    expect(listed).toEqual([
      ["users", 1],
      ["users", 2],
    ]);
    const failed = await deno
      .atomic()
      .check({ key: ["users", 1], versionstamp: null })
      .set(["users", 1], 0)
      .commit();
    expect(failed.ok).toBe(false);
    await deno.atomic().sum(["count"], 5n).commit();
    expect((await kv.get<KvU64>(["count"])).value).toEqual(new KvU64(5n));
    await deno.delete(["users", 1]);
    expect((await kv.get(["users", 1])).versionstamp).toBeNull();
  });

  it("lists page after page, both ways", async () => {
    const { url, kv } = await tempServer();
    const commit = kv.atomic();
    for (let number = 0; number < 250; number++) commit.set(["n", number], number);
    await commit.commit();
    const deno = await denoKv(url);
    const values: unknown[] = [];
    for await (const { value } of deno.list({ prefix: ["n"] }, { batchSize: 100 })) values.push(value);
    expect(values).toEqual(Array.from({ length: 250 }, (_, number) => number));
    const backwards: unknown[] = [];
    const options = { reverse: true, limit: 120, batchSize: 50 };
    for await (const { value } of deno.list({ prefix: ["n"] }, options)) backwards.push(value);
    expect(backwards).toEqual(Array.from({ length: 120 }, (_, index) => 249 - index));
  });

  it("enqueues for handlers of the store", async () => {
    const { url, kv } = await tempServer();
    const handled: unknown[] = [];
    const delivered = new Promise<void>((resolve) => {
      void kv.listenQueue((value) => {
        if (handled.push(value) === 2) resolve();
      });
    });
    const deno = await denoKv(url);
    await deno.enqueue({ from: "deno", at: new Date(1) });
    await deno.atomic().set(["a"], 1).enqueue("with a commit").commit();
    await delivered;
    expect(handled).toEqual([{ from: "deno", at: new Date(1) }, "with a commit"]);
  });

  it("watches", async () => {
    const { url, kv } = await tempServer();
    const deno = await denoKv(url);
    await kv.set(["a"], "first");
    // This client does not show a first state in which there is nothing.
    const states = deno.watch([["a"], ["b"]]).getReader();
    const values = async () => (await states.read()).value?.map(({ value }: { value: unknown }) => value);
    expect(await values()).toEqual(["first", null]);
    await kv.set(["b"], "rung");
    expect(await values()).toEqual(["first", "rung"]);
    await states.cancel();
  });

  it("is told what its token may not do", async () => {
    const tokens = [
      { name: "app", token: TOKEN, grants: [{ prefix: ["users"], rights: ["read", "write"] as const }] },
    ];
    const { url, kv } = await tempServer({ tokens });
    await kv.set(["secret"], 1);
    await kv.set(["users", 1], 2);
    const deno = await denoKv(url);
    expect((await deno.get(["users", 1])).value).toBe(2);
    expect((await deno.get(["secret"])).value).toBeNull();
    const listed = [];
    for await (const { key } of deno.list({ start: [""], end: ["zzz"] })) listed.push(key);
    expect(listed).toEqual([["users", 1]]);
    await expect(deno.set(["secret"], 3)).rejects.toThrow(/403.*may not write/);
    await expect(
      openDenoKv(url, { accessToken: "another-token-that-is-wrong" }).then((client) => client.get(["a"])),
    ).rejects.toThrow(/401/);
  });
});

const PROGRAM = `
const kv = await Deno.openKv(Deno.args[0]);
const fromNode = (await kv.get(["from-node"])).value;
console.log(fromNode.map.get("k"), fromNode.floats[0], fromNode.when.getTime());
await kv.set(["from-deno"], { map: new Map([["k", 1n]]), floats: new Float64Array([2.5]), error: new RangeError("far") });
await kv.set(["bytes"], new Uint8Array([9]));
await kv.atomic().sum(["count"], 2n).commit();
const { versionstamp } = await kv.get(["from-deno"]);
console.log((await kv.atomic().check({ key: ["from-deno"], versionstamp }).set(["checked"], true).commit()).ok);
console.log((await kv.atomic().check({ key: ["from-deno"], versionstamp: null }).set(["no"], 1).commit()).ok);
console.log((await Array.fromAsync(kv.list({ prefix: [] }))).map((entry) => entry.key[0]).join());
const states = kv.watch([["watched"]]).getReader();
console.log((await states.read()).value[0].value);
await kv.set(["watched"], "rung");
console.log((await states.read()).value[0].value);
await states.cancel();
kv.close();
`;

describe.skipIf(denoProgram === null)("the unmodified deno", () => {
  it("connects over HTTP/2, and shares values with Node", async () => {
    const { url, kv } = await tempServer();
    await kv.set(["from-node"], {
      map: new Map([["k", 7]]),
      floats: new Float64Array([1.5]),
      when: new Date(5),
    });
    const program = join(dirname(tempPath()), "program.js");
    writeFileSync(program, PROGRAM);
    const args = ["run", "--unstable-kv", "--allow-all", "--no-config", program, url];
    const { stdout } = await promisify(execFile)(denoProgram!, args, {
      timeout: 25_000,
      env: { ...process.env, DENO_KV_ACCESS_TOKEN: TOKEN, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
    });
    expect(stdout.trim().split("\n")).toEqual([
      "7 1.5 5",
      "true",
      "false",
      "bytes,checked,count,from-deno,from-node",
      "null",
      "rung",
    ]);
    const { value } = await kv.get<{ map: Map<string, bigint>; floats: Float64Array; error: Error }>([
      "from-deno",
    ]);
    expect(value).toMatchObject({ map: new Map([["k", 1n]]), floats: new Float64Array([2.5]) });
    expect(value!.error).toBeInstanceOf(RangeError);
    expect((await kv.get(["bytes"])).value).toEqual(new Uint8Array([9]));
    expect((await kv.get(["count"])).value).toEqual(new KvU64(2n));
  });
});
