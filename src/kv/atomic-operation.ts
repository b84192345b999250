/**
 * Owns the building of one atomic commit by a caller. Nothing happens before `commit`.
 */
import type { CheckFields, MutationFields } from "../codec/commit-frame.js";
import type { KvKey } from "../codec/key.js";
import { KvU64 } from "../codec/kv-u64.js";
import type { EnqueueFields } from "../codec/queue-frame.js";
import { KvTypeError } from "../errors.js";
import type { KvEnqueueOptions } from "../queue/enqueue-options.js";
import { shown } from "../shown.js";
import {
  buildArithmetic,
  buildCheck,
  buildDelete,
  buildMutation,
  buildSet,
  type CommitContext,
  checkExpireIn,
  type KvCheck,
  type KvMutation,
  type KvSetOptions,
} from "./commit-builder.js";
import type { KvCommitError, KvCommitResult } from "./commit-result.js";
import type { KvSetKey } from "./commit-versionstamp.js";
import { buildEnqueue } from "./enqueue-builder.js";

/** Makes the commit. */
export type CommitAtomic = (
  checks: readonly CheckFields[],
  mutations: readonly MutationFields[],
  enqueues: readonly EnqueueFields[],
) => Promise<KvCommitResult | KvCommitError>;

/**
 * Checks and mutations that are made together or not at all.
 *
 * *Order*: all checks first, then the mutations in the order of their calls, later ones seeing earlier ones. *Visibility*: readers and
 * watchers see all of the commit or nothing, on however many shards its keys live.
 *
 * @example
 * const { versionstamp } = await kv.get(["stock", 7]);
 * const result = await kv.atomic().check({ key: ["stock", 7], versionstamp }).set(["stock", 7], 41).commit();
 * if (!result.ok) console.log("somebody else was faster:", result.failedChecks);
 *
 * @see Source: Deno KV's AtomicOperation.
 */
export class AtomicOperation {
  readonly #context: CommitContext;
  readonly #commit: CommitAtomic;
  readonly #checks: (() => CheckFields)[] = [];
  readonly #mutations: (() => MutationFields)[] = [];
  readonly #enqueues: EnqueueFields[] = [];

  /** Made by `kv.atomic()`. */
  constructor(context: CommitContext, commit: CommitAtomic) {
    this.#context = context;
    this.#commit = commit;
  }

  /** The commit is made only if every one of these holds. */
  check(...checks: KvCheck[]): this {
    for (const check of checks) {
      if (typeof check !== "object" || check === null)
        throw new KvTypeError("KV_INVALID_CHECK", `a check must be an object: received ${shown(check)}`);
      const { key, versionstamp } = check;
      this.#checks.push(() => buildCheck({ key, versionstamp }, this.#context));
    }
    return this;
  }

  /** Adds mutations given as data. */
  mutate(...mutations: KvMutation[]): this {
    for (const mutation of mutations) {
      if (mutation.type === "set") checkExpireIn(mutation.expireIn);
      const fields = buildMutation(mutation, this.#context);
      this.#mutations.push(() => fields);
    }
    return this;
  }

  /** Sets a key. The value is taken as it is at this moment. */
  set(key: KvSetKey, value: unknown, options?: KvSetOptions): this {
    checkExpireIn(options?.expireIn);
    const fields = buildSet(key, value, options, this.#context);
    this.#mutations.push(() => fields);
    return this;
  }

  /** Deletes a key. One that is not there is no error. */
  delete(key: KvKey): this {
    this.#mutations.push(() => buildDelete(key, this.#context));
    return this;
  }

  /** Adds to a {@link KvU64}, wrapping at 2^64; an absent key counts as 0. Clears a time to live. */
  sum(key: KvKey, operand: bigint): this {
    return this.#arithmetic("sum", key, operand);
  }

  /** Keeps the smaller of a {@link KvU64} and the operand; an absent key takes the operand. Clears a time to live. */
  min(key: KvKey, operand: bigint): this {
    return this.#arithmetic("min", key, operand);
  }

  /** Keeps the larger of a {@link KvU64} and the operand; an absent key takes the operand. Clears a time to live. */
  max(key: KvKey, operand: bigint): this {
    return this.#arithmetic("max", key, operand);
  }

  /**
   * Adds a message to the queue, as {@link Kv.enqueue} does: it is there if the commit is made, and not otherwise. It is kept in the shard
   * of the commit's first key. The value is taken as it is at this moment.
   */
  enqueue(value: unknown, options?: KvEnqueueOptions): this {
    this.#enqueues.push(buildEnqueue(value, options, this.#context));
    return this;
  }

  /**
   * Makes the commit.
   *
   * *Durability*: as the store was opened. When it rejects, nothing has changed, except with KvUnknownOutcomeError and
   * KvClosedError, when nobody knows.
   *
   * @returns `ok: false`, and which checks failed with what is there instead, when a check did not hold.
   * @throws KvTypeError KV_INVALID_CHECK, KV_INVALID_KEY, KV_INVALID_MUTATION (arithmetic on something else than a KvU64),
   * KV_LIMIT_EXCEEDED; KvClosedError; KvUnknownOutcomeError; KvStorageError; KvShardFailedError; KvShardStalledError;
   * KvOverloadedError.
   */
  async commit(): Promise<KvCommitResult | KvCommitError> {
    return this.#commit(
      this.#checks.map((check) => check()),
      this.#mutations.map((mutation) => mutation()),
      this.#enqueues,
    );
  }

  // biome-ignore lint/suspicious/noThenProperty: as in Deno KV, awaiting an operation that was not committed is an error that says so.
  then(): never {
    throw new KvTypeError(
      "KV_INVALID_MUTATION",
      "'AtomicOperation' is not a promise: did you forget to call 'commit()'",
    );
  }

  #arithmetic(type: "sum" | "min" | "max", key: KvKey, operand: bigint): this {
    const value = new KvU64(operand);
    this.#mutations.push(() => buildArithmetic(type, key, value, this.#context));
    return this;
  }
}
