/** Owns what the tests of planning share: keys on shards, commits in short, and a state that is a plain map. */
import {
  type CheckFields,
  type CommitFields,
  KeyKind,
  type MutationFields,
  MutationType,
} from "../../src/codec/commit-frame.js";
import { encodeEntry, entryEncoding, entryExpiresAtMs, entryValue } from "../../src/codec/entry.js";
import { encodeKey, type KvKey } from "../../src/codec/key.js";
import { Encoding } from "../../src/codec/value.js";
import type { Effect, ExpiredEntry } from "../../src/shard/commit-plan.js";

export const NOTHING = new Uint8Array(0);

/** Keys are `[shard, name]`: who plans finds out a shard from the key alone. */
export function shardOf(key: Uint8Array): number {
  return key[1]! - 1;
}

/** A key of a shard: its first part is one byte that names the shard. */
export function keyOf(shard: number, name: string): Uint8Array {
  return encodeKey([Uint8Array.of(shard + 1), name] as KvKey);
}

export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

export function readU64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

export function setting(shard: number, name: string, value: Uint8Array, expiresAtMs = 0): MutationFields {
  const key = keyOf(shard, name);
  const { SET: type } = MutationType;
  return { type, shard, key, keyKind: KeyKind.PLAIN, encoding: Encoding.BYTES, value, expiresAtMs };
}

export function deleting(shard: number, name: string): MutationFields {
  return { ...setting(shard, name, NOTHING), type: MutationType.DELETE, encoding: 0 };
}

export function combining(
  type: "SUM" | "MIN" | "MAX",
  shard: number,
  name: string,
  operand: bigint,
): MutationFields {
  return { ...setting(shard, name, u64(operand)), type: MutationType[type], encoding: Encoding.LE64 };
}

export function checking(
  shard: number,
  name: string,
  versionstamp: CheckFields["versionstamp"],
): CheckFields {
  return { shard, key: keyOf(shard, name), versionstamp };
}

export function commitOf(
  mutations: readonly MutationFields[],
  checks: readonly CheckFields[] = [],
): CommitFields {
  return { checks, mutations };
}

/** Encoded entries by the hex of their keys, as the stores of all shards hold them together. */
export class StoredEntries {
  readonly #entries = new Map<string, Uint8Array>();

  readonly read = (_shard: number, key: Uint8Array): Uint8Array | undefined => this.#entries.get(hexOf(key));

  put(
    key: Uint8Array,
    value: Uint8Array,
    { encoding = Encoding.BYTES as number, counter = 1, order = 1, expiresAtMs = 0 } = {},
  ): void {
    this.#entries.set(hexOf(key), encodeEntry({ encoding, counter, order, expiresAtMs }, value));
  }

  /** Does what a shard does with a plan. */
  apply(effects: readonly Effect[], expired: readonly ExpiredEntry[], counter: number, order: number): void {
    for (const { key } of expired) this.#entries.delete(hexOf(key));
    for (const { key, after } of effects) {
      if (after === null) this.#entries.delete(hexOf(key));
      else
        this.put(key, after.value, {
          encoding: after.encoding,
          counter,
          order,
          expiresAtMs: after.expiresAtMs,
        });
    }
  }

  /** Every entry in words, sorted. */
  get shown(): string[] {
    return [...this.#entries]
      .map(([name, entry]) => {
        const value = hexOf(entryValue(entry));
        const stamp = hexOf(entry.slice(2, 12));
        return `${name} ${stamp} ${entryEncoding(entry)} ${value} ${entryExpiresAtMs(entry)}`;
      })
      .sort();
  }
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
