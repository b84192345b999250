/** Owns the running of the program `belfry` in a test: it is ended when the test ends, however it ends. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const PROGRAM = fileURLToPath(new URL("../../src/cli/belfry.js", import.meta.url));

/** Starts it, and gathers what it writes. */
export function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...process.env, ...env } });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    output.stderr += text;
  });
  return { child, output };
}

/** Runs it to its end. */
export async function belfry(
  args: readonly string[],
  input = "",
  env: Readonly<Record<string, string>> = {},
) {
  const { child, output } = start(args, env);
  child.stdin.end(input);
  const [code] = await once(child, "close");
  return { code, ...output };
}
