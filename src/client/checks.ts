/**
 * Owns what the client refuses before anything is sent: arguments that no store takes, in the words and at the moments of the embedded
 * one. Limits that a store may choose are told by the server.
 */
import { KvError, KvTypeError } from "../errors.js";
import type { KvKey, KvListOptions, KvListSelector, KvMutation } from "../index.js";

const MUTATION_TYPES: ReadonlySet<unknown> = new Set(["set", "delete", "sum", "min", "max"]);

/** A copy of a key. @throws KvTypeError KV_INVALID_KEY. */
export function checkedKey(key: KvKey): KvKey {
  if (!Array.isArray(key)) {
    throw new KvTypeError("KV_INVALID_KEY", `a key must be an array of parts: received ${typeof key}`);
  }
  for (let index = 0; index < key.length; index++) {
    const part: unknown = key[index];
    if (/^(string|number|bigint|boolean)$/.test(typeof part) || ArrayBuffer.isView(part)) continue;
    throw new KvTypeError("KV_INVALID_KEY", "expected string, number, bigint, ArrayBufferView, boolean");
  }
  return structuredClone(key) as KvKey;
}

/** Copies of keys. @throws KvTypeError KV_INVALID_KEY. */
export function checkedKeys(keys: readonly KvKey[]): KvKey[] {
  if (!Array.isArray(keys)) {
    throw new KvTypeError("KV_INVALID_KEY", `keys must be an array of keys: received ${typeof keys}`);
  }
  return keys.map(checkedKey);
}

/** @throws KvTypeError KV_INVALID_OPTION. */
export function checkConsistency(consistency: unknown): void {
  if ([undefined, null, "strong", "eventual"].includes(consistency as string)) return;
  throw new KvTypeError(
    "KV_INVALID_OPTION",
    `unknown variant \`${String(consistency)}\`, expected \`strong\` or \`eventual\``,
  );
}

/** @throws KvTypeError KV_INVALID_OPTION. */
export function checkExpireIn(expireIn: unknown): void {
  if (expireIn === undefined || (Number.isInteger(expireIn) && (expireIn as number) >= 0)) return;
  throw new KvTypeError(
    "KV_INVALID_OPTION",
    `expireIn must be a non-negative integer: received ${String(expireIn)}`,
  );
}

/** Refuses a mutation given as data that lacks something. @throws KvTypeError KV_INVALID_MUTATION. */
export function checkMutation(mutation: KvMutation): void {
  const { type } = mutation;
  const hasValue = "value" in mutation;
  if (!MUTATION_TYPES.has(type)) throw invalidMutation("Invalid mutation type");
  if (type !== "delete" && !hasValue) throw invalidMutation(`Invalid mutation '${type}' without value`);
  if (type === "delete" && hasValue && mutation.value !== undefined) {
    throw invalidMutation("Invalid mutation 'delete' with value");
  }
}

/** Refuses a selector with the wrong members. @throws KvTypeError KV_INVALID_SELECTOR. */
export function checkSelectorShape(selector: KvListSelector): void {
  const { prefix, start, end } = (selector ?? {}) as { prefix?: KvKey; start?: KvKey; end?: KvKey };
  if (prefix !== undefined && start !== undefined && end !== undefined) {
    throw invalidSelector("Selector can not specify both 'start' and 'end' key when specifying 'prefix'");
  }
  if (prefix === undefined && (start === undefined || end === undefined)) {
    throw invalidSelector("Selector must specify either 'prefix' or both 'start' and 'end' key");
  }
}

/** Refuses bad counts. @throws KvError KV_INVALID_OPTION. */
export function checkListOptions({ limit, batchSize }: KvListOptions): void {
  checkCount("Limit", limit);
  checkCount("batchSize", batchSize ?? undefined);
}

function checkCount(name: string, value: unknown): void {
  if (value === undefined || (Number.isInteger(value) && (value as number) > 0)) return;
  throw new KvError("KV_INVALID_OPTION", `${name} must be a positive integer: received ${String(value)}`);
}

function invalidMutation(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_MUTATION", message);
}

function invalidSelector(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_SELECTOR", message);
}
