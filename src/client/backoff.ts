/**
 * Owns how long to wait before trying again: twice as long each time, and a random part of it, so that a thousand clients that lost the same
 * server do not come back in the same moment.
 */
const FIRST_MS = 100;
const LONGEST_MS = 10_000;

export class Backoff {
  #attempts = 0;

  /** Something worked: the next failure is a first one. */
  reset(): void {
    this.#attempts = 0;
  }

  get attempts(): number {
    return this.#attempts;
  }

  /** Resolves when it is time to try again, or at once when the signal aborts. */
  wait(signal: AbortSignal): Promise<void> {
    const longestMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#attempts++);
    const ms = longestMs / 2 + (Math.random() * longestMs) / 2;
    return new Promise((resolve) => {
      const timer = setTimeout(done, signal.aborted ? 0 : ms);
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done);
    });
  }
}
