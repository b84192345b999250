import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectedLines, printedLines, runFile } from "./printed.js";
import { BUILD_ROOT, PACKAGE_ROOT } from "./source-root.js";

const sources = readdirSync(join(PACKAGE_ROOT, "examples")).filter((name) => name.endsWith(".ts"));

describe("examples", () => {
  it("are there", () => {
    expect(sources.length).toBeGreaterThanOrEqual(3);
  });

  it.each(sources)("%s prints what it says, and ends by itself", async (name) => {
    const expected = expectedLines(readFileSync(join(PACKAGE_ROOT, "examples", name), "utf8"));
    const run = await runFile(join(BUILD_ROOT, "examples", name.replace(/\.ts$/, ".js")));
    expect(run.stderr).toBe("");
    expect(printedLines(run)).toEqual(expected);
    expect(expected.length).toBeGreaterThan(0);
    expect(run.code).toBe(0);
  });
});
