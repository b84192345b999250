/**
 * Owns what a command writes: results on stdout, progress and remarks on stderr, and its end when nobody reads any more.
 */
import { once } from "node:events";

/** Milliseconds between two pictures of a progress. */
const PROGRESS_MS = 100;

export class Output {
  /** One line of JSON a result, for programs. */
  readonly isJson: boolean;

  constructor(isJson: boolean) {
    this.isJson = isJson;
  }

  /** Resolves when there is room for more. */
  async write(text: string): Promise<void> {
    if (!process.stdout.write(text)) await once(process.stdout, "drain");
  }

  /** For people only. */
  remark(text: string): void {
    if (!this.isJson) process.stderr.write(`${text}\n`);
  }

  get columns(): number {
    return process.stdout.columns ?? 200;
  }
}

/** How far something long has come; shown on a terminal only. */
export class Progress {
  readonly #what: string;
  readonly #isShown = process.stderr.isTTY === true;
  #total: number | undefined;
  #shownAtMs = 0;
  #done = 0;

  constructor(what: string, total?: number) {
    this.#what = what;
    this.#total = total;
  }

  add(count: number): void {
    this.reach(this.#done + count, this.#total);
  }

  /** Has come to `done` of `total`, where that is known. */
  reach(done: number, total: number | undefined): void {
    this.#done = done;
    this.#total = total;
    const nowMs = performance.now();
    if (!this.#isShown || nowMs - this.#shownAtMs < PROGRESS_MS) return;
    this.#shownAtMs = nowMs;
    const share = total === undefined || total === 0 ? "" : ` ${bar(done / total)}`;
    process.stderr.write(`\r\x1b[K${this.#what}${share} ${done.toLocaleString("en")}`);
  }

  end(): number {
    if (this.#isShown && this.#shownAtMs > 0) process.stderr.write("\r\x1b[K");
    return this.#done;
  }
}

function bar(share: number): string {
  const width = 24;
  const full = Math.round(Math.min(1, share) * width);
  return `[${"#".repeat(full)}${".".repeat(width - full)}]`;
}
