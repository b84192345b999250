/**
 * Owns what is made of a message that can't be delivered: when that is the case, and the commit by which it dies. Pure.
 */
import { type CommitFields, MutationType } from "../codec/commit-frame.js";
import { decodeMessage, type MessageFields } from "../codec/queue-message.js";
import { KvCorruptError } from "../errors.js";
import { QUEUE_ERROR_BYTES_MAX, QUEUE_INTERRUPTIONS_MAX } from "../limits.js";
import type { Held } from "./shard-line.js";

/** Why a message is given up. */
export interface CauseOfDeath {
  /** Times that its handler has failed. */
  readonly failures: number;
  /** What it threw the last time, or why it was not called. */
  readonly error: string;
}

/** Stands for a message whose bytes are damaged: it goes to the dead letters, so that it stops nobody. */
const UNREADABLE: MessageFields = {
  encoding: 0,
  value: new Uint8Array(0),
  enqueuedAtMs: 0,
  backoffMs: [],
  keys: [],
};

/** The message in bytes that a store gave. */
export function readMessage(bytes: Uint8Array | undefined): MessageFields {
  if (bytes === undefined) return UNREADABLE;
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (error instanceof KvCorruptError) return UNREADABLE;
    throw error;
  }
}

/** Why a leased message is not to be handled any more; `null` when it is. */
export function reasonNotToHandle({ failures, interruptions }: Held, message: MessageFields): string | null {
  if (message === UNREADABLE) return "its bytes are damaged";
  if (failures > message.backoffMs.length) return `its handler failed ${failures} times`;
  if (interruptions <= QUEUE_INTERRUPTIONS_MAX) return null;
  return `its handling was interrupted ${interruptions} times by the end of a process or thread`;
}

/** The commit that buries a message and writes it under its keys. */
export function burialOf(
  { shard, id }: Held,
  { keys, encoding, value }: MessageFields,
  { failures, error }: CauseOfDeath,
  { holder, shardOf }: { readonly holder: number; readonly shardOf: (key: Uint8Array) => number },
): CommitFields {
  const burial = { id, holder, failures, error: Buffer.from(error).subarray(0, QUEUE_ERROR_BYTES_MAX) };
  return {
    checks: [],
    mutations: keys.map((key) => ({
      type: MutationType.SET,
      shard: shardOf(key),
      key,
      keyKind: 0,
      encoding,
      value,
      expiresAtMs: 0,
    })),
    queue: { shard, enqueues: [], burials: [burial] },
  };
}

/** What is kept, and told, of something that was thrown. */
export function textOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
