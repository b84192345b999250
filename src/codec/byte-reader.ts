/**
 * Owns the reading of a frame from its beginning to its end. Pure but for its position; lives for one frame, on any thread.
 */
import { KvCorruptError } from "../errors.js";

/** A position in a frame that never passes its end. */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly #what: string;
  readonly #end: number;
  #offset: number;

  /** @param what What the frame is, for the error when it is malformed. */
  constructor(what: string, bytes: Uint8Array, offset: number, end: number) {
    this.#what = what;
    this.bytes = bytes;
    this.#offset = offset;
    this.#end = end;
  }

  /** Whether there is nothing more. */
  get isAtEnd(): boolean {
    return this.#offset === this.#end;
  }

  /** Steps over `length` bytes and returns where they begin. */
  take(length: number): number {
    const start = this.#offset;
    if (length > this.#end - start) throw this.malformed(`${length} bytes at byte ${start} pass its end`);
    this.#offset = start + length;
    return start;
  }

  /** The next `length` bytes, borrowed, as a plain Uint8Array even where the bytes are a Buffer. */
  takeBytes(length: number): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + this.take(length), length);
  }

  /** Throws when something is left. */
  finish(): void {
    if (!this.isAtEnd) throw this.malformed(`${this.#end - this.#offset} bytes are left over`);
  }

  malformed(found: string): KvCorruptError {
    return new KvCorruptError(`${this.#what} is malformed: ${found}`);
  }
}
