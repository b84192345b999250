/**
 * Owns the journals of a life: what a process was told and what it did, a line each, written before it takes its next step. What a killed
 * process has written stays: so whoever reads a journal afterwards knows all that was acknowledged.
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";

/** The words of a line. */
export type JournalLine = readonly string[];

export class Journal {
  readonly #file: number;

  /** Goes on behind what is there. */
  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  /** Words without spaces. */
  note(...words: readonly (string | number)[]): void {
    writeSync(this.#file, `${words.join(" ")}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** The whole lines of a journal; none where there is no file. The last line of one that was killed may be cut off. */
export function readJournal(path: string): JournalLine[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => line.split(" "));
}
