import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as errors from "../../src/errors.js";
import { expectedLines, printedLines, runFile } from "./printed.js";
import { BUILD_ROOT, PACKAGE_ROOT } from "./source-root.js";

const readme = readFileSync(join(PACKAGE_ROOT, "README.md"), "utf8");
const errorsSource = readFileSync(join(PACKAGE_ROOT, "src/errors.ts"), "utf8");
const limitsSource = readFileSync(join(PACKAGE_ROOT, "src/limits.ts"), "utf8");
const blocks = runnableBlocks(readme);

/** The code of each block that is marked as runnable, with the line at which it begins. */
function runnableBlocks(text: string): { readonly line: number; readonly code: string }[] {
  return [...text.matchAll(/^```ts runnable\n(.*?)^```$/gms)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    code: match[1]!,
  }));
}

/** Type-checks and compiles the blocks as strictly as the sources, against the declarations of this build. */
async function compileBlocks(directory: string): Promise<void> {
  const sources = join(directory, "sources");
  mkdirSync(sources);
  for (const { line, code } of blocks) {
    const imported = code
      .replaceAll('from "belfry"', 'from "../../src/index.js"')
      .replaceAll(/from "belfry\/(client|server)"/g, 'from "../../src/$1/index.js"');
    writeFileSync(join(sources, `line-${line}.ts`), imported);
  }
  const config = {
    extends: join(PACKAGE_ROOT, "tsconfig.json"),
    compilerOptions: { rootDir: "sources", outDir: "compiled", declaration: false, declarationMap: false },
    include: ["sources"],
  };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(config));
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = join(dirname(typescript), "bin", "tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", directory]).catch((error) => {
    throw new Error(`the code of the README does not compile:\n${error.stdout}`);
  });
}

describe("README", () => {
  // Inside the build, so that the blocks find it, and node_modules above it.
  const directory = mkdtempSync(join(BUILD_ROOT, "readme-"));

  beforeAll(() => compileBlocks(directory));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("has code to run", () => {
    expect(blocks.length).toBeGreaterThanOrEqual(5);
  });

  it.each(blocks)("code at line $line prints what it says, and ends by itself", async ({ line, code }) => {
    const run = await runFile(join(directory, "compiled", `line-${line}.js`));
    expect(run.stderr).toBe("");
    expect(printedLines(run)).toEqual(expectedLines(code));
    expect(run.code).toBe(0);
  });

  it("lists every error class and every code, and no other", () => {
    const codes = new Set(errorsSource.match(/"KV_[A-Z_0-9]+"/g)!.map((code) => code.slice(1, -1)));
    const listed = new Set(readme.match(/\bKV_[A-Z_0-9]+\b/g));
    expect([...listed].sort()).toEqual([...codes].sort());
    for (const name of Object.keys(errors)) expect(readme).toContain(name);
  });

  it("names only limits that there are, with their values", () => {
    const named = [...readme.matchAll(/^\|.*\| ([^|]+) \| `([A-Z_]+)` \|$/gm)];
    expect(named.length).toBeGreaterThan(10);
    for (const [, stated, name] of named) {
      const defined = new RegExp(`^export const ${name} = (.+);$`, "m").exec(limitsSource)?.[1];
      expect(defined, name).toBeDefined();
      expect(normalised(stated!), name).toBe(normalised(defined!));
    }
  });
});

/** A number with its unit, as the README or the source writes it: "16 MiB", "16 * MIB", "10_000", "10,000 ms". */
function normalised(text: string): number {
  const number = Number.parseFloat(text.replaceAll(/[_,]/g, ""));
  if (/mib/i.test(text)) return number * 2 ** 20;
  if (/kib/i.test(text)) return number * 2 ** 10;
  return / s$/.test(text.trim()) ? number * 1000 : number;
}
