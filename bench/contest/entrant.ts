/**
 * Owns one store's part in one workload: opened, prepared, run round by round, closed. In this process, or in a child process where the
 * store needs another runtime; the child runs the same workload (child-program.ts).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Peer, PeerFinding, PeerMode } from "./peer.js";
import type { Facts, Round, RoundContext, RunningWorkload, Workload } from "./workload.js";

/** A round with what it cost the whole process. */
export interface MeasuredRound extends Round {
  /** Microseconds of processor time of all threads, for each operation. Of a server that is asked, only the client's. */
  readonly cpuUs: number;
}

export interface Entrant {
  readonly peer: Peer;
  readonly mode: PeerMode;
  round(context: RoundContext): Promise<MeasuredRound>;
  finish(): Promise<Facts>;
  close(): Promise<void>;
}

type Found = Exclude<PeerFinding, { missing: string }>;

/** Opens a store for a workload. */
export async function enter(peer: Peer, found: Found, mode: PeerMode, workload: Workload): Promise<Entrant> {
  const directory = mkdtempSync(join(tmpdir(), "belfry-bench-"));
  try {
    const entry =
      found.command === undefined
        ? await LocalEntry.open(peer, mode, workload, directory)
        : await ChildEntry.open(found.command, peer, mode, workload, directory);
    return {
      peer,
      mode,
      round: (context) => entry.round(context),
      finish: () => entry.finish(),
      close: async () => {
        await entry.close();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** The store in this process; the child's program uses it too. */
export class LocalEntry {
  readonly #running: RunningWorkload;
  readonly #close: () => unknown;
  readonly #facts: Facts;

  private constructor(running: RunningWorkload, facts: Facts, close: () => unknown) {
    this.#running = running;
    this.#facts = facts;
    this.#close = close;
  }

  static async open(peer: Peer, mode: PeerMode, workload: Workload, directory: string): Promise<LocalEntry> {
    const store = await peer.open(directory, mode);
    const missing = workload.needs.filter((need) => store[need] === undefined);
    if (missing.length > 0) {
      await store.close();
      throw new Unfit(peer.name, missing);
    }
    const running = workload.start(store);
    return new LocalEntry(running, (await running.prepare?.()) ?? {}, () => store.close());
  }

  async round(context: RoundContext): Promise<MeasuredRound> {
    // Otherwise one store pays for the garbage of the one before it.
    (globalThis as { gc?: () => void }).gc?.();
    const before = process.cpuUsage();
    const round = await this.#running.round(context);
    const { user, system } = process.cpuUsage(before);
    return { ...round, cpuUs: (user + system) / Math.max(1, round.operations) };
  }

  async finish(): Promise<Facts> {
    return { ...this.#facts, ...(await this.#running.finish?.()) };
  }

  async close(): Promise<void> {
    await this.#close();
  }
}

/** The store has not got what the workload needs. */
export class Unfit extends Error {
  constructor(peer: string, missing: readonly string[]) {
    super(`${peer} has no ${missing.join(", ")}`);
  }
}

/** What a child is told, a line of JSON each. The answer is a line too. */
export type ChildOrder =
  | {
      readonly order: "open";
      readonly peer: string;
      readonly mode: PeerMode;
      readonly workload: string;
      readonly directory: string;
    }
  | { readonly order: "round"; readonly context: RoundContext }
  | { readonly order: "finish" }
  | { readonly order: "close" };

export type ChildAnswer = { readonly result: unknown } | { readonly error: string; readonly unfit: boolean };

/** The store in a child process. */
class ChildEntry {
  readonly #child: ChildProcess;
  #answer: (answer: ChildAnswer) => void = () => {};
  #said = "";

  private constructor(command: readonly string[]) {
    const program = fileURLToPath(new URL("child-program.js", import.meta.url));
    this.#child = spawn(command[0]!, [...command.slice(1), program], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr!.on("data", (text: Buffer) => {
      this.#said = (this.#said + text.toString()).slice(-2000);
    });
    this.#child.once("error", (error) => this.#answer({ error: error.message, unfit: false }));
    this.#child.once("exit", () => this.#answer({ error: `the child ended: ${this.#said}`, unfit: false }));
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      // A runtime may print notes of its own.
      if (line.startsWith("{")) this.#answer(JSON.parse(line) as ChildAnswer);
    });
  }

  static async open(
    command: readonly string[],
    peer: Peer,
    mode: PeerMode,
    workload: Workload,
    directory: string,
  ): Promise<ChildEntry> {
    const entry = new ChildEntry(command);
    try {
      await entry.#ask({ order: "open", peer: peer.name, mode, workload: workload.name, directory });
      return entry;
    } catch (error) {
      entry.#child.kill();
      throw error;
    }
  }

  async round(context: RoundContext): Promise<MeasuredRound> {
    return (await this.#ask({ order: "round", context })) as MeasuredRound;
  }

  async finish(): Promise<Facts> {
    return (await this.#ask({ order: "finish" })) as Facts;
  }

  async close(): Promise<void> {
    await this.#ask({ order: "close" });
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill();
    await ended;
  }

  #ask(order: ChildOrder): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#answer = (answer) => {
        if ("result" in answer) resolve(answer.result);
        else reject(answer.unfit ? new Unfit(answer.error, ["what it takes"]) : new Error(answer.error));
      };
      this.#child.stdin!.write(`${JSON.stringify(order)}\n`);
    });
  }
}
