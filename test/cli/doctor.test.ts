import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { everything, tempKv, tempPath } from "../kv/temp-store.js";
import { tempServer } from "../server/temp-server.js";
import { belfry } from "./program.js";

interface Report {
  readonly ok: boolean;
  readonly findings: readonly { readonly name: string; readonly state: string; readonly found: string }[];
}

function statesOf({ findings }: Report): Record<string, string> {
  return Object.fromEntries(findings.map(({ name, state }) => [name, state]));
}

describe("belfry doctor", () => {
  it("finds nothing wrong with a store that is well, and says what is with one that is not", async () => {
    const path = tempPath();
    const kv = await tempKv(path, { shards: 2 });
    await kv.set(["a"], 1);
    const open = await belfry(["doctor", path, "--verify"]);
    expect(open.stdout).toContain(`process ${process.pid} has it open`);
    expect(open.stdout).toMatch(/warning +contents +not verified: somebody has it open\n +close it/);
    await kv.close();

    const well = await belfry(["doctor", path, "--verify", "--json"]);
    expect(well).toMatchObject({ code: 0, stderr: "" });
    const report = JSON.parse(well.stdout) as Report;
    expect(report.ok).toBe(true);
    for (const name of ["node", "engine", "path", "owner", "manifest", "shards", "contents"])
      expect(statesOf(report)[name], name).toBe("ok");
    expect(report.findings.find(({ name }) => name === "manifest")?.found).toMatch(/^format \d+, 2 shards/);

    rmSync(join(path, "shard-001"), { recursive: true });
    const hurt = await belfry(["doctor", path, "--json"]);
    expect(hurt).toMatchObject({ code: 1, stderr: expect.stringContaining("something is wrong") });
    expect(statesOf(JSON.parse(hurt.stdout))).toMatchObject({ manifest: "ok", shards: "failed" });
    expect(hurt.stdout).toContain("shard-001");
  }, 60_000);

  it("tells of a server whether it answers and takes the token", async () => {
    const { url } = await tempServer({ tokens: [{ name: "t", token: "a-token-for-the-cli" }] });
    const env = { BELFRY_TOKEN: "not-that-token" };
    const { code, stdout } = await belfry(["doctor", url], "", env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/ok +server +.*"ok" in \d+ ms\n/);
    expect(stdout).toMatch(/ok +store +.*"ready"/);
    expect(stdout).toMatch(/warning +token +.*\n +stats, queue and dead need/);
  }, 60_000);
});

describe("belfry bench", () => {
  it("measures a store behind a server, and leaves it as it was", async () => {
    const { kv, url } = await tempServer();
    await kv.set(["mine"], 1);
    const { code, stdout } = await belfry(["bench", url, "--milliseconds", "10", "--json"]);
    expect(code).toBe(0);
    const results = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(results).toHaveLength(6);
    for (const { operations, p50Us, p99Us, maxUs } of results) {
      expect(operations).toBeGreaterThan(0);
      expect(p50Us).toBeGreaterThan(0);
      expect(p99Us).toBeGreaterThanOrEqual(p50Us);
      expect(maxUs).toBeGreaterThanOrEqual(p99Us);
    }
    expect(await everything(kv)).toMatchObject([{ key: ["mine"], value: 1 }]);
  }, 60_000);

  it("measures a store of its own without one, and removes it", async () => {
    const directory = tempPath();
    mkdirSync(directory);
    const { code, stdout } = await belfry(["bench", "--milliseconds", "10"], "", { TMPDIR: directory });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ +a second +p50 µs.*\nset, one at a time +[\d,]+ /);
    expect(readdirSync(directory)).toEqual([]);
  }, 60_000);
});
