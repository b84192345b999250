/**
 * Owns the grammar of a request, from a caller to one shard. Little-endian:
 *
 *   u32 request id · u8 kind · 3 bytes 0 · body
 *   commit: the commit frame (commit-frame.ts)
 *   parcel: nothing; the commit frame is too large for a ring and travels as a parcel of the same request id
 *   queue:  what is asked of the shard's queue (queue-command.ts)
 */
export const RequestKind = { commit: 1, parcel: 2, queue: 3 } as const;
export type RequestKind = (typeof RequestKind)[keyof typeof RequestKind];

export const REQUEST_HEADER_BYTES = 8;

export function writeRequestHeader(
  target: Uint8Array,
  offset: number,
  requestId: number,
  kind: RequestKind,
): void {
  target[offset] = requestId;
  target[offset + 1] = requestId >>> 8;
  target[offset + 2] = requestId >>> 16;
  target[offset + 3] = requestId >>> 24;
  target[offset + 4] = kind;
}

export function readRequestKind(bytes: Uint8Array, offset: number): RequestKind {
  return bytes[offset + 4] as RequestKind;
}
