/**
 * The contract is Deno's own: the real Deno keeps all of it, and fails exactly what README lists as differences.
 */
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { denoProgram } from "../runtimes/deno-program.js";
import { contract } from "./contract.js";
import { differenceCases } from "./difference-cases.js";
import { queueDifferenceCases } from "./queue-cases.js";
import type { ContractResult } from "./subject.js";

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), "run-in-deno.js");

describe.skipIf(denoProgram === null)("the real Deno", () => {
  it("keeps the contract, and fails exactly the documented differences", { timeout: 180_000 }, async () => {
    const { stdout } = await promisify(execFile)(
      denoProgram!,
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
