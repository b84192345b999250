/**
 * Owns the grammar of answers, from a shard to the caller that asked. Little-endian:
 *
 *   u32 request id · u8 status · body
 *   committed: versionstamp, 10 bytes · u8 1 if anything changed
 *   refused:   u16 count, then for each failed check: u16 index, u8 1 if there is an entry, its versionstamp (10 bytes)
 *   misuse, storage: the message in UTF-8
 *   unknown:   nothing
 *   queue:     u16 messages that the command was about and that were there, then for each leased message: its id (12 bytes), u8 times
 *              that its handler has failed, u8 times that its handling was interrupted
 */
import { MESSAGE_ID_BYTES } from "./queue-message.js";
import { VERSIONSTAMP_BYTES } from "./versionstamp.js";

export const ReplyStatus = { committed: 1, refused: 2, misuse: 3, storage: 4, unknown: 5, queue: 6 } as const;
export type ReplyStatus = (typeof ReplyStatus)[keyof typeof ReplyStatus];

/** A check that did not hold. `actual` is the entry's versionstamp, 10 bytes; `null` where there is none. */
export interface FailedCheckFields {
  readonly index: number;
  readonly actual: Uint8Array | null;
}

/** A message that the caller has the lease of now. */
export interface LeaseFields {
  readonly id: Uint8Array;
  /** Times that a handler of it has thrown. */
  readonly failures: number;
  /** Times that nobody knows how its handling ended. */
  readonly interruptions: number;
}

export type Reply =
  | {
      readonly status: typeof ReplyStatus.committed;
      readonly versionstamp: Uint8Array;
      readonly changed: boolean;
    }
  | { readonly status: typeof ReplyStatus.refused; readonly failedChecks: readonly FailedCheckFields[] }
  | { readonly status: typeof ReplyStatus.misuse | typeof ReplyStatus.storage; readonly message: string }
  | {
      readonly status: typeof ReplyStatus.queue;
      readonly count: number;
      readonly leases: readonly LeaseFields[];
    }
  | { readonly status: typeof ReplyStatus.unknown };

const HEADER_BYTES = 5;
const FAILED_CHECK_BYTES = 3 + VERSIONSTAMP_BYTES;
const LEASE_BYTES = MESSAGE_ID_BYTES + 2;
/** Longer messages are cut, so that the room for a reply is known before the question is asked. */
const MESSAGE_BYTES_MAX = 240;

/** The most bytes that the answer to a commit with `checks` checks may take. */
export function replyBytesMax(checks: number): number {
  return HEADER_BYTES + Math.max(MESSAGE_BYTES_MAX, 2 + checks * FAILED_CHECK_BYTES);
}

/** The most bytes that the answer to a queue command which leases up to `want` messages may take. */
export function queueReplyBytesMax(want: number): number {
  return HEADER_BYTES + Math.max(MESSAGE_BYTES_MAX, 2 + want * LEASE_BYTES);
}

export function encodeReply(requestId: number, reply: Reply): Uint8Array {
  const body = encodeBody(reply);
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(0, requestId, true);
  bytes[4] = reply.status;
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

function encodeBody(reply: Reply): Uint8Array {
  switch (reply.status) {
    case ReplyStatus.committed:
      return Uint8Array.of(...reply.versionstamp, reply.changed ? 1 : 0);
    case ReplyStatus.refused:
      return encodeFailedChecks(reply.failedChecks);
    case ReplyStatus.misuse:
    case ReplyStatus.storage:
      return Buffer.from(reply.message).subarray(0, MESSAGE_BYTES_MAX);
    case ReplyStatus.unknown:
      return new Uint8Array(0);
    case ReplyStatus.queue:
      return encodeLeases(reply.count, reply.leases);
  }
}

function encodeLeases(count: number, leases: readonly LeaseFields[]): Uint8Array {
  const bytes = new Uint8Array(2 + leases.length * LEASE_BYTES);
  new DataView(bytes.buffer).setUint16(0, count, true);
  leases.forEach(({ id, failures, interruptions }, position) => {
    const offset = 2 + position * LEASE_BYTES;
    bytes.set(id, offset);
    bytes[offset + MESSAGE_ID_BYTES] = failures;
    bytes[offset + MESSAGE_ID_BYTES + 1] = interruptions;
  });
  return bytes;
}

function decodeLeases(body: Uint8Array): LeaseFields[] {
  return Array.from({ length: Math.floor((body.length - 2) / LEASE_BYTES) }, (_, position) => {
    const offset = 2 + position * LEASE_BYTES;
    const failures = body[offset + MESSAGE_ID_BYTES]!;
    const interruptions = body[offset + MESSAGE_ID_BYTES + 1]!;
    return { id: body.slice(offset, offset + MESSAGE_ID_BYTES), failures, interruptions };
  });
}

function encodeFailedChecks(failedChecks: readonly FailedCheckFields[]): Uint8Array {
  const bytes = new Uint8Array(2 + failedChecks.length * FAILED_CHECK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, failedChecks.length, true);
  failedChecks.forEach(({ index, actual }, position) => {
    const offset = 2 + position * FAILED_CHECK_BYTES;
    view.setUint16(offset, index, true);
    if (actual === null) return;
    bytes[offset + 2] = 1;
    bytes.set(actual, offset + 3);
  });
  return bytes;
}

export function readRequestId(bytes: Uint8Array, offset: number): number {
  return (
    (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>>
    0
  );
}

/** The reply in `bytes[offset, end)`. Its arrays are private copies. */
export function decodeReply(bytes: Uint8Array, offset: number, end: number): Reply {
  const status = bytes[offset + 4] as ReplyStatus;
  const body = bytes.slice(offset + HEADER_BYTES, end);
  switch (status) {
    case ReplyStatus.committed:
      return {
        status,
        versionstamp: body.slice(0, VERSIONSTAMP_BYTES),
        changed: body[VERSIONSTAMP_BYTES] === 1,
      };
    case ReplyStatus.refused:
      return { status, failedChecks: decodeFailedChecks(body) };
    case ReplyStatus.misuse:
    case ReplyStatus.storage:
      return { status, message: new TextDecoder().decode(body) };
    case ReplyStatus.unknown:
      return { status };
    case ReplyStatus.queue:
      return { status, count: body[0]! | (body[1]! << 8), leases: decodeLeases(body) };
  }
}

function decodeFailedChecks(body: Uint8Array): FailedCheckFields[] {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  return Array.from({ length: view.getUint16(0, true) }, (_, position) => {
    const offset = 2 + position * FAILED_CHECK_BYTES;
    const stamp = body.slice(offset + 3, offset + 3 + VERSIONSTAMP_BYTES);
    return { index: view.getUint16(offset, true), actual: body[offset + 2] === 1 ? stamp : null };
  });
}
