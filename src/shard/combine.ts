/**
 * Owns the arithmetic of `sum`, `min` and `max`. Pure. 64-bit unsigned, as in Deno KV: a sum wraps.
 */
import { MutationType } from "../codec/commit-frame.js";
import { Encoding } from "../codec/value.js";

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

/** The value that `type` makes of what is there (`null`: nothing) and the operand. Throws {@link MutationRefusal}. */
export function combine(type: number, before: StoredValue | null, operand: StoredValue): Uint8Array {
  if (operand.encoding !== Encoding.LE64) {
    throw new MutationRefusal(`Failed to perform '${NAMES[type]}' mutation on a non-U64 operand`);
  }
  if (before === null) return operand.value.slice();
  if (before.encoding !== Encoding.LE64) {
    throw new MutationRefusal(
      `Failed to perform '${NAMES[type]}' mutation on a non-U64 value in the database`,
    );
  }
  const result = new Uint8Array(8);
  new DataView(result.buffer).setBigUint64(
    0,
    choose(type, readU64(before.value), readU64(operand.value)),
    true,
  );
  return result;
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
