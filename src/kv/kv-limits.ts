/**
 * Owns the limits that whoever opens a store may choose: their defaults, Deno KV's, and what the engine can take at most.
 */
import { KvTypeError } from "../errors.js";
import {
  CHECKS_MAX,
  COMMIT_BYTES_MAX,
  DENO_CHECKS_MAX,
  DENO_COMMIT_BYTES_MAX,
  DENO_COMMIT_KEY_BYTES_MAX,
  DENO_GET_MANY_KEYS_MAX,
  DENO_MUTATIONS_MAX,
  DENO_VALUE_BYTES_MAX,
  DENO_WATCHED_KEYS_MAX,
  GET_MANY_KEYS_MAX,
  type KvLimits,
  MUTATIONS_MAX,
  VALUE_BYTES_CEILING,
  VALUE_BYTES_MAX,
} from "../limits.js";
import { shown } from "../shown.js";

export type { KvLimits };

const DEFAULTS: KvLimits = {
  valueBytesMax: VALUE_BYTES_MAX,
  messageBytesMax: VALUE_BYTES_MAX,
  checksMax: CHECKS_MAX,
  mutationsMax: MUTATIONS_MAX,
  commitBytesMax: COMMIT_BYTES_MAX,
  commitKeyBytesMax: COMMIT_BYTES_MAX,
  getManyKeysMax: GET_MANY_KEYS_MAX,
  watchedKeysMax: Number.POSITIVE_INFINITY,
};

const DENO: KvLimits = {
  valueBytesMax: DENO_VALUE_BYTES_MAX,
  messageBytesMax: DENO_VALUE_BYTES_MAX,
  checksMax: DENO_CHECKS_MAX,
  mutationsMax: DENO_MUTATIONS_MAX,
  commitBytesMax: DENO_COMMIT_BYTES_MAX,
  commitKeyBytesMax: DENO_COMMIT_KEY_BYTES_MAX,
  getManyKeysMax: DENO_GET_MANY_KEYS_MAX,
  watchedKeysMax: DENO_WATCHED_KEYS_MAX,
};

/** What the engine takes: frames and buffers are made for these. */
const CEILINGS: KvLimits = {
  ...DEFAULTS,
  valueBytesMax: VALUE_BYTES_CEILING,
  messageBytesMax: VALUE_BYTES_CEILING,
};

/**
 * All limits, from what was asked for.
 *
 * @throws KvTypeError KV_INVALID_OPTION for an unknown name or a number out of its range.
 */
export function limitsOf(asked: "deno" | Partial<KvLimits> | undefined): KvLimits {
  if (asked === undefined) return DEFAULTS;
  if (asked === "deno") return DENO;
  if (typeof asked !== "object" || asked === null) {
    throw invalid(`limits must be "deno" or an object: received ${shown(asked)}`);
  }
  for (const [name, value] of Object.entries(asked)) checkLimit(name, value);
  const given = Object.entries(asked).filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...Object.fromEntries(given) };
}

function checkLimit(name: string, value: number | undefined): void {
  if (!Object.hasOwn(CEILINGS, name)) {
    throw invalid(`limits.${name} is unknown: the limits are ${Object.keys(CEILINGS).join(", ")}`);
  }
  const ceiling = CEILINGS[name as keyof KvLimits];
  if (
    value === undefined ||
    (value <= ceiling && (Number.isInteger(value) || value === ceiling) && value >= 1)
  )
    return;
  throw invalid(`limits.${name} must be an integer from 1 to ${ceiling}: received ${shown(value)}`);
}

function invalid(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_OPTION", message);
}
