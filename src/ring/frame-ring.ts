/**
 * Owns the frame ring: the shared memory in which one thread hands frames to one other, in order. Request rings and reply rings
 * are frame rings. The producer runs in the thread that asks (or answers), the consumer in the thread that is asked.
 *
 * Unlike the change ring, nothing is ever overwritten here: a full ring is the producer's news, and it decides what to do.
 *
 * The consumer has two words. TAKEN says which frames it has begun to work on, HEAD which it is done with. A consumer that dies leaves
 * frames between them, and its successor can tell "not started" (behind TAKEN) from "nobody knows" (before it).
 *
 * Invariants:
 * 1. HEAD <= TAKEN <= TAIL <= HEAD + capacity.
 * 2. The producer alone writes TAIL and the bytes of [TAIL, HEAD + capacity); the consumer alone writes HEAD and TAKEN, and
 *    reads the bytes of [HEAD, TAIL).
 * 3. A frame is never split over the wrap, and TAIL, TAKEN and HEAD are always at the start of a frame or of padding.
 * 4. No frame is worked on before TAKEN stands behind it.
 *
 * It does not wake anybody, does not wait, and does not know what is in a payload.
 */
import { KvCorruptError, KvRangeError } from "../errors.js";
import {
  DATA_OFFSET_BYTES,
  FRAME_HEAD_WORD,
  FRAME_HEADER_BYTES,
  FRAME_TAIL_WORD,
  FRAME_TAKEN_WORD,
  LENGTH_BYTES,
  PADDING_FLAG,
  POSITION_SHIFT,
  RECORD_ALIGNMENT_BYTES,
} from "./layout.js";
import { aligned, capacityOf, createRingMemory } from "./ring-memory.js";

/** Bytes that a new batch has room for; it doubles when it must. */
const BATCH_BYTES_INITIAL = 64 * 1024;

/**
 * New memory of a frame ring.
 *
 * @param capacityBytes Bytes of frames it holds: a power of two.
 * @param startPosition Where the positions begin. Only a test has a reason to choose it: they wrap, and behave the same everywhere.
 * @throws KvRangeError KV_INVALID_OPTION; nothing was allocated.
 */
export function createFrameRing(capacityBytes: number, startPosition = 0): SharedArrayBuffer {
  return createRingMemory(capacityBytes, startPosition, [FRAME_TAIL_WORD, FRAME_HEAD_WORD, FRAME_TAKEN_WORD]);
}

/**
 * The end that writes. A successor on the same memory goes on behind the last published frame; what was reserved and not published
 * is gone.
 */
export class FrameRingProducer {
  /** Largest payload that {@link reserve} takes: with its header it is half of the ring, so it fits behind any padding. */
  readonly frameBytesMax: number;
  /** The ring's data, for the payloads of reserved frames: from the offset that {@link reserve} returned, and until {@link publish}. */
  readonly bytes: Uint8Array;
  /** The same memory as {@link bytes}, with the same offsets. */
  readonly view: DataView;
  readonly #words: Int32Array;
  readonly #capacityBytes: number;
  #published: number;
  #reserved: number;
  /** What HEAD was when it was last loaded. It only moves on, so room that this one shows is there. */
  #head: number;

  constructor(ring: SharedArrayBuffer) {
    this.#capacityBytes = capacityOf(ring);
    this.frameBytesMax = this.#capacityBytes / 2 - FRAME_HEADER_BYTES;
    this.bytes = new Uint8Array(ring, DATA_OFFSET_BYTES, this.#capacityBytes);
    this.view = new DataView(ring, DATA_OFFSET_BYTES, this.#capacityBytes);
    this.#words = new Int32Array(ring, 0, DATA_OFFSET_BYTES / Int32Array.BYTES_PER_ELEMENT);
    // Pairs with no one: the thread that stored it is dead, or it is this one.
    this.#published = Atomics.load(this.#words, FRAME_TAIL_WORD);
    this.#reserved = this.#published;
    this.#head = this.#loadHead();
  }

  /** True when a reserved frame waits for {@link publish}. */
  get hasUnpublished(): boolean {
    return this.#reserved !== this.#published;
  }

  /** Bytes that are neither reserved nor held by frames, in all: a frame takes its header, its padding, and perhaps the rest before the wrap. */
  freeBytes(): number {
    this.#head = this.#loadHead();
    return this.#freeBytes();
  }

  /**
   * Room for one frame behind those reserved before. Its header is written; the payload is the caller's to write, all of it.
   *
   * @param payloadBytes From 0 to {@link frameBytesMax}.
   * @returns Offset of the payload in {@link bytes}; -1 when there is no room now: nothing was reserved, and what was reserved before may be published.
   * @throws KvRangeError KV_LIMIT_EXCEEDED; nothing was reserved.
   */
  reserve(payloadBytes: number): number {
    if (!(payloadBytes >= 0 && payloadBytes <= this.frameBytesMax)) {
      throw new KvRangeError(
        "KV_LIMIT_EXCEEDED",
        `frame payload is ${payloadBytes} bytes, limit ${this.frameBytesMax}`,
      );
    }
    const frameBytes = FRAME_HEADER_BYTES + aligned(payloadBytes);
    const offset = (this.#reserved << POSITION_SHIFT) & (this.#capacityBytes - 1);
    const roomBytes = this.#capacityBytes - offset;
    const paddingBytes = frameBytes > roomBytes ? roomBytes : 0;
    if (!this.#hasRoom(paddingBytes + frameBytes)) return -1;
    if (paddingBytes > 0) this.view.setUint32(offset, PADDING_FLAG | paddingBytes, true);
    this.#reserved = (this.#reserved + ((paddingBytes + frameBytes) >> POSITION_SHIFT)) | 0;
    return this.#writeHeader(paddingBytes > 0 ? 0 : offset, payloadBytes);
  }

  /** Makes every frame reserved so far visible to the consumer, all at once. Their payloads must have been written. */
  publish(): void {
    if (!this.hasUnpublished) return;
    // Pairs with the load of TAIL in FrameRingConsumer: whoever sees it sees the frames.
    Atomics.store(this.#words, FRAME_TAIL_WORD, this.#reserved);
    this.#published = this.#reserved;
  }

  #writeHeader(offset: number, payloadBytes: number): number {
    this.view.setUint32(offset, payloadBytes, true);
    this.view.setUint32(offset + LENGTH_BYTES, 0, true);
    return offset + FRAME_HEADER_BYTES;
  }

  #hasRoom(bytes: number): boolean {
    return bytes <= this.#freeBytes() || bytes <= this.freeBytes();
  }

  #freeBytes(): number {
    return this.#capacityBytes - ((this.#reserved - this.#head) | 0) * RECORD_ALIGNMENT_BYTES;
  }

  #loadHead(): number {
    // Pairs with the store of HEAD in FrameRingConsumer.release: the consumer's reads of that room lie before it.
    return Atomics.load(this.#words, FRAME_HEAD_WORD);
  }
}

/**
 * Frames that were copied out of a ring: payload `i` is `bytes` from `offsets[i]` up to `ends[i]`, at a multiple of 8. Private memory of
 * the thread that made it, kept from batch to batch. `bytes` is another array after it has grown, and is overwritten after `reset`:
 * copy what is kept.
 */
export class FrameBatch {
  /** Start of each payload in `bytes`; `count` of them are valid. */
  readonly offsets: number[] = [];
  /** End of each payload in `bytes`; `count` of them are valid. */
  readonly ends: number[] = [];
  #bytes = new Uint8Array(BATCH_BYTES_INITIAL);
  #usedBytes = 0;
  #count = 0;

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes in use: where the next run of frames will stand. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Forgets all frames and keeps the memory. */
  reset(): void {
    this.#usedBytes = 0;
    this.#count = 0;
  }

  /** Notes a payload. The bytes may follow later, with the run it is in. */
  addPayload(offset: number, end: number): void {
    this.offsets[this.#count] = offset;
    this.ends[this.#count] = end;
    this.#count += 1;
  }

  /** Copies a run of frames behind what is there. */
  appendRun(run: Uint8Array): void {
    const neededBytes = this.#usedBytes + run.byteLength;
    if (neededBytes > this.#bytes.byteLength) this.#grow(neededBytes);
    this.#bytes.set(run, this.#usedBytes);
    this.#usedBytes = neededBytes;
  }

  #grow(neededBytes: number): void {
    let capacityBytes = this.#bytes.byteLength;
    while (capacityBytes < neededBytes) capacityBytes *= 2;
    const grown = new Uint8Array(capacityBytes);
    grown.set(this.#bytes.subarray(0, this.#usedBytes));
    this.#bytes = grown;
  }
}

/** The end that reads. A successor on the same memory first calls {@link abandonTaken}, then goes on with {@link take}. */
export class FrameRingConsumer {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #capacityBytes: number;
  #taken: number;

  constructor(ring: SharedArrayBuffer) {
    this.#capacityBytes = capacityOf(ring);
    this.#words = new Int32Array(ring, 0, DATA_OFFSET_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.#bytes = new Uint8Array(ring, DATA_OFFSET_BYTES, this.#capacityBytes);
    this.#view = new DataView(ring, DATA_OFFSET_BYTES, this.#capacityBytes);
    // Pairs with the store of TAKEN in take, by a predecessor.
    this.#taken = Atomics.load(this.#words, FRAME_TAKEN_WORD);
  }

  /** Bytes of the frames that are published and not taken, headers and padding included. */
  get pendingBytes(): number {
    return ((this.#loadTail() - this.#taken) | 0) * RECORD_ALIGNMENT_BYTES;
  }

  /**
   * Takes the next frames: copies them behind those already in `into`, and says in shared memory that they were taken. Their room in
   * the ring stays occupied until {@link release}.
   *
   * @param maxBytes Most bytes to take, headers included; a first frame that is larger comes alone.
   * @param maxFrames Most frames to take.
   * @returns Frames taken; 0 when there are none.
   * @throws KvCorruptError when the ring holds what no producer writes; nothing was taken.
   */
  take(maxBytes: number, maxFrames: number, into: FrameBatch): number {
    const bounds = boundsOf(into, maxBytes, maxFrames);
    const position = this.#copyFrames(this.#taken, this.#loadTail(), bounds);
    if (position === this.#taken) return 0;
    this.#taken = position;
    // Pairs with the load of TAKEN in a successor's constructor: the frames it counts may have been worked on.
    Atomics.store(this.#words, FRAME_TAKEN_WORD, position);
    return into.count - bounds.countBefore;
  }

  /** Gives the room of all frames taken so far back to the producer. */
  release(): void {
    // Pairs with the load of HEAD in FrameRingProducer: the copying lies before it.
    Atomics.store(this.#words, FRAME_HEAD_WORD, this.#taken);
  }

  /**
   * Shows each frame that was taken and not released, by this consumer or by a dead predecessor, and releases them. Whether they were
   * worked on is unknown. The bytes are a private copy. When `onFrame` throws, nothing is released and a second call shows them all again.
   */
  abandonTaken(onFrame: (bytes: Uint8Array, offset: number, end: number) => void): void {
    // Pairs with the store of HEAD in release, by a predecessor.
    const head = Atomics.load(this.#words, FRAME_HEAD_WORD);
    const into = new FrameBatch();
    this.#copyFrames(head, this.#taken, boundsOf(into, this.#capacityBytes, this.#capacityBytes));
    for (let frame = 0; frame < into.count; frame += 1) {
      onFrame(into.bytes, into.offsets[frame]!, into.ends[frame]!);
    }
    this.release();
  }

  /** Copies frames from position `from` towards `to`, one run (up to the wrap or a bound) at a time; returns where it ended. */
  #copyFrames(from: number, to: number, bounds: BatchBounds): number {
    let position = from;
    while (position !== to) {
      const offset = (position << POSITION_SHIFT) & (this.#capacityBytes - 1);
      const limit = Math.min(offset + ((to - position) | 0) * RECORD_ALIGNMENT_BYTES, this.#capacityBytes);
      const first = this.#sizeAt(offset, limit);
      const advanceBytes = first < 0 ? -first : this.#copyRun(offset, limit, bounds);
      if (advanceBytes === 0) break;
      position = (position + (advanceBytes >> POSITION_SHIFT)) | 0;
    }
    return position;
  }

  /** Copies the frames between two offsets, as far as the bounds and padding allow, in one go; returns the bytes that they take. */
  #copyRun(start: number, limit: number, bounds: BatchBounds): number {
    const { into } = bounds;
    const shift = into.usedBytes - start;
    let end = start;
    while (end < limit && into.count < bounds.countMax) {
      const size = this.#sizeAt(end, limit);
      const isTooMuch = shift + end + size > bounds.usedBytesMax && into.count > bounds.countBefore;
      if (size < 0 || isTooMuch) break;
      const payload = shift + end + FRAME_HEADER_BYTES;
      into.addPayload(payload, payload + this.#view.getUint32(end, true));
      end += size;
    }
    into.appendRun(this.#bytes.subarray(start, end));
    return end - start;
  }

  /** Bytes of the frame at `offset` with its header, or of the padding there as a negative number. It must end before `limit`. */
  #sizeAt(offset: number, limit: number): number {
    const word = this.#view.getUint32(offset, true);
    const isPadding = word >= PADDING_FLAG;
    const size = isPadding ? word - PADDING_FLAG : FRAME_HEADER_BYTES + aligned(word);
    if (size < FRAME_HEADER_BYTES || offset + size > limit) {
      throw new KvCorruptError(
        `frame ring holds a length of ${word} with ${limit - offset} bytes published behind it`,
      );
    }
    return isPadding ? -size : size;
  }

  #loadTail(): number {
    // Pairs with the store of TAIL in FrameRingProducer.publish.
    return Atomics.load(this.#words, FRAME_TAIL_WORD);
  }
}

/** How far a batch may be filled: counts and bytes are those of the whole batch. */
interface BatchBounds {
  readonly into: FrameBatch;
  readonly countBefore: number;
  readonly countMax: number;
  readonly usedBytesMax: number;
}

function boundsOf(into: FrameBatch, maxBytes: number, maxFrames: number): BatchBounds {
  const countBefore = into.count;
  return { into, countBefore, countMax: countBefore + maxFrames, usedBytesMax: into.usedBytes + maxBytes };
}
