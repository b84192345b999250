/**
 * The package as a stranger gets it: packed, installed into an empty project, used by its name and its types.
 */
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = process.cwd();
const PROGRAM = `
import { KvU64, openKv } from "belfry";
import { WORKLOADS, workloadNamed } from "belfry/bench";
if (!WORKLOADS.includes(workloadNamed("set"))) throw new Error("the harness knows no workload");
await using kv = await openKv(process.argv[2], { shards: 2 });
await kv.atomic().set(["users", 1], { name: "Ada" }).sum(["count"], 1n).commit();
const [user, count] = await kv.getMany<[{ name: string }, KvU64]>([["users", 1], ["count"]]);
const feed = kv.changes<string>({ prefix: ["log"] });
await kv.set(["log", 1], "rung");
for await (const change of feed) {
  console.log(user.value?.name, count.value?.value, change.value);
  break;
}
`;

describe("the package", () => {
  let project: string;

  beforeAll(() => {
    project = mkdtempSync(join(tmpdir(), "belfry-package-"));
    const packed = execFileSync(
      "npm",
      ["pack", "--ignore-scripts", "--silent", "--pack-destination", project],
      {
        cwd: ROOT,
        encoding: "utf8",
      },
    );
    writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module", private: true }));
    const tarball = join(project, packed.trim().split("\n").at(-1)!);
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--silent", tarball], { cwd: project });
  }, 120_000);

  afterAll(() => rmSync(project, { recursive: true, force: true }));

  it("holds the library, its threads and the harness that measures it, and no tests", () => {
    const installed = join(project, "node_modules", "belfry");
    expect(readdirSync(join(installed, "dist")).sort()).toEqual(["bench", "src", "workers"]);
    expect(readdirSync(join(installed, "dist", "bench"))).toEqual(["contest"]);
    expect(readdirSync(installed)).toEqual(expect.arrayContaining(["LICENSE", "README.md", "package.json"]));
  });

  it("works in an empty project, with its types", () => {
    writeFileSync(join(project, "main.ts"), PROGRAM);
    const types = join(project, "node_modules", "@types");
    mkdirSync(types, { recursive: true });
    symlinkSync(join(ROOT, "node_modules", "@types", "node"), join(types, "node"));
    symlinkSync(join(ROOT, "node_modules", "undici-types"), join(project, "node_modules", "undici-types"));
    const options =
      "--strict --target ES2022 --module NodeNext --lib ES2023,ESNext.Disposable --types node".split(" ");
    execFileSync(join(ROOT, "node_modules", ".bin", "tsc"), [...options, "main.ts"], {
      cwd: project,
      encoding: "utf8",
    });
    const output = execFileSync(process.execPath, ["main.js", join(project, "data")], {
      cwd: project,
      encoding: "utf8",
    });
    expect(output.trim()).toBe("Ada 1n rung");
    expect(readdirSync(join(project, "data")).sort()).toEqual(["manifest.json", "shard-000", "shard-001"]);
  }, 60_000);

  it("is described as it is", () => {
    const description = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    expect(description).toMatchObject({ license: "MIT", type: "module", engines: { node: ">=20" } });
    expect(Object.values(description.dependencies)).toSatisfy((versions: string[]) =>
      versions.every((version) => /^\d+\.\d+\.\d+$/.test(version)),
    );
  });

  it("has a lock file without addresses", () => {
    expect(readFileSync(join(ROOT, "package-lock.json"), "utf8")).not.toMatch(/"resolved"|registry\./);
  });
});
