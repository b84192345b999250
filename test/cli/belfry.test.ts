import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { tempKv, tempPath } from "../kv/temp-store.js";
import { tempServer } from "../server/temp-server.js";
import { belfry, start } from "./program.js";

describe("belfry", () => {
  it("reads and writes a path", async () => {
    const path = tempPath();
    const written = await belfry(["set", path, "users/42", '{"big":{"$bigint":"7"}}', "--json"]);
    expect(written).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining('"ok":true') });
    expect(await belfry(["get", path, '["users",42]'])).toMatchObject({
      code: 0,
      stdout: '{"big":{"$bigint":"7"}}\n',
    });
    await belfry(["set", path, "users/x", "-"], '"from stdin"');
    expect((await belfry(["list", path, "users"])).stdout).toBe(
      'users/x   "from stdin"\nusers/42  {"big":{"$bigint":"7"}}\n',
    );
    expect((await belfry(["count", path, "users"])).stdout).toBe("2\n");
    expect(await belfry(["delete", path, "users/x", "--json"])).toMatchObject({
      code: 0,
      stdout: '{"ok":true}\n',
    });
    expect(await belfry(["get", path, "users/x"])).toMatchObject({
      code: 3,
      stdout: "",
      stderr: expect.stringContaining("no entry"),
    });
    expect((await belfry(["stats", path])).stdout).toMatch(
      /^shard +state.*\n0 +(starting|running|in-transaction)/,
    );
  }, 60_000);

  it("works on an address alike, and follows it", async () => {
    const tokens = [{ name: "t", token: "a-token-for-the-cli" }];
    const { url, kv } = await tempServer({ tokens });
    const env = { BELFRY_TOKEN: "a-token-for-the-cli" };
    await kv.set(["n", 1], "one");
    expect((await belfry(["ls", url, "n", "--json"], "", env)).stdout).toMatch(
      /^\{"key":\["n",1\],"value":"one"/,
    );
    const changes = await belfry(["tail", url, "n", "--since", "earliest", "--limit", "1"], "", env);
    expect(changes.stdout).toMatch(/^[0-9a-f]{24} {2}create {2}n\/1 {2}"one"\n$/);
    expect(await belfry(["get", url, "n/1"], "", { BELFRY_TOKEN: "" })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/authorization|token/i),
    });
    expect((await belfry(["stats", url, "--json"], "", env)).stdout).toContain('"shards":[');
  }, 60_000);

  it("follows keys: their states, or their changes since a position", async () => {
    const path = tempPath();
    const kv = await tempKv(path);
    await kv.set(["a"], 1);
    await kv.set(["a"], 2);
    await kv.close();
    expect((await belfry(["watch", path, "a", "b", "--limit", "1"])).stdout).toBe("[2,null]\n");
    const changes = await belfry(["watch", path, "a", "b", "--since", "earliest", "--limit", "2", "--json"]);
    const values = changes.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).value);
    expect(values).toEqual([1, 2]);
  }, 60_000);

  it("exports what it imports", async () => {
    const kv = await tempKv(tempPath());
    await kv.set(["a", 1n], new Map([["k", new Uint8Array([1])]]));
    await kv.set(["b"], undefined);
    const from = tempPath();
    const lines =
      '{"key":["a",{"$bigint":"1"}],"value":{"$map":[["k",{"$bytes":"AQ=="}]]}}\n{"key":["b"],"value":{"$undefined":true}}\n';
    expect(await belfry(["import", from], lines)).toMatchObject({ code: 0, stdout: "2 entries\n" });
    expect((await belfry(["export", from])).stdout).toBe(lines);
    expect((await belfry(["export", from, "--reverse"])).stdout).toBe(
      `${lines.trimEnd().split("\n").reverse().join("\n")}\n`,
    );
    expect(await belfry(["import", from], '{"key":1}\n')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("line 1"),
    });
  }, 60_000);

  it("backs up, verifies, restores and compacts", async () => {
    const [path, backup, restored] = [tempPath(), tempPath(), tempPath()];
    await belfry(["set", path, "a", "1"]);
    expect(await belfry(["backup", path, backup])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/bytes, verified/),
    });
    expect(await belfry(["verify", backup])).toMatchObject({ code: 0, stdout: "nothing is wrong\n" });
    expect(await belfry(["restore", backup, restored, "--json"])).toMatchObject({ code: 0 });
    expect(await belfry(["compact", restored])).toMatchObject({ code: 0 });
    expect((await belfry(["get", restored, "a"])).stdout).toBe("1\n");
    expect(await belfry(["backup", path, backup])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(backup),
    });
  }, 60_000);

  it("serves until it is told to stop, and ends streams first", async () => {
    const { child, output } = start(["serve", tempPath(), "--port", "0", "--json"]);
    while (!output.stdout.includes("\n")) await once(child.stdout, "data");
    const { url } = JSON.parse(output.stdout) as { url: string };
    await fetch(`${url}/v1/entries/a`, { method: "PUT", body: "1" });
    const events = await fetch(`${url}/v1/changes?selectors=${encodeURIComponent('{"prefix":[]}')}`);
    child.kill("SIGTERM");
    expect(await events.text()).toMatch(/event: end\ndata: \{"reason":"the server is shutting down"\}/);
    const [code] = child.exitCode === null ? await once(child, "close") : [child.exitCode];
    expect(code).toBe(0);
    expect(output.stderr).toContain("no token is configured");
    expect(output.stderr).toContain("SIGTERM");
  }, 60_000);

  it("makes tokens that a token file takes", async () => {
    const { stdout, stderr } = await belfry(["token", "app"]);
    const file = tempPath();
    writeFileSync(file, `{"tokens":[${stdout}]}`);
    const { child, output } = start(["serve", tempPath(), "--port", "0", "--tokens", file]);
    while (!output.stdout.includes("\n")) await once(child.stdout, "data");
    const token = /: (belfry_\S+)/.exec(stderr)![1]!;
    const address = `${output.stdout.trim()}/v1/entries/a`;
    expect((await fetch(address)).status).toBe(401);
    expect((await fetch(address, { headers: { authorization: `Bearer ${token}` } })).status).toBe(404);
    child.kill("SIGINT");
    await once(child, "close");
  }, 60_000);

  it("says in words when the engine's native part is not there", async () => {
    const resolve = `export function resolve(name, context, next) {
      if (name === "lmdb") throw new Error("No native build was found");
      return next(name, context);
    }`;
    const hooks = `data:text/javascript,${encodeURIComponent(resolve)}`;
    const preload = `import { register } from "node:module"; register(${JSON.stringify(hooks)});`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` };
    const { code, stderr } = await belfry(["doctor"], "", env);
    expect(stderr).toMatch(/^belfry: can't be loaded on .*No native build was found\n.*--omit=optional/);
    expect(code).toBe(1);
  }, 30_000);

  it.each([
    [["gett"], /Did you mean get/],
    [["get", "/nowhere/at/all", "a"], /there is no store/],
    [["set", "nowhere-at-all", "%zz", "1"], /percent/],
    [["set", "nowhere-at-all", "a", "{"], /value \{: .*JSON/],
    [["import", "nowhere-at-all", "no-such-file"], /no-such-file can't be read/],
    [["import", "nowhere-at-all", "."], /is a directory/],
    [["tail", "x", "--since", "earliest", "--initial"], /contradict/],
    [["verify", "nowhere-at-all"], /does not exist/],
    [["backup", "http://a", "b"], /works on files/],
    [["dead", "requeue", "x"], /their ids.*or --all/],
    [["dead", "requeue", "x", "id", "--all"], /their ids.*or --all/],
    [["dead", "purg"], /Did you mean purge/],
    [["dead", "purge", "x", "--older-than", "monday"], /--older-than must be/],
    [["get"], /missing required argument/],
    [["list", "http://127.0.0.1:1", "--limit", "x"], /--limit must be a whole number/],
    [["serve", "x", "--port", "99999999"], /--port must be/],
    [["serve", "package.json"], /package.json is a file: a store is a directory/],
    [["serve", "http://a"], /needs the path/],
    [["set", "ftp://a", "a", "1"], /ftp:\/\/a is no address of a server/],
  ])(
    "called wrongly, %j, says so and exits with 2",
    async (args, expected) => {
      const { code, stderr, stdout } = await belfry(args);
      expect(stderr).toMatch(expected);
      expect([code, stdout]).toEqual([2, ""]);
      expect([existsSync("nowhere-at-all"), existsSync("ftp:")]).toEqual([false, false]);
    },
    30_000,
  );
});
