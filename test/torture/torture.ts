/**
 * Owns what a torture is: a program that does its worst to the engine for as long as it is told to, counts what it tried, and says
 * every promise that it saw broken.
 */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomOf } from "../life/random.js";

/** What a run is given. */
export interface TortureContext {
  readonly seconds: number;
  /** The same seed makes the same choices. What threads and disks make of them differs from run to run. */
  readonly seed: number;
  /** The way in which this run breaks a promise on purpose; `null`: none. */
  readonly breakage: string | null;
  /** Integers from 0 up to below its argument. */
  readonly random: (below: number) => number;
  /** When to stop, as `Date.now()`. */
  readonly deadlineMs: number;
  /** An empty directory, removed afterwards. */
  readonly directory: string;
  /** Where to write a chart of the run; `null`: nowhere. */
  readonly chart: string | null;
  /** Says how far it is. */
  readonly progress: (line: string) => void;
}

/** What came of it. */
export interface TortureResult {
  /** How often each thing was tried. */
  readonly tried: Readonly<Record<string, number>>;
  /** What was measured or seen besides. */
  readonly seen?: Readonly<Record<string, number | string>>;
  /** Broken promises, as sentences. Empty: none. */
  readonly broken: readonly string[];
  /** Why it could not run on this machine; then nothing was tried. */
  readonly skipped?: string;
}

export interface Torture {
  readonly name: string;
  /** In one line. */
  readonly about: string;
  /** Ways to break a promise on purpose: with each of them it must find something. */
  readonly breaks: Readonly<Record<string, string>>;
  /** Whether it makes a chart where one is asked for. */
  readonly hasChart?: true;
  run(context: TortureContext): Promise<TortureResult>;
}

export interface TortureOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly breakage?: string | null;
  readonly chart?: string | null;
  readonly progress?: (line: string) => void;
}

/** At most so many broken promises are kept: the first ones tell the most. */
export const BROKEN_MAX = 50;

/** Runs one torture in a directory of its own. */
export async function runTorture(torture: Torture, options: TortureOptions): Promise<TortureResult> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), `belfry-torture-${torture.name}-`)));
  try {
    return await torture.run({
      seconds: options.seconds,
      seed: options.seed,
      breakage: options.breakage ?? null,
      random: randomOf(options.seed),
      deadlineMs: Date.now() + options.seconds * 1000,
      directory,
      chart: options.chart ?? null,
      progress: options.progress ?? (() => {}),
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Says how far a run is, now and then. */
export class Ticker {
  readonly #context: TortureContext;
  #nextMs = Date.now() + 5000;

  constructor(context: TortureContext) {
    this.#context = context;
  }

  tick(tried: Readonly<Record<string, number>>): void {
    const nowMs = Date.now();
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + 5000;
    const leftS = Math.max(0, Math.round((this.#context.deadlineMs - nowMs) / 1000));
    const counts = Object.entries(tried).map(([what, count]) => `${what} ${count.toLocaleString("en-US")}`);
    this.#context.progress(`${counts.join(" · ")} · ${leftS} s left`);
  }
}
