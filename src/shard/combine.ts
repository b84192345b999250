/**
 * Owns the arithmetic of `sum`, `min` and `max`. Pure. On a `KvU64`: 64-bit unsigned, as in Deno KV, and a sum wraps. A sum also works on a
 * stored bigint (of any size) or number, with an operand of the same kind.
 */
import { MutationType } from "../codec/commit-frame.js";
import { decodeValue, Encoding, encodeValue } from "../codec/value.js";

/** Stored bytes with their encoding. */
export interface StoredValue {
  readonly encoding: number;
  readonly value: Uint8Array;
}

/** Why a mutation can't be applied. The commit it belongs to changes nothing. */
export class MutationRefusal extends Error {}

const NAMES: Readonly<Record<number, string>> = {
  [MutationType.SUM]: "sum",
  [MutationType.MIN]: "min",
  [MutationType.MAX]: "max",
};

const U64_END = 1n << 64n;

/** The value that `type` makes of what is there (`null`: nothing) and the operand. Throws {@link MutationRefusal}. */
export function combine(type: number, before: StoredValue | null, operand: StoredValue): StoredValue {
  if (operand.encoding === Encoding.LE64) return combineU64(type, before, operand);
  if (type === MutationType.SUM) return sumPlain(before, operand);
  throw new MutationRefusal(`Failed to perform '${NAMES[type]}' mutation on a non-U64 operand`);
}

function combineU64(type: number, before: StoredValue | null, operand: StoredValue): StoredValue {
  if (before === null) return { encoding: Encoding.LE64, value: operand.value.slice() };
  if (before.encoding !== Encoding.LE64) {
    throw new MutationRefusal(
      `Failed to perform '${NAMES[type]}' mutation on a non-U64 value in the database`,
    );
  }
  return u64(choose(type, readU64(before.value), readU64(operand.value)));
}

/** The sum with a bigint or a number. */
function sumPlain(before: StoredValue | null, operand: StoredValue): StoredValue {
  const addend = numberIn(operand);
  if (addend === undefined) throw new MutationRefusal("Some of the parameters are not valid V8 values");
  if (before === null) return plain(addend);
  if (before.encoding === Encoding.LE64) {
    if (typeof addend !== "bigint" || addend < 0n || addend >= U64_END) {
      throw new MutationRefusal(`Cannot sum KvU64 with ${kindOf(addend)}`);
    }
    return u64(choose(MutationType.SUM, readU64(before.value), addend));
  }
  const value = numberIn(before);
  if (value === undefined) throw new MutationRefusal("unsupported value type");
  if (typeof value === "bigint" && typeof addend === "bigint") return plain(value + addend);
  if (typeof value === "number" && typeof addend === "number") return plain(value + addend);
  throw new MutationRefusal(`Cannot sum ${kindOf(value)} with ${kindOf(addend)}`);
}

function numberIn(stored: StoredValue): bigint | number | undefined {
  if (stored.encoding !== Encoding.V8) return undefined;
  const value = decodeValue(stored.encoding, stored.value);
  return typeof value === "bigint" || typeof value === "number" ? value : undefined;
}

function kindOf(value: bigint | number): string {
  return typeof value === "bigint" ? "BigInt" : "Number";
}

function plain(value: bigint | number): StoredValue {
  const { encoding, bytes } = encodeValue(value);
  return { encoding, value: bytes };
}

function u64(value: bigint): StoredValue {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return { encoding: Encoding.LE64, value: bytes };
}

function choose(type: number, before: bigint, operand: bigint): bigint {
  switch (type) {
    case MutationType.SUM:
      return BigInt.asUintN(64, before + operand);
    case MutationType.MIN:
      return before < operand ? before : operand;
    default:
      return before > operand ? before : operand;
  }
}

function readU64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}
