import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ContestReport } from "../../bench/contest/contest.js";
import { WORKLOADS } from "../../bench/contest/workloads/registry.js";
import type { SmallResult } from "../../bench/small/workload.js";
import { runFile } from "../docs/printed.js";
import { BUILD_ROOT } from "../docs/source-root.js";

/** A run takes a quarter of this where nothing else runs. */
const RUN_MS_MAX = 60_000;

const program = join(BUILD_ROOT, "bench/run.js");
/** Those that take no preparation to speak of stand for the rest; all are run by hand before a release. */
const SHORT = WORKLOADS.filter(({ isLarge, name }) => !isLarge && !/-(10000|100000)$/.test(name));
const PARTS = [0, 1, 2, 3].map((part) => SHORT.filter((_, index) => index % 4 === part));

describe("the bench", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "belfry-bench-test-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each([0, 1, 2, 3])(
    "runs every workload, part %i",
    async (part) => {
      const names = PARTS[part]!.map(({ name }) => name);
      const args = ["--rounds", "1", "--seconds", "0.01", "--peers", "belfry", "--durability", "relaxed"];
      const run = await runFile(
        program,
        [...args, "--json", "--quiet", "--only", names.join(",")],
        RUN_MS_MAX,
      );
      expect(run).toMatchObject({ code: 0, stderr: "" });
      const { results, failures } = JSON.parse(run.stdout) as ContestReport;
      expect(failures).toEqual([]);
      expect(new Set(results.map(({ workload }) => workload))).toEqual(new Set(names));
      for (const { perSecond, peer, kept, durability } of results) {
        expect(perSecond.median).toBeGreaterThan(0);
        expect(perSecond.min).toBeLessThanOrEqual(perSecond.max);
        expect([peer, kept, durability]).toEqual([expect.any(String), "relaxed", "relaxed"]);
      }
    },
    RUN_MS_MAX,
  );

  it("runs the measurements of the parts", async () => {
    const args = [
      "--only",
      "key-codec,value-codec,change-record,change-ring,dispatcher,delivery,frame-ring",
      "--seconds",
      "0.005",
    ];
    const run = await runFile(program, [...args, "--json", "--quiet"]);
    const { small, results } = JSON.parse(run.stdout) as ContestReport & { small: SmallResult[] };
    expect(results).toEqual([]);
    expect(small.length).toBeGreaterThan(5);
    for (const { perSecond, p50Us } of small) expect(perSecond * p50Us).toBeCloseTo(1e6, 0);
  });

  it("prints a table, writes a page and a file, and compares two files", async () => {
    const file = join(directory, "run.json");
    const page = join(directory, "run.html");
    const args = [
      "--rounds",
      "2",
      "--seconds",
      "0.01",
      "--peers",
      "belfry,lmdb",
      "--quiet",
      "--only",
      "set,value-codec",
    ];
    const run = await runFile(program, [...args, "--json-file", file, "--html", page, "--charts", directory]);
    expect(run.stdout).toContain("encode small object");
    expect(run.stdout).toMatch(/set, relaxed \(sets\)[\s\S]*belfry[\s\S]*set, sync/);
    expect(readFileSync(page, "utf8")).toMatch(/<svg[\s\S]*belfry[\s\S]*<\/svg>/);
    expect(readFileSync(join(directory, "set-relaxed.svg"), "utf8")).toMatch(
      /^<svg [\s\S]*<title>[^<]+<\/title>[\s\S]*<\/svg>\n$/,
    );
    const compared = await runFile(program, ["--compare", file, file]);
    expect(compared.stdout).toContain("4 compared, 0 worse");
    expect(compared.code).toBe(0);
  });

  it.each([
    [["--only", "everything"], "received everything"],
    [["--peers", "oracle"], "received oracle"],
    [["--seconds", "0"], "--seconds must be a number from 0.001 to 600"],
    [["--compare", "one.json"], "--compare needs two files"],
    [["--compare", "no-1.json", "no-2.json"], "can't read no-1.json"],
    [["--loud"], "--loud"],
  ])("refuses the wrong flags %j with exit code 2", async (args, message) => {
    const run = await runFile(program, args);
    expect(run.code).toBe(2);
    expect(run.stderr).toContain(message);
  });
});
