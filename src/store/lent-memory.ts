/**
 * Owns views of memory in which one row after the other is lent: its beginning, of the length of the row.
 *
 * A view costs 50 ns to make, and as much again through the garbage that it is. So there is one for each length, made when it is first
 * asked for; whoever is lent rows of the same length is given the same view, with other bytes in it. That is what borrowing means here:
 * the bytes are good until the next row is read.
 *
 * Bounded: LENGTHS_MAX views of 100 bytes. Runs on any thread, which has its own.
 */

/** Longer rows are given a view of their own, whose cost is small beside theirs. */
const LENGTHS_MAX = 1024;

export class LentMemory {
  /** The memory as it was given, and where in it rows begin. */
  readonly memory: Uint8Array;
  readonly start: number;
  /** The same for reading numbers at any offset: several times as fast as putting them together. */
  readonly numbers: DataView;
  readonly #buffer: ArrayBufferLike;
  readonly #byteOffset: number;
  readonly #views: (Uint8Array | undefined)[] = new Array<undefined>(LENGTHS_MAX).fill(undefined);

  constructor(memory: Uint8Array, start = 0) {
    this.memory = memory;
    this.start = start;
    this.#buffer = memory.buffer;
    this.#byteOffset = memory.byteOffset + start;
    this.numbers = new DataView(memory.buffer, this.#byteOffset);
  }

  /** The first bytes, as a plain array, borrowed until the memory is used again. */
  first(length: number): Uint8Array {
    if (length >= LENGTHS_MAX) return new Uint8Array(this.#buffer, this.#byteOffset, length);
    const known = this.#views[length];
    if (known !== undefined) return known;
    const view = new Uint8Array(this.#buffer, this.#byteOffset, length);
    this.#views[length] = view;
    return view;
  }
}
