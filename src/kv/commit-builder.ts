/**
 * Owns the making of a commit from a caller's checks and mutations: validates, encodes, routes each key. Pure but for the clock.
 */
import type { KvClock } from "../clock.js";
import {
  type CheckFields,
  type CommitFields,
  type MutationFields,
  MutationType,
} from "../codec/commit-frame.js";
import { checkWriteKey, encodeKey, type KvKey } from "../codec/key.js";
import { KvU64 } from "../codec/kv-u64.js";
import { encodeValue } from "../codec/value.js";
import { parseVersionstamp } from "../codec/versionstamp.js";
import { KvTypeError } from "../errors.js";
import { CHECKS_MAX, COMMIT_BYTES_MAX, MUTATIONS_MAX } from "../limits.js";
import { shown } from "../shown.js";
import { encodeSetKey, type KvSetKey } from "./commit-versionstamp.js";

/** A condition of a commit: the entry's versionstamp is this one, or (`null`) there is no entry. */
export interface KvCheck {
  readonly key: KvKey;
  readonly versionstamp: string | null;
}

/** What a commit does to one key. */
export type KvMutation = { readonly key: KvSetKey } & (
  | {
      readonly type: "set";
      readonly value: unknown;
      readonly expireIn?: number;
      readonly ifChanged?: boolean;
    }
  | { readonly type: "delete" }
  | { readonly type: "sum" | "min" | "max"; readonly value: KvU64 }
);

/** Options of a write. */
export interface KvSetOptions {
  /** Milliseconds after which the entry does not exist any more, an integer from 0. Default: never. */
  readonly expireIn?: number;
  /**
   * Write and announce nothing when the same bytes stand there already, without a time to live on either side. Default: as the store
   * was opened. The result then says whether anything `changed`.
   */
  readonly ifChanged?: boolean;
}

/** What a builder needs of the store. */
export interface CommitContext {
  readonly clock: KvClock;
  readonly shardOf: (key: Uint8Array) => number;
  /** Largest value in serialized bytes. */
  readonly valueBytesMax: number;
  /** What a set does that does not say. */
  readonly ifChanged: boolean;
}

const NOTHING = new Uint8Array(0);
/** Times beyond this are not exact milliseconds any more. */
const EXPIRE_IN_MS_MAX = Number.MAX_SAFE_INTEGER / 2;
const ARITHMETIC = { sum: MutationType.SUM, min: MutationType.MIN, max: MutationType.MAX } as const;

export function buildCheck(check: KvCheck, context: CommitContext): CheckFields {
  const key = encodeKey(check.key);
  checkWriteKey(key);
  const { versionstamp } = check;
  if (versionstamp !== null && typeof versionstamp !== "string") throw invalidCheck();
  return {
    shard: context.shardOf(key),
    key,
    versionstamp: versionstamp === null ? null : parseVersionstamp(versionstamp),
  };
}

export function buildSet(
  key: KvSetKey,
  value: unknown,
  options: KvSetOptions | undefined,
  context: CommitContext,
): MutationFields {
  const encodedKey = encodeSetKey(key);
  const { encoding, bytes } = encodeValue(value);
  if (bytes.length > context.valueBytesMax) {
    throw new KvTypeError("KV_LIMIT_EXCEEDED", `Value too large (max ${context.valueBytesMax} bytes)`);
  }
  const fields: MutationFields = {
    type: MutationType.SET,
    shard: context.shardOf(encodedKey.key),
    ...encodedKey,
    encoding,
    value: bytes,
    expiresAtMs: expiresAt(options?.expireIn, context.clock),
  };
  return (options?.ifChanged ?? context.ifChanged) ? { ...fields, ifChanged: true } : fields;
}

export function buildDelete(key: KvKey, context: CommitContext): MutationFields {
  const encoded = encodeKey(key);
  checkWriteKey(encoded);
  return {
    type: MutationType.DELETE,
    shard: context.shardOf(encoded),
    key: encoded,
    keyKind: 0,
    encoding: 0,
    value: NOTHING,
    expiresAtMs: 0,
  };
}

export function buildArithmetic(
  type: "sum" | "min" | "max",
  key: KvKey,
  value: KvU64,
  context: CommitContext,
): MutationFields {
  if (!(value instanceof KvU64)) {
    throw new KvTypeError("KV_INVALID_MUTATION", `Failed to perform '${type}' mutation on a non-U64 operand`);
  }
  const encoded = encodeKey(key);
  checkWriteKey(encoded);
  const operand = encodeValue(value);
  return {
    type: ARITHMETIC[type],
    shard: context.shardOf(encoded),
    key: encoded,
    keyKind: 0,
    encoding: operand.encoding,
    value: operand.bytes,
    expiresAtMs: 0,
  };
}

/** A mutation given as data. */
export function buildMutation(mutation: KvMutation, context: CommitContext): MutationFields {
  switch (mutation.type) {
    case "set":
      if (!("value" in mutation))
        throw new KvTypeError("KV_INVALID_MUTATION", "Invalid mutation 'set' without value");
      return buildSet(mutation.key, mutation.value, mutation, context);
    case "delete":
      if ("value" in mutation)
        throw new KvTypeError("KV_INVALID_MUTATION", "Invalid mutation 'delete' with value");
      return buildDelete(mutation.key as KvKey, context);
    case "sum":
    case "min":
    case "max":
      return buildArithmetic(mutation.type, mutation.key as KvKey, mutation.value, context);
    default:
      throw new KvTypeError("KV_INVALID_MUTATION", "Invalid mutation type");
  }
}

/** Refuses a commit that is too large as a whole. */
export function checkCommit(fields: CommitFields): void {
  const { checks, mutations } = fields;
  const enqueues = fields.queue?.enqueues ?? [];
  if (checks.length > CHECKS_MAX) throw tooMany(`Too many checks (max ${CHECKS_MAX})`);
  if (mutations.length + enqueues.length > MUTATIONS_MAX)
    throw tooMany(`Too many mutations (max ${MUTATIONS_MAX})`);
  let bytes = 0;
  for (const { key } of checks) bytes += key.length;
  for (const { key, value } of mutations) bytes += key.length + value.length;
  for (const { message } of enqueues) bytes += message.length;
  if (bytes > COMMIT_BYTES_MAX)
    throw tooMany(`Total mutation size too large (max ${COMMIT_BYTES_MAX} bytes)`);
}

/** Refuses a bad time to live. */
export function checkExpireIn(expireIn: number | undefined): void {
  if (expireIn === undefined || expireIn === null) return;
  if (!Number.isInteger(expireIn) || expireIn < 0) {
    throw new KvTypeError(
      "KV_INVALID_OPTION",
      `expireIn must be a non-negative integer: received ${shown(expireIn)}`,
    );
  }
  if (expireIn > EXPIRE_IN_MS_MAX) {
    throw new KvTypeError("KV_INVALID_OPTION", `Invalid mutation: expireIn is too large: ${expireIn}`);
  }
}

function expiresAt(expireIn: number | undefined, clock: KvClock): number {
  checkExpireIn(expireIn);
  // An expiry of 0 means "never" in an entry; nothing expires in 1970.
  return expireIn === undefined || expireIn === null ? 0 : Math.max(1, clock.nowMs() + expireIn);
}

function invalidCheck(): KvTypeError {
  return new KvTypeError("KV_INVALID_CHECK", "Invalid check");
}

function tooMany(message: string): KvTypeError {
  return new KvTypeError("KV_LIMIT_EXCEEDED", message);
}
