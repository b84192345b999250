/**
 * Owns the child processes of these tests: starting one, reading what it reports, and waiting for its end, with a bound in place of
 * a hang. A child is killed by its own pid only.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Generous: a child that takes longer hangs. */
export const HANG_MS = 20_000;

/** Node binaries that children run on: this one, and those of `BELFRY_NODES` (paths, separated by commas). */
export const NODES: readonly string[] = [
  process.execPath,
  ...(process.env["BELFRY_NODES"] ?? "").split(",").filter((path) => path !== ""),
];

export interface ChildEnd {
  /** `"hang"`: it had to be killed. */
  readonly how: number | NodeJS.Signals | "hang";
  /** Whole lines of its standard output. */
  readonly lines: readonly string[];
  readonly errors: string;
}

export interface ChildOptions {
  readonly node?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Child {
  readonly #process: ChildProcess;
  readonly #ended: Promise<number | NodeJS.Signals>;
  #output = "";
  #errors = "";
  #onOutput: () => void = () => {};

  /** @param program File name of a program beside the compiled tests. */
  constructor(program: string, args: readonly string[], options: ChildOptions = {}) {
    const file = fileURLToPath(new URL(program, import.meta.url));
    this.#process = spawn(options.node ?? process.execPath, [file, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
    });
    this.#process.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
      this.#onOutput();
    });
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    this.#ended = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => resolve(signal ?? code ?? -1));
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Whether it has not ended after `ms`. */
  async livesFor(ms: number): Promise<boolean> {
    return (await withBound(this.#ended, ms)) === "late";
  }

  /** Resolves when a line of its output is `line`; throws when it ends or hangs before. */
  saysLine(line: string): Promise<void> {
    return this.#says(line, (output) => `\n${output}`.includes(`\n${line}\n`));
  }

  /** Resolves when it has said a first line; throws when it ends or hangs before. */
  saysSomething(): Promise<void> {
    return this.#says("something", (output) => output.includes("\n"));
  }

  async #says(what: string, isSaid: (output: string) => boolean): Promise<void> {
    const said = new Promise<"said">((resolve) => {
      this.#onOutput = () => {
        if (isSaid(this.#output)) resolve("said");
      };
      this.#onOutput();
    });
    const outcome = await withBound(Promise.race([said, this.#ended]), HANG_MS);
    this.#onOutput = () => {};
    if (outcome === "said") return;
    this.kill("SIGKILL");
    throw new Error(
      `the child did not say ${what}: ${outcome}\n${this.#output.slice(-2000)}\n${this.#errors}`,
    );
  }

  /** How it ended. One that hangs is killed. */
  async end(): Promise<ChildEnd> {
    const outcome = await withBound(this.#ended, HANG_MS);
    if (outcome === "late") {
      this.kill("SIGKILL");
      await this.#ended;
    }
    const lines = this.#output.split("\n").slice(0, -1);
    return { how: outcome === "late" ? "hang" : outcome, lines, errors: this.#errors };
  }
}

/** What the promise came to, or `"late"`. */
export async function withBound<T>(promise: Promise<T>, ms: number): Promise<T | "late"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(resolve, ms, "late" as const);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
