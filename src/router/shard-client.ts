/**
 * Owns one caller's way to one shard: the request ring it fills, the reply ring it empties, and the room for replies.
 * Runs on the caller's thread.
 *
 * Invariants
 * 1. A request is sent only when the ring has room for it and the reply ring for its answer; nobody waits in a ring.
 * 2. Frames become visible, and the shard is woken, once for all that was sent in one microtask turn.
 */
import type { MessagePort } from "node:worker_threads";
import { type CommitFields, commitFrameBytes, writeCommitFrame } from "../codec/commit-frame.js";
import { REQUEST_HEADER_BYTES, RequestKind, writeRequestHeader } from "../codec/request-frame.js";
import { REPLY_RING_BYTES, REQUEST_RING_BYTES } from "../limits.js";
import type { Control } from "../ring/control.js";
import {
  createFrameRing,
  type FrameBatch,
  FrameRingConsumer,
  FrameRingProducer,
} from "../ring/frame-ring.js";
import type { PortMessage } from "../shard/boot.js";

/** Frame header and alignment of a reply in its ring. */
const REPLY_OVERHEAD_BYTES = 16;
/** Room that padding before the wrap may take: as much as one reply, and the largest has 1000 failed checks. */
const REPLY_PADDING_BYTES_MAX = 16 * 1024;

/** The memory of one caller's way to one shard. */
export interface CallerRings {
  readonly requests: SharedArrayBuffer;
  readonly replies: SharedArrayBuffer;
}

/** What is asked of a shard: a commit, or (encoded) a command for its queue. */
export type RequestBody = CommitFields | Uint8Array;

export class ShardClient {
  readonly #control: Control;
  readonly #requests: FrameRingProducer;
  readonly #replies: FrameRingConsumer;
  #port: MessagePort | null = null;
  #reservedBytes = 0;

  constructor(
    readonly shard: number,
    control: Control,
    rings: CallerRings,
  ) {
    this.#control = control;
    this.#requests = new FrameRingProducer(rings.requests);
    this.#replies = new FrameRingConsumer(rings.replies);
  }

  /** The shard has a new thread, with a new port. */
  setPort(port: MessagePort): void {
    this.#port?.close();
    this.#port = port;
  }

  close(): void {
    this.#port?.close();
    this.#port = null;
  }

  /** Whether everything that was sent is answered. */
  get isIdle(): boolean {
    return this.#reservedBytes === 0;
  }

  /** Whether the answer of at most `bytes` has room. */
  hasReplyRoom(bytes: number): boolean {
    const roomBytes = REPLY_RING_BYTES - REPLY_PADDING_BYTES_MAX - this.#reservedBytes;
    return bytes + REPLY_OVERHEAD_BYTES <= roomBytes;
  }

  reserveReply(bytes: number): void {
    this.#reservedBytes += bytes + REPLY_OVERHEAD_BYTES;
  }

  releaseReply(bytes: number): void {
    this.#reservedBytes -= bytes + REPLY_OVERHEAD_BYTES;
  }

  /** Writes a request into the ring, or posts it as a parcel when it is a commit that is too large. False: no room now. */
  trySend(requestId: number, body: RequestBody): boolean {
    return body instanceof Uint8Array
      ? this.#trySendCommand(requestId, body)
      : this.#trySendCommit(requestId, body);
  }

  #trySendCommand(requestId: number, command: Uint8Array): boolean {
    const offset = this.#requests.reserve(REQUEST_HEADER_BYTES + command.length);
    if (offset < 0) return false;
    writeRequestHeader(this.#requests.bytes, offset, requestId, RequestKind.queue);
    this.#requests.bytes.set(command, offset + REQUEST_HEADER_BYTES);
    return true;
  }

  #trySendCommit(requestId: number, fields: CommitFields): boolean {
    const frameBytes = commitFrameBytes(fields);
    const inside = REQUEST_HEADER_BYTES + frameBytes <= this.#requests.frameBytesMax;
    const offset = this.#requests.reserve(inside ? REQUEST_HEADER_BYTES + frameBytes : REQUEST_HEADER_BYTES);
    if (offset < 0) return false;
    writeRequestHeader(
      this.#requests.bytes,
      offset,
      requestId,
      inside ? RequestKind.commit : RequestKind.parcel,
    );
    if (inside) writeCommitFrame(this.#requests.bytes, offset + REQUEST_HEADER_BYTES, fields);
    else this.postParcel(requestId, encodeCommit(fields));
    return true;
  }

  /** Posts a commit frame that is too large for a ring. It is there before any frame that is published later. */
  postParcel(requestId: number, frame: Uint8Array): void {
    this.post({ type: "parcel", requestId, frame }, []);
  }

  /** Posts a message to the shard, which reads it when its mail flag is up or a request asks for a parcel. */
  post(message: PortMessage, transfer: readonly MessagePort[]): void {
    this.#port?.postMessage(message, transfer);
  }

  /** Makes what was sent visible and wakes the shard. */
  flush(): void {
    if (!this.#requests.hasUnpublished) return;
    this.#requests.publish();
    this.#control.ringDoorbell(this.shard);
  }

  /** Takes the replies that are there into `batch`, and gives their room back. */
  takeReplies(batch: FrameBatch): number {
    if (this.#replies.pendingBytes === 0) return 0;
    const count = this.#replies.take(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, batch);
    this.#replies.release();
    return count;
  }
}

/** New rings of one caller, a pair for each shard. */
export function createCallerRings(shards: number): CallerRings[] {
  return Array.from({ length: shards }, () => ({
    requests: createFrameRing(REQUEST_RING_BYTES),
    replies: createFrameRing(REPLY_RING_BYTES),
  }));
}

/** A commit frame in bytes of its own. */
export function encodeCommit(fields: CommitFields): Uint8Array {
  const frame = new Uint8Array(commitFrameBytes(fields));
  writeCommitFrame(frame, 0, fields);
  return frame;
}

/** What a waiting request holds in memory. */
export function bodyBytes(body: RequestBody): number {
  if (body instanceof Uint8Array) return body.length + 100;
  const queued = body.queue?.enqueues.reduce((bytes, { message }) => bytes + message.length + 100, 0) ?? 0;
  return body.mutations.reduce(
    (bytes, { key, value }) => bytes + key.length + value.length + 100,
    100 + queued,
  );
}
