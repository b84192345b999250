/**
 * Owns the making of a commit from a caller's checks and mutations, in two steps. Pure but for the clock.
 *
 * At the call a *draft* takes a copy of what was given, so that the caller may change its arrays and values afterwards. At the commit
 * the drafts are validated and become the commit's fields. What is refused where, and in which order, is Deno KV's: the value that
 * can't be cloned and the bad option at the call; everything else at the commit, keys before sizes.
 */
import type { KvClock } from "../clock.js";
import {
  type CheckFields,
  type CommitFields,
  KeyKind,
  type MutationFields,
  MutationType,
} from "../codec/commit-frame.js";
import { checkWriteKey, checkWriteLength, encodeKey, type KvKey } from "../codec/key.js";
import type { KvU64 } from "../codec/kv-u64.js";
import { type EncodedValue, encodeAnyValue } from "../codec/value.js";
import { parseVersionstamp } from "../codec/versionstamp.js";
import { KvTypeError } from "../errors.js";
import { EXPIRE_IN_MS_MAX } from "../limits.js";
import { shown } from "../shown.js";
import { type EncodedSetKey, encodeSetKey, type KvSetKey, wholeKeyBytes } from "./commit-versionstamp.js";
import type { KvLimits } from "./kv-limits.js";

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
  /** A bigint or number is added to one that is stored as such; the sum is not bounded to 64 bits then. */
  | { readonly type: "sum"; readonly value: KvU64 | bigint | number }
  | { readonly type: "min" | "max"; readonly value: KvU64 }
);

/** Options of a write. */
export interface KvSetOptions {
  /** Milliseconds after which the entry does not exist any more, an integer from 0. Default: never. */
  readonly expireIn?: number | undefined;
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
  readonly limits: KvLimits;
  /** What a set does that does not say. */
  readonly ifChanged: boolean;
}

/** A key as it was at the call, or what is wrong with it, which is told at the commit. */
export type DraftKey = EncodedSetKey | KvTypeError;

/** A check as it was at the call. */
export interface DraftCheck {
  readonly key: DraftKey;
  readonly versionstamp: string | null;
}

/** A mutation as it was at the call. */
export interface DraftMutation {
  readonly type: MutationType;
  readonly key: DraftKey;
  /** A promise where the value has to be read first, as a Blob's bytes; `null` for a delete. */
  readonly value: EncodedValue | Promise<EncodedValue> | null;
  readonly expireIn: number | undefined;
  readonly ifChanged: boolean | undefined;
}

/** A message as it was at the call. */
export interface DraftMessage {
  readonly value: EncodedValue | Promise<EncodedValue>;
  /** Milliseconds from the commit until it is due. */
  readonly delayMs: number;
  readonly backoffMs: readonly number[];
  /** Keys that it is written under when nobody could handle it. */
  readonly keys: readonly DraftKey[];
}

/** All that a commit is made of, as it was at the calls. */
export interface CommitDrafts {
  readonly checks: readonly DraftCheck[];
  readonly mutations: readonly DraftMutation[];
  readonly messages: readonly DraftMessage[];
}

/** What an interval of a backoff schedule counts as, in Deno. */
const BACKOFF_INTERVAL_BYTES = 4;
const NO_VALUE = { encoding: 0, bytes: new Uint8Array(0) } as const;
const MUTATION_TYPES = {
  set: MutationType.SET,
  delete: MutationType.DELETE,
  sum: MutationType.SUM,
  min: MutationType.MIN,
  max: MutationType.MAX,
} as const;

/** @throws KvTypeError KV_INVALID_CHECK when it is no object. */
export function draftCheck(check: KvCheck): DraftCheck {
  if (typeof check !== "object" || check === null)
    throw new KvTypeError("KV_INVALID_CHECK", `a check must be an object: received ${shown(check)}`);
  const { key, versionstamp } = check;
  return { key: draftKey(() => encodeSetKeyPlain(key)), versionstamp: versionstamp ?? null };
}

/** @throws KvTypeError KV_INVALID_VALUE, KV_INVALID_OPTION (expireIn). */
export function draftSet(key: KvSetKey, value: unknown, options: KvSetOptions | undefined): DraftMutation {
  checkExpireIn(options?.expireIn);
  return {
    type: MutationType.SET,
    key: draftKey(() => encodeSetKey(key)),
    value: encodeAnyValue(value),
    expireIn: options?.expireIn,
    ifChanged: options?.ifChanged,
  };
}

export function draftDelete(key: KvKey): DraftMutation {
  return draft(MutationType.DELETE, key, null);
}

/** @throws KvTypeError KV_INVALID_VALUE when the operand can't be cloned. Whether it is a number is found out at the commit. */
export function draftArithmetic(type: "sum" | "min" | "max", key: KvKey, operand: unknown): DraftMutation {
  return draft(MUTATION_TYPES[type], key, encodeAnyValue(operand));
}

/** A mutation given as data. @throws KvTypeError KV_INVALID_MUTATION, and what the other drafts throw. */
export function draftMutation(mutation: KvMutation): DraftMutation {
  const { type } = mutation;
  if (typeof type !== "string" || !Object.hasOwn(MUTATION_TYPES, type))
    throw invalidMutation("Invalid mutation type");
  if (type === "delete") {
    if ("value" in mutation && mutation.value !== undefined)
      throw invalidMutation("Invalid mutation 'delete' with value");
    return draftDelete(mutation.key as KvKey);
  }
  if (!("value" in mutation)) throw invalidMutation(`Invalid mutation '${type}' without value`);
  return type === "set"
    ? draftSet(mutation.key, mutation.value, { ...mutation, expireIn: mutation.expireIn ?? undefined })
    : draftArithmetic(type, mutation.key as KvKey, mutation.value);
}

/** An entry as bytes, from elsewhere. */
export interface ImportedEntry {
  readonly key: Uint8Array;
  readonly value: EncodedValue;
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAtMs: number;
}

/** The set that writes an entry as it is. */
export function draftImport({ key, value, expiresAtMs }: ImportedEntry, clock: KvClock): DraftMutation {
  const expireIn = expiresAtMs === 0 ? undefined : Math.max(0, Math.ceil(expiresAtMs - clock.nowMs()));
  return {
    type: MutationType.SET,
    key: { key, keyKind: KeyKind.PLAIN },
    value,
    expireIn,
    ifChanged: undefined,
  };
}

/** Refuses keys that are none. @throws KvTypeError KV_INVALID_KEY. */
export function checkDraftKeys({ checks, mutations, messages }: CommitDrafts): void {
  for (const { key } of checks) keyOf(key);
  for (const { key } of mutations) keyOf(key);
  for (const { keys } of messages) keys.forEach(keyOf);
}

/** The same with all values read; the same object when there is nothing to wait for. */
export function settleDrafts(drafts: CommitDrafts): CommitDrafts | Promise<CommitDrafts> {
  const { mutations, messages } = drafts;
  const isPending = ({ value }: { readonly value: unknown }) => value instanceof Promise;
  return mutations.some(isPending) || messages.some(isPending) ? settle(drafts) : drafts;
}

async function settle({ checks, mutations, messages }: CommitDrafts): Promise<CommitDrafts> {
  return {
    checks,
    mutations: await Promise.all(
      mutations.map(async (mutation) => ({ ...mutation, value: await mutation.value })),
    ),
    messages: await Promise.all(
      messages.map(async (message) => ({ ...message, value: await message.value })),
    ),
  };
}

/**
 * The commit's fields, but for its messages, which are only checked. All values have been read.
 *
 * @throws KvTypeError in this order: too many checks, too many mutations, a bad check, a bad mutation, a key that is
 * empty or too large, a value, the commit, its keys too large.
 */
export function buildCommit(drafts: CommitDrafts, context: CommitContext): CommitFields {
  const { checks, mutations, messages } = drafts;
  const { checksMax, mutationsMax } = context.limits;
  if (checks.length > checksMax) throw tooLarge(`Too many checks (max ${checksMax})`);
  if (mutations.length + messages.length > mutationsMax)
    throw tooLarge(`Too many mutations (max ${mutationsMax})`);
  const fields = {
    checks: checks.map((check) => buildCheck(check, context)),
    mutations: mutations.map((mutation) => buildMutation(mutation, context)),
  };
  checkKeys(fields);
  checkSizes(fields, messages, context.limits);
  return fields;
}

function buildCheck({ key, versionstamp }: DraftCheck, context: CommitContext): CheckFields {
  if (versionstamp !== null && typeof versionstamp !== "string") {
    throw new KvTypeError("KV_INVALID_CHECK", "Invalid check");
  }
  const encoded = keyOf(key).key;
  return {
    shard: context.shardOf(encoded),
    key: encoded,
    versionstamp: versionstamp === null ? null : parseVersionstamp(versionstamp),
  };
}

function buildMutation(mutation: DraftMutation, context: CommitContext): MutationFields {
  const { type, expireIn } = mutation;
  const { key, keyKind } = keyOf(mutation.key);
  const { encoding, bytes } = (mutation.value as EncodedValue | null) ?? NO_VALUE;
  const expiresAtMs = expiresAt(expireIn, context.clock);
  const shard = context.shardOf(key);
  const fields: MutationFields = { type, shard, key, keyKind, encoding, value: bytes, expiresAtMs };
  const ifChanged = type === MutationType.SET && (mutation.ifChanged ?? context.ifChanged);
  return ifChanged ? { ...fields, ifChanged } : fields;
}

function checkKeys({ checks, mutations }: CommitFields): void {
  for (const { key } of checks) checkWriteKey(key);
  for (const mutation of mutations) {
    if (mutation.keyKind === KeyKind.PLAIN) checkWriteKey(mutation.key);
    else checkWriteLength(wholeKeyBytes(mutation));
  }
}

function checkSizes(
  { checks, mutations }: CommitFields,
  messages: readonly DraftMessage[],
  limits: KvLimits,
): void {
  const { valueBytesMax, messageBytesMax, commitBytesMax, commitKeyBytesMax } = limits;
  let bytes = 0;
  let keyBytes = 0;
  for (const { key } of checks) bytes += key.length;
  for (const { type, key, value } of mutations) {
    if (value.length > valueBytesMax) throw tooLarge(`Value too large (max ${valueBytesMax} bytes)`);
    bytes += key.length;
    if (type === MutationType.DELETE) continue;
    keyBytes += key.length;
    bytes += key.length + value.length;
  }
  for (const message of messages) {
    const { length } = (message.value as EncodedValue).bytes;
    if (length > messageBytesMax) throw tooLarge(`enqueue payload too large (max ${messageBytesMax} bytes)`);
    bytes += length + BACKOFF_INTERVAL_BYTES * message.backoffMs.length;
  }
  if (bytes > commitBytesMax) throw tooLarge(`Total mutation size too large (max ${commitBytesMax} bytes)`);
  if (keyBytes > commitKeyBytesMax)
    throw tooLarge(`Total key size too large (max ${commitKeyBytesMax} bytes)`);
}

function draft(type: MutationType, key: KvKey, value: DraftMutation["value"]): DraftMutation {
  return {
    type,
    key: draftKey(() => encodeSetKeyPlain(key)),
    value,
    expireIn: undefined,
    ifChanged: undefined,
  };
}

function encodeSetKeyPlain(key: KvKey): EncodedSetKey {
  return { key: encodeKey(key), keyKind: KeyKind.PLAIN };
}

/** A key, or what is wrong with it. */
export function draftKey(encode: () => EncodedSetKey): DraftKey {
  try {
    return encode();
  } catch (error) {
    if (error instanceof KvTypeError) return error;
    throw error;
  }
}

/** The key of a draft, or its refusal. */
export function keyOf(key: DraftKey): EncodedSetKey {
  if (key instanceof KvTypeError) throw key;
  return key;
}

function checkExpireIn(expireIn: number | undefined): void {
  if (expireIn === undefined || (Number.isInteger(expireIn) && expireIn >= 0)) return;
  throw new KvTypeError(
    "KV_INVALID_OPTION",
    `expireIn must be a non-negative integer: received ${shown(expireIn)}`,
  );
}

function expiresAt(expireIn: number | undefined, clock: KvClock): number {
  if (expireIn === undefined) return 0;
  if (expireIn > EXPIRE_IN_MS_MAX) {
    throw new KvTypeError("KV_INVALID_OPTION", `Invalid mutation: expireIn is too large: ${expireIn}`);
  }
  // An expiry of 0 means "never" in an entry; nothing expires in 1970.
  return Math.max(1, clock.nowMs() + expireIn);
}

function invalidMutation(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_MUTATION", message);
}

function tooLarge(message: string): KvTypeError {
  return new KvTypeError("KV_LIMIT_EXCEEDED", message);
}
