/**
 * Owns the file in which one thread records its calls, a line of JSON each (operation.ts).
 *
 * Invariants
 * 1. The beginning of a commit is in the file before the commit is sent: of one that a kill cuts off it is known what it would do.
 * 2. Everything else is written with the next such beginning. A kill takes the newest of it along: a read that is not recorded says nothing,
 *    and a commit whose end is not recorded counts as one of unknown outcome. Both make the verdict weaker, and never wrong.
 */
import { openSync, writeSync } from "node:fs";
import type { Begin, End } from "./operation.js";

export class Recording {
  readonly #file: number;
  #waiting = "";

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  beginCommit(begin: Begin): void {
    this.#waiting += `${JSON.stringify(begin)}\n`;
    this.flush();
  }

  endCommit(end: End): void {
    this.#waiting += `${JSON.stringify(end)}\n`;
  }

  read(call: Begin & End): void {
    this.#waiting += `${JSON.stringify(call)}\n`;
  }

  /** Writes what waits. */
  flush(): void {
    writeSync(this.#file, this.#waiting);
    this.#waiting = "";
  }
}
