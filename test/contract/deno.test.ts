/**
 * The contract is Deno's own: the real Deno keeps all of it, and fails exactly what README lists as differences. The `deno` package
 * brings the binary; BELFRY_DENO names another one.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { contract } from "./contract.js";
import { differenceCases } from "./difference-cases.js";
import { queueDifferenceCases } from "./queue-cases.js";
import type { ContractResult } from "./subject.js";

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), "run-in-deno.js");

/** The binary of this platform, without what the package does when it is installed; `null` where there is none. */
function denoBinary(): string | null {
  const named = process.env["BELFRY_DENO"];
  if (named !== undefined) return named;
  const libc = process.platform === "linux" ? "-glibc" : "";
  try {
    const description = `@deno/${process.platform}-${process.arch}${libc}/package.json`;
    const binary = process.platform === "win32" ? "deno.exe" : "deno";
    const path = join(dirname(createRequire(import.meta.url).resolve(description)), binary);
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

const binary = denoBinary();

describe.skipIf(binary === null)("the real Deno", () => {
  it("keeps the contract, and fails exactly the documented differences", { timeout: 180_000 }, async () => {
    const { stdout } = await promisify(execFile)(
      binary!,
      ["run", "--allow-all", "--unstable-kv", "--no-prompt", PROGRAM],
      { maxBuffer: 64 * 2 ** 20, env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" } },
    );
    const results: { kept: ContractResult[]; differing: ContractResult[] } = JSON.parse(
      stdout.trim().split("\n").at(-1)!,
    );
    expect(results.kept.filter(({ failure }) => failure !== null)).toEqual([]);
    expect(results.kept.map(({ name }) => name)).toEqual(contract.map(({ name }) => name));
    const failed = results.differing.filter(({ failure }) => failure !== null).map(({ name }) => name);
    expect(failed).toEqual([...differenceCases, ...queueDifferenceCases].map(({ name }) => name));
  });
});
