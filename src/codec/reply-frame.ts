/**
 * Owns the grammar of answers, from a shard to the caller that asked. Little-endian:
 *
 *   u32 request id · u8 status · body
 *   committed: versionstamp, 10 bytes · u8 1 if anything changed
 *   refused:   u16 count, then for each failed check: u16 index, u8 1 if there is an entry, its versionstamp (10 bytes)
 *   misuse, storage: the message in UTF-8
 *   unknown:   nothing
 */
import { putBytes, putU32 } from "./little-endian.js";
import { VERSIONSTAMP_BYTES } from "./versionstamp.js";

export const ReplyStatus = { committed: 1, refused: 2, misuse: 3, storage: 4, unknown: 5 } as const;
export type ReplyStatus = (typeof ReplyStatus)[keyof typeof ReplyStatus];

/** A check that did not hold. `actual` is the entry's versionstamp, 10 bytes; `null` where there is none. */
export interface FailedCheckFields {
  readonly index: number;
  readonly actual: Uint8Array | null;
}

export type Reply =
  | {
      readonly status: typeof ReplyStatus.committed;
      readonly versionstamp: Uint8Array;
      readonly changed: boolean;
    }
  | { readonly status: typeof ReplyStatus.refused; readonly failedChecks: readonly FailedCheckFields[] }
  | { readonly status: typeof ReplyStatus.misuse | typeof ReplyStatus.storage; readonly message: string }
  | { readonly status: typeof ReplyStatus.unknown };

const HEADER_BYTES = 5;
const FAILED_CHECK_BYTES = 3 + VERSIONSTAMP_BYTES;
/** Longer messages are cut, so that the room for a reply is known before the question is asked. */
const MESSAGE_BYTES_MAX = 240;

/** The most bytes that the answer to a commit with `checks` checks may take. */
export function replyBytesMax(checks: number): number {
  return HEADER_BYTES + Math.max(MESSAGE_BYTES_MAX, 2 + checks * FAILED_CHECK_BYTES);
}

/** Bytes of the answer to a commit that was made. */
export const COMMITTED_REPLY_BYTES = HEADER_BYTES + VERSIONSTAMP_BYTES + 1;

/** Writes the answer to a commit that was made. Hot path: once for every write. There is room for {@link COMMITTED_REPLY_BYTES}. */
export function writeCommittedReply(
  target: Uint8Array,
  offset: number,
  requestId: number,
  reply: Extract<Reply, { status: typeof ReplyStatus.committed }>,
): void {
  putU32(target, offset, requestId);
  target[offset + 4] = ReplyStatus.committed;
  putBytes(target, offset + HEADER_BYTES, reply.versionstamp);
  target[offset + HEADER_BYTES + VERSIONSTAMP_BYTES] = reply.changed ? 1 : 0;
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
  }
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
  const start = offset + HEADER_BYTES;
  if (status === ReplyStatus.committed) {
    const versionstamp = new Uint8Array(VERSIONSTAMP_BYTES);
    for (let index = 0; index < VERSIONSTAMP_BYTES; index++) versionstamp[index] = bytes[start + index]!;
    return { status, versionstamp, changed: bytes[start + VERSIONSTAMP_BYTES] === 1 };
  }
  const body = bytes.slice(start, end);
  switch (status) {
    case ReplyStatus.refused:
      return { status, failedChecks: decodeFailedChecks(body) };
    case ReplyStatus.misuse:
    case ReplyStatus.storage:
      return { status, message: new TextDecoder().decode(body) };
    case ReplyStatus.unknown:
      return { status };
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
