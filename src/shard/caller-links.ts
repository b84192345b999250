/**
 * Owns a shard's side of its callers: the request rings it drains, the reply rings it fills, the parcels. Shard thread only.
 *
 * Invariants
 * 1. Requests of one caller are taken in the order in which it sent them.
 * 2. A reply always has room: the caller has reserved it before it asked. A full reply ring is therefore a broken promise.
 * 3. What a dead thread had taken and not released gets the answer "unknown outcome", and nothing else does.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import {
  COMMITTED_REPLY_BYTES,
  encodeReply,
  type Reply,
  ReplyStatus,
  readRequestId,
  writeCommittedReply,
} from "../codec/reply-frame.js";
import type { Control } from "../ring/control.js";
import { type FrameBatch, FrameRingConsumer, FrameRingProducer } from "../ring/frame-ring.js";
import type { CallerLink, PortMessage } from "./boot.js";

/** One caller, as its shard sees it. */
export class AttachedCaller {
  readonly requests: FrameRingConsumer;
  readonly #replies: FrameRingProducer;
  readonly #parcels = new Map<number, Uint8Array>();

  constructor(readonly link: CallerLink) {
    this.requests = new FrameRingConsumer(link.requests);
    this.#replies = new FrameRingProducer(link.replies);
  }

  reply(requestId: number, reply: Reply): void {
    if (reply.status === ReplyStatus.committed) {
      writeCommittedReply(this.#replies.bytes, this.#reserve(COMMITTED_REPLY_BYTES), requestId, reply);
      return;
    }
    const bytes = encodeReply(requestId, reply);
    this.#replies.bytes.set(bytes, this.#reserve(bytes.length));
  }

  #reserve(bytes: number): number {
    const offset = this.#replies.reserve(bytes);
    if (offset < 0) throw new Error(`caller ${this.link.caller} asked without reserving room for the answer`);
    return offset;
  }

  /** Makes the replies visible. Says whether there were any. */
  publishReplies(): boolean {
    if (!this.#replies.hasUnpublished) return false;
    this.#replies.publish();
    return true;
  }

  putParcel(requestId: number, frame: Uint8Array): void {
    this.#parcels.set(requestId, frame);
  }

  takeParcel(requestId: number): Uint8Array | undefined {
    const frame = this.#parcels.get(requestId);
    this.#parcels.delete(requestId);
    return frame;
  }
}

export class CallerLinks {
  readonly #shard: number;
  readonly #control: Control;
  readonly #callers = new Map<number, AttachedCaller>();
  #turn = 0;
  #hasLeft = false;

  constructor(shard: number, control: Control, links: readonly CallerLink[]) {
    this.#shard = shard;
    this.#control = control;
    for (const link of links) this.#attach(link);
  }

  get all(): Iterable<AttachedCaller> {
    return this.#callers.values();
  }

  /** All callers, each time beginning with another one: a batch is bounded, and none of them shall take all of it every time. */
  inTurn(): AttachedCaller[] {
    const callers = [...this.#callers.values()];
    const first = this.#turn++ % Math.max(1, callers.length);
    return [...callers.slice(first), ...callers.slice(0, first)];
  }

  /** Whether a caller has this name now. */
  hasHolder(holder: number): boolean {
    for (const { link } of this.#callers.values()) if (link.holder === holder) return true;
    return false;
  }

  /** Whether a caller has left since this was last asked. */
  takeHasLeft(): boolean {
    const hasLeft = this.#hasLeft;
    this.#hasLeft = false;
    return hasLeft;
  }

  get(caller: number): AttachedCaller | undefined {
    return this.#callers.get(caller);
  }

  /** Reads the ports when the mail flag is up. */
  takeMail(): void {
    if (!this.#control.takeMail(this.#shard)) return;
    for (const caller of [...this.#callers.values()]) this.#readPort(caller);
  }

  /**
   * The frame of a request that travels as a parcel. It was posted before the request, so it is here or on the port; `undefined`
   * when it was posted to a thread that has died.
   */
  parcelOf(caller: AttachedCaller, requestId: number): Uint8Array | undefined {
    this.#readPort(caller);
    return caller.takeParcel(requestId);
  }

  /** Answers what a dead predecessor had begun: nobody knows how it ended. */
  abandonTaken(): void {
    for (const caller of this.#callers.values()) {
      caller.requests.abandonTaken((bytes, offset) => {
        caller.reply(readRequestId(bytes, offset), { status: ReplyStatus.unknown });
      });
    }
    this.publishReplies();
  }

  /** Publishes all replies and rings the bells of those that got some. */
  publishReplies(): void {
    for (const caller of this.#callers.values()) {
      if (caller.publishReplies()) this.#control.ringBell(caller.link.caller);
    }
  }

  /** Bytes of the requests that wait, of all callers. */
  get waitingBytes(): number {
    let bytes = 0;
    for (const { requests } of this.#callers.values()) bytes += requests.pendingBytes;
    return bytes;
  }

  /** Takes requests of one caller into `batch`. */
  take(caller: AttachedCaller, bytesMax: number, framesMax: number, batch: FrameBatch): number {
    return caller.requests.take(bytesMax, framesMax, batch);
  }

  close(): void {
    for (const { link } of this.#callers.values()) link.port.close();
  }

  #readPort(caller: AttachedCaller): void {
    for (;;) {
      const received = receiveMessageOnPort(caller.link.port);
      if (received === undefined) return;
      const message = received.message as PortMessage;
      if (message.type === "parcel") caller.putParcel(message.requestId, message.frame);
      else if (message.type === "attach") this.#attach(message.link);
      else this.#detach(message.caller);
    }
  }

  #detach(caller: number): void {
    this.#callers.get(caller)?.link.port.close();
    this.#callers.delete(caller);
    this.#hasLeft = true;
  }

  #attach(link: CallerLink): void {
    this.#callers.set(link.caller, new AttachedCaller(link));
  }
}
