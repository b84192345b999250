/**
 * Owns `KvU64`, the unsigned 64-bit integer that `sum`, `min` and `max` work on.
 *
 * An immutable value for any thread. Invariant: `0n <= value < 2n ** 64n`, checked once, at construction.
 *
 * @see Source: Deno.KvU64, its name in inspections and its error texts included.
 */
import { KvRangeError, KvTypeError } from "../errors.js";

const VALUE_MAX = 0xffff_ffff_ffff_ffffn;

/** An unsigned 64-bit integer. As a top-level value it is stored as 8 little-endian bytes. */
export class KvU64 {
  /** Only the constructor gives it, so it tells true ones from look-alikes, and asking wakes no trap of a proxy. */
  readonly #brand = true;

  /** The integer. */
  readonly value: bigint;

  /**
   * @throws KvTypeError KV_INVALID_VALUE when `value` is not a bigint.
   * @throws KvRangeError KV_INVALID_VALUE when it is negative or needs more than 64 bits.
   */
  constructor(value: bigint) {
    if (typeof value !== "bigint") {
      throw new KvTypeError("KV_INVALID_VALUE", `Value must be a bigint: received ${typeof value}`);
    }
    if (value < 0n) {
      throw new KvRangeError("KV_INVALID_VALUE", `Value must be a positive bigint: received ${value}`);
    }
    if (value > VALUE_MAX) {
      throw new KvRangeError("KV_INVALID_VALUE", "Value must fit in a 64-bit unsigned integer");
    }
    this.value = value;
    Object.freeze(this);
  }

  /** Whether this constructor made it. */
  static isKvU64(value: object): value is KvU64 {
    return #brand in value && value.#brand;
  }

  /** The integer, so that arithmetic works. */
  valueOf(): bigint {
    return this.value;
  }

  /** The integer in decimal. */
  toString(): string {
    return this.value.toString();
  }

  /** Deno's name of the class. */
  get [Symbol.toStringTag](): string {
    return "Deno.KvU64";
  }

  /** What Node's `console.log` shows. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `[Deno.KvU64: ${this.value}n]`;
  }

  /** What Deno's `console.log` shows. */
  [Symbol.for("Deno.customInspect")](): string {
    return `[Deno.KvU64: ${this.value}n]`;
  }
}
