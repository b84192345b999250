/**
 * Owns what a caller gets for a commit: its result, or the error of its own.
 */

import type { CommitFields } from "../codec/commit-frame.js";
import { decodeKey, type KvKey } from "../codec/key.js";
import { type FailedCheckFields, type Reply, ReplyStatus } from "../codec/reply-frame.js";
import { formatVersionstamp, readVersionstamp } from "../codec/versionstamp.js";
import { KvError, KvStorageError, KvTypeError, KvUnknownOutcomeError } from "../errors.js";

/** The commit was made. */
export interface KvCommitResult {
  readonly ok: true;
  /** 20 hex digits; larger than that of every commit that was acknowledged before this one was begun. */
  readonly versionstamp: string;
  /**
   * Only where `ifChanged` was asked for: whether anything changed. A lone set that changed nothing has the versionstamp of the entry that
   * is there.
   */
  readonly changed?: boolean;
}

/** A check that did not hold. */
export interface KvFailedCheck {
  /** Its place among the commit's checks, from 0. */
  readonly index: number;
  readonly key: KvKey;
  /** What the check asked for; `null`: no entry. */
  readonly expected: string | null;
  /** What is there; `null`: no entry. */
  readonly actual: string | null;
}

/** A check did not hold, and nothing was changed. */
export interface KvCommitError {
  readonly ok: false;
  readonly failedChecks: readonly KvFailedCheck[];
}

/** The result that a reply means. Throws the error that it means. */
export function commitResult(reply: Reply, fields: CommitFields): KvCommitResult | KvCommitError {
  switch (reply.status) {
    case ReplyStatus.committed:
      return committed(reply, fields);
    case ReplyStatus.refused:
      return { ok: false, failedChecks: reply.failedChecks.map((failed) => failedCheck(failed, fields)) };
    case ReplyStatus.misuse:
      throw new KvTypeError("KV_INVALID_MUTATION", reply.message);
    case ReplyStatus.storage:
      throw new KvStorageError(reply.message);
    case ReplyStatus.unknown:
      throw new KvUnknownOutcomeError(shardOf(fields));
    case ReplyStatus.queue:
      throw new KvError("KV_CORRUPT", "a commit got the answer of a queue's command");
  }
}

/** A shard that took part. */
function shardOf({ mutations, checks, queue }: CommitFields): number {
  return mutations[0]?.shard ?? checks[0]?.shard ?? queue?.shard ?? 0;
}

function committed(
  reply: Extract<Reply, { status: typeof ReplyStatus.committed }>,
  fields: CommitFields,
): KvCommitResult {
  const versionstamp = readVersionstamp(reply.versionstamp, 0);
  const wasAsked = fields.mutations.some((mutation) => mutation.ifChanged === true);
  return wasAsked ? { ok: true, versionstamp, changed: reply.changed } : { ok: true, versionstamp };
}

function failedCheck({ index, actual }: FailedCheckFields, fields: CommitFields): KvFailedCheck {
  const { key, versionstamp } = fields.checks[index]!;
  return {
    index,
    key: decodeKey(key),
    expected: versionstamp && formatVersionstamp(versionstamp.counter, versionstamp.order),
    actual: actual && readVersionstamp(actual, 0),
  };
}
