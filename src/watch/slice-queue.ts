/**
 * Owns when feeds that are not live get their slices of work. Runs in the thread of its dispatcher.
 *
 * A slice each turn for every feed would let ten thousand feeds that catch up hold the event loop for seconds, and the live ones with
 * it. So the slices stand in one queue, and a turn has room for so many bytes and so many feeds, whoever they belong to.
 *
 * Invariants:
 * 1. Slices run in the order in which they were added, each once, never within the call that added it.
 * 2. A turn ends when its slices have read CATCH_UP_SLICE_BYTES_MAX bytes (and the last one's more), or CATCH_UP_FEEDS_MAX have run.
 */
import { CATCH_UP_FEEDS_MAX, CATCH_UP_SLICE_BYTES_MAX } from "../limits.js";

/** Does a bounded amount of work and returns how many bytes it has read. It must not throw. */
export type Slice = () => number;

export class SliceQueue {
  #waiting: Slice[] = [];
  #isArmed = false;

  add(slice: Slice): void {
    this.#waiting.push(slice);
    this.#arm();
  }

  #arm(): void {
    if (this.#isArmed || this.#waiting.length === 0) return;
    this.#isArmed = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    const due = this.#waiting;
    this.#waiting = [];
    let run = 0;
    for (let bytes = 0; run < due.length && run < CATCH_UP_FEEDS_MAX; run++) {
      if (bytes >= CATCH_UP_SLICE_BYTES_MAX) break;
      bytes += due[run]!();
    }
    // Those that were added meanwhile come behind those that have waited.
    if (run < due.length) this.#waiting = due.slice(run).concat(this.#waiting);
    this.#isArmed = false;
    this.#arm();
  }
}
