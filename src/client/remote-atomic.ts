/**
 * Owns the building of a remote atomic commit. Nothing is sent before `commit`.
 */
import { KvU64 } from "../codec/kv-u64.js";
import { KvTypeError } from "../errors.js";
import type {
  KvCheck,
  KvCommitError,
  KvCommitResult,
  KvEnqueueOptions,
  KvKey,
  KvMutation,
  KvSetKey,
  KvSetOptions,
} from "../index.js";
import { checkEnqueueOptions } from "../queue/enqueue-options.js";
import type { WireAtomic, WireCheck, WireEnqueue, WireMutation } from "../wire/entries.js";
import { checkExpireIn, checkedKey, checkMutation } from "./checks.js";

/** Stands for the commit's versionstamp as the last part of a key. */
export const PLACEHOLDER = Symbol("KvCommitVersionstamp");

/** Makes the commit. */
export type SendAtomic = (commit: WireAtomic) => Promise<KvCommitResult | KvCommitError>;

/** Checks and mutations that are made together or not at all. As the AtomicOperation of the embedded store. */
export class RemoteAtomicOperation {
  readonly #send: SendAtomic;
  readonly #checks: WireCheck[] = [];
  readonly #mutations: WireMutation[] = [];
  readonly #enqueues: WireEnqueue[] = [];

  /** Made by `kv.atomic()`. */
  constructor(send: SendAtomic) {
    this.#send = send;
  }

  check(...checks: KvCheck[]): this {
    for (const { key, versionstamp } of checks) this.#checks.push({ key: [...key], versionstamp });
    return this;
  }

  mutate(...mutations: KvMutation[]): this {
    for (const mutation of mutations) {
      checkMutation(mutation);
      const { type, key } = mutation;
      if (type === "set") this.set(key, mutation.value, mutation);
      else if (type === "delete") this.delete(key as KvKey);
      else this.#mutations.push({ type, key: [...key] as KvKey, value: mutation.value });
    }
    return this;
  }

  /** The value is taken as it is at this moment. @throws KvTypeError KV_INVALID_VALUE when it can't be cloned. */
  set(key: KvSetKey, value: unknown, options: KvSetOptions = {}): this {
    this.#mutations.push({ type: "set", ...setFields(key, value, options) });
    return this;
  }

  delete(key: KvKey): this {
    this.#mutations.push({ type: "delete", key: [...key] });
    return this;
  }

  sum(key: KvKey, operand: bigint): this {
    this.#mutations.push({ type: "sum", key: [...key], value: new KvU64(operand) });
    return this;
  }

  min(key: KvKey, operand: bigint): this {
    this.#mutations.push({ type: "min", key: [...key], value: new KvU64(operand) });
    return this;
  }

  max(key: KvKey, operand: bigint): this {
    this.#mutations.push({ type: "max", key: [...key], value: new KvU64(operand) });
    return this;
  }

  /** Adds a message to the queue, if the commit is made. */
  enqueue(value: unknown, options: KvEnqueueOptions = {}): this {
    checkEnqueueOptions(options);
    this.#enqueues.push({ value: cloned(value), ...options });
    return this;
  }

  /** Makes the commit. @throws as that of the embedded store; KvUnreachableError; KvAccessError. */
  async commit(): Promise<KvCommitResult | KvCommitError> {
    for (const { key } of [...this.#checks, ...this.#mutations]) checkedKey(key);
    return this.#send({ checks: this.#checks, mutations: this.#mutations, enqueues: this.#enqueues });
  }

  // biome-ignore lint/suspicious/noThenProperty: as in Deno KV, awaiting an operation that was not committed is an error that says so.
  then(): never {
    throw new KvTypeError(
      "KV_INVALID_MUTATION",
      "'Deno.AtomicOperation' is not a promise: did you forget to call 'commit()'",
    );
  }
}

/** What a set says, with a copy of its value. */
export function setFields(key: KvSetKey, value: unknown, options: KvSetOptions): Omit<WireMutation, "type"> {
  const isVersionstamped = Array.isArray(key) && key.at(-1) === PLACEHOLDER;
  const { expireIn, ifChanged } = options;
  checkExpireIn(expireIn);
  return {
    key: (Array.isArray(key) ? key.slice(0, isVersionstamped ? -1 : undefined) : key) as KvKey,
    value: cloned(value),
    ...(isVersionstamped && { versionstamped: true }),
    ...(expireIn !== undefined && { expireIn }),
    ...(ifChanged !== undefined && { ifChanged }),
  };
}

/** A copy, so that the caller may change its own. @throws KvTypeError KV_INVALID_VALUE. */
export function cloned(value: unknown): unknown {
  if (typeof value === "object" && value !== null && KvU64.isKvU64(value)) return value;
  try {
    return structuredClone(value);
  } catch (cause) {
    throw new KvTypeError("KV_INVALID_VALUE", (cause as Error).message);
  }
}
