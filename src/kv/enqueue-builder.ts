/**
 * Owns the making of a message from what a caller enqueues, in the two steps of a commit (commit-builder.ts). Pure but for the clock.
 */
import { checkWriteKey, encodeKey } from "../codec/key.js";
import type { EnqueueFields } from "../codec/queue-frame.js";
import { encodeMessage } from "../codec/queue-message.js";
import { type EncodedValue, encodeAnyValue } from "../codec/value.js";
import { BACKOFF_MS_DEFAULT, checkEnqueueOptions, type KvEnqueueOptions } from "../queue/enqueue-options.js";
import { type CommitContext, type DraftMessage, draftKey, keyOf } from "./commit-builder.js";

export type { DraftMessage };

/** @throws KvTypeError KV_INVALID_OPTION, KV_INVALID_VALUE. */
export function draftEnqueue(value: unknown, options: KvEnqueueOptions | undefined): DraftMessage {
  checkEnqueueOptions(options ?? {});
  return draftMessage(encodeAnyValue(value), options);
}

/** The same for a value that is encoded already, and that can be read back. */
export function draftEncodedEnqueue(value: EncodedValue, options: KvEnqueueOptions): DraftMessage {
  checkEnqueueOptions(options);
  return draftMessage(value, options);
}

function draftMessage(value: DraftMessage["value"], options: KvEnqueueOptions | undefined): DraftMessage {
  return {
    value,
    delayMs: options?.delay ?? 0,
    backoffMs: [...(options?.backoffSchedule ?? BACKOFF_MS_DEFAULT)],
    keys: (options?.keysIfUndelivered ?? []).map((key) =>
      draftKey(() => ({ key: encodeKey(key), keyKind: 0 })),
    ),
  };
}

/** The message of a draft whose value has been read. @throws KvTypeError KV_INVALID_KEY, KV_LIMIT_EXCEEDED (a key). */
export function buildMessage(draft: DraftMessage, context: CommitContext): EnqueueFields {
  const { encoding, bytes } = draft.value as EncodedValue;
  const keys = draft.keys.map((key) => keyOf(key).key);
  keys.forEach(checkWriteKey);
  const { backoffMs, delayMs } = draft;
  const enqueuedAtMs = context.clock.nowMs();
  return { delayMs, message: encodeMessage({ encoding, value: bytes, enqueuedAtMs, backoffMs, keys }) };
}
