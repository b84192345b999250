/**
 * Owns how examples are run and judged: a program of its own, which must end by itself and print what its `// →` comments say.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const RUN_MS = 20_000;

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Lines that a source says it prints: the text behind each `// →`, in order. */
export function expectedLines(source: string): string[] {
  return [...source.matchAll(/\/\/ → (.*)$/gm)].map(([, line]) => line!.trimEnd());
}

/** Lines that were printed. */
export function printedLines(run: Run): string[] {
  return run.stdout.split("\n").slice(0, -1);
}

/** Runs a file with Node in an empty directory. One that does not end by itself in `msMax` is killed: its code is `null`. */
export async function runFile(file: string, args: readonly string[] = [], msMax = RUN_MS): Promise<Run> {
  const cwd = mkdtempSync(join(tmpdir(), "belfry-example-"));
  try {
    return await runIn(cwd, file, args, msMax);
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

function runIn(cwd: string, file: string, args: readonly string[], msMax: number): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file, ...args], {
      cwd,
      timeout: msMax,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}
