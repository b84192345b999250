/**
 * Owns the making of a message from what a caller enqueues: validates and encodes. Pure but for the clock.
 */
import { checkWriteKey, encodeKey } from "../codec/key.js";
import type { EnqueueFields } from "../codec/queue-frame.js";
import { encodeMessage } from "../codec/queue-message.js";
import { encodeValue } from "../codec/value.js";
import { KvTypeError } from "../errors.js";
import { BACKOFF_MS_DEFAULT, checkEnqueueOptions, type KvEnqueueOptions } from "../queue/enqueue-options.js";
import type { CommitContext } from "./commit-builder.js";

/** Throws KvTypeError KV_INVALID_OPTION, KV_INVALID_KEY, KV_INVALID_VALUE, KV_LIMIT_EXCEEDED. */
export function buildEnqueue(
  value: unknown,
  options: KvEnqueueOptions | undefined,
  context: CommitContext,
): EnqueueFields {
  const { encoding, bytes } = encodeValue(value);
  return buildEncodedEnqueue(encoding, bytes, options, context);
}

/** The same for a value that is encoded already, and that can be read back. */
export function buildEncodedEnqueue(
  encoding: number,
  bytes: Uint8Array,
  options: KvEnqueueOptions | undefined,
  context: CommitContext,
): EnqueueFields {
  checkEnqueueOptions(options ?? {});
  if (bytes.length > context.valueBytesMax) {
    throw new KvTypeError(
      "KV_LIMIT_EXCEEDED",
      `enqueue payload too large (max ${context.valueBytesMax} bytes)`,
    );
  }
  const keys = (options?.keysIfUndelivered ?? []).map((key) => {
    const encoded = encodeKey(key);
    checkWriteKey(encoded);
    return encoded;
  });
  const message = encodeMessage({
    encoding,
    value: bytes,
    enqueuedAtMs: context.clock.nowMs(),
    backoffMs: options?.backoffSchedule ?? BACKOFF_MS_DEFAULT,
    keys,
  });
  return { delayMs: options?.delay ?? 0, message };
}
