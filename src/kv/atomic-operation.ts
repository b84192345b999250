/**
 * Owns the building of one atomic commit by a caller. Nothing happens before `commit`.
 */
import type { InspectOptions } from "node:util";
import type { KvKey } from "../codec/key.js";
import { KvU64 } from "../codec/kv-u64.js";
import { KvTypeError } from "../errors.js";
import type { KvEnqueueOptions } from "../queue/enqueue-options.js";
import {
  type DraftCheck,
  type DraftMutation,
  draftArithmetic,
  draftCheck,
  draftDelete,
  draftMutation,
  draftSet,
  type KvCheck,
  type KvMutation,
  type KvSetOptions,
} from "./commit-builder.js";
import type { KvCommitError, KvCommitResult } from "./commit-result.js";
import type { KvSetKey } from "./commit-versionstamp.js";
import { type DraftMessage, draftEnqueue } from "./enqueue-builder.js";
import { OperationListing } from "./operation-listing.js";

/** Makes the commit. */
export type CommitAtomic = (
  checks: readonly DraftCheck[],
  mutations: readonly DraftMutation[],
  messages: readonly DraftMessage[],
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
  readonly #commit: CommitAtomic;
  readonly #checks: DraftCheck[] = [];
  readonly #mutations: DraftMutation[] = [];
  readonly #messages: DraftMessage[] = [];
  readonly #listing = new OperationListing();

  /** Made by `kv.atomic()`. */
  constructor(commit: CommitAtomic) {
    this.#commit = commit;
  }

  /** The commit is made only if every one of these holds. */
  check(...checks: KvCheck[]): this {
    for (const check of checks) {
      this.#checks.push(draftCheck(check));
      this.#listing.add("check", check);
    }
    return this;
  }

  /** Adds mutations given as data. */
  mutate(...mutations: KvMutation[]): this {
    for (const mutation of mutations) {
      this.#mutations.push(draftMutation(mutation));
      this.#listing.addMutation(mutation);
    }
    return this;
  }

  /** Sets a key. The value is taken as it is at this moment. */
  set(key: KvSetKey, value: unknown, options?: KvSetOptions): this {
    this.#mutations.push(draftSet(key, value, options));
    if (options === undefined) this.#listing.add("set", key, value);
    else this.#listing.add("set", key, value, options);
    return this;
  }

  /** Deletes a key. One that is not there is no error. */
  delete(key: KvKey): this {
    this.#mutations.push(draftDelete(key));
    this.#listing.add("delete", key);
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
    this.#messages.push(draftEnqueue(value, options));
    if (options === undefined) this.#listing.add("enqueue", value);
    else this.#listing.add("enqueue", value, options);
    return this;
  }

  /**
   * Makes the commit.
   *
   * *Durability*: as the store was opened. When it rejects, nothing has changed, except with KvUnknownOutcomeError and
   * KvInterruptedError, when nobody knows.
   *
   * @returns `ok: false`, and which checks failed with what is there instead, when a check did not hold.
   * @throws KvTypeError KV_INVALID_CHECK, KV_INVALID_KEY, KV_INVALID_MUTATION (arithmetic on something else than a number of its kind),
   * KV_LIMIT_EXCEEDED; KvClosedError; KvInterruptedError; KvUnknownOutcomeError; KvStorageError; KvShardFailedError; KvShardStalledError;
   * KvOverloadedError.
   */
  async commit(): Promise<KvCommitResult | KvCommitError> {
    return this.#commit(this.#checks, this.#mutations, this.#messages);
  }

  // biome-ignore lint/suspicious/noThenProperty: as in Deno KV, awaiting an operation that was not committed is an error that says so.
  then(): never {
    throw new KvTypeError(
      "KV_INVALID_MUTATION",
      "'Deno.AtomicOperation' is not a promise: did you forget to call 'commit()'",
    );
  }

  /** What Node's `console.log` shows: the calls, as in Deno. */
  [Symbol.for("nodejs.util.inspect.custom")](depth: number, options: InspectOptions): string {
    return this.#listing.inspect(depth, options);
  }

  #arithmetic(type: "sum" | "min" | "max", key: KvKey, operand: bigint): this {
    const value = new KvU64(operand);
    this.#mutations.push(draftArithmetic(type, key, value));
    this.#listing.add(type, key, value);
    return this;
  }
}
