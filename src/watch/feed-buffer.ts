/**
 * Owns the changes that wait in memory for one feed's consumer. Runs in the feed's thread.
 *
 * Invariants:
 * 1. It takes the changes of a commit together, or none of them.
 * 2. It holds at most `bytesMax` bytes and `countMax` changes, or one commit that is larger than that.
 */
import type { CommittedChange } from "./committed-change.js";

export class FeedBuffer {
  readonly #bytesMax: number;
  readonly #countMax: number;
  #changes: CommittedChange[] = [];
  #handedCount = 0;
  #bytes = 0;

  constructor(bytesMax: number, countMax: number) {
    this.#bytesMax = bytesMax;
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#changes.length - this.#handedCount;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the changes of one commit. Returns false, and takes none, when they don't fit; into an empty buffer all do. */
  take(changes: readonly CommittedChange[]): boolean {
    let bytes = 0;
    for (const change of changes) bytes += change.bytes;
    const fits = this.count + changes.length <= this.#countMax && this.#bytes + bytes <= this.#bytesMax;
    if (!fits && this.count > 0) return false;
    for (const change of changes) this.#changes.push(change.retain());
    this.#bytes += bytes;
    return true;
  }

  /** The oldest change, which leaves the buffer. */
  shift(): CommittedChange | undefined {
    const change = this.#changes[this.#handedCount];
    if (change === undefined) return undefined;
    this.#handedCount++;
    this.#bytes -= change.bytes;
    if (this.#handedCount * 2 >= this.#changes.length) this.#forgetHanded();
    return change;
  }

  clear(): void {
    this.#changes = [];
    this.#handedCount = 0;
    this.#bytes = 0;
  }

  /** Cuts off the front when it is half of the array: each change is moved once on average. */
  #forgetHanded(): void {
    this.#changes = this.#changes.slice(this.#handedCount);
    this.#handedCount = 0;
  }
}
