import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createFrameRing,
  FrameBatch,
  FrameRingConsumer,
  FrameRingProducer,
} from "../../src/ring/frame-ring.js";
import {
  DATA_OFFSET_BYTES,
  FRAME_HEAD_WORD,
  FRAME_TAIL_WORD,
  FRAME_TAKEN_WORD,
} from "../../src/ring/layout.js";
import { mix } from "./numbered-records.js";

const KIB = 1024;

function openRing(capacityBytes = KIB, startPosition = 0) {
  const ring = createFrameRing(capacityBytes, startPosition);
  return {
    ring,
    producer: new FrameRingProducer(ring),
    consumer: new FrameRingConsumer(ring),
    batch: new FrameBatch(),
  };
}

/** Payload of frame `number`: every byte follows from the number. */
function payload(number: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => (mix(number) >>> (at & 7)) + at);
}

function offer(producer: FrameRingProducer, bytes: Uint8Array): boolean {
  const offset = producer.reserve(bytes.byteLength);
  if (offset < 0) return false;
  producer.bytes.set(bytes, offset);
  return true;
}

function payloadsOf(batch: FrameBatch): Uint8Array[] {
  return Array.from({ length: batch.count }, (_, frame) =>
    batch.bytes.slice(batch.offsets[frame], batch.ends[frame]),
  );
}

describe("a frame ring", () => {
  it.each([0, 63, 100, 2 ** 31])("refuses a capacity of %d", (capacityBytes) => {
    expect(() => createFrameRing(capacityBytes)).toThrow(RangeError);
  });

  it("writes the bytes that its layout says", () => {
    const { ring, producer, consumer, batch } = openRing(64);
    offer(producer, Uint8Array.of(1, 2, 3));
    producer.publish();
    const words = new Uint32Array(ring);
    expect([words[FRAME_TAIL_WORD], words[FRAME_TAKEN_WORD], words[FRAME_HEAD_WORD]]).toEqual([2, 0, 0]);
    expect([...new Uint8Array(ring, DATA_OFFSET_BYTES, 11)]).toEqual([3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    consumer.take(KIB, 1, batch);
    expect([words[FRAME_TAIL_WORD], words[FRAME_TAKEN_WORD], words[FRAME_HEAD_WORD]]).toEqual([2, 2, 0]);
    consumer.release();
    expect(words[FRAME_HEAD_WORD]).toBe(2);
  });

  it("shows reserved frames only once they are published, all at once", () => {
    const { producer, consumer, batch } = openRing();
    expect(producer.hasUnpublished).toBe(false);
    offer(producer, payload(1, 10));
    offer(producer, payload(2, 0));
    expect(producer.hasUnpublished).toBe(true);
    expect(consumer.take(KIB, 10, batch)).toBe(0);
    producer.publish();
    expect(producer.hasUnpublished).toBe(false);
    expect(consumer.pendingBytes).toBe(32);
    expect(consumer.take(KIB, 10, batch)).toBe(2);
    expect(consumer.pendingBytes).toBe(0);
    expect(payloadsOf(batch)).toEqual([payload(1, 10), payload(2, 0)]);
  });

  it("says -1 when it is full, and has room again after release, not after take", () => {
    const { producer, consumer, batch } = openRing(128);
    while (offer(producer, payload(1, 8)));
    producer.publish();
    expect(producer.freeBytes()).toBe(0);
    expect(producer.reserve(0)).toBe(-1);
    expect(consumer.take(KIB, 3, batch)).toBe(3);
    expect(producer.reserve(0)).toBe(-1);
    consumer.release();
    expect(producer.freeBytes()).toBe(48);
    expect(producer.reserve(40)).toBeGreaterThanOrEqual(0);
  });

  it("takes at most maxFrames and maxBytes, but always the first frame", () => {
    const { producer, consumer, batch } = openRing();
    for (let number = 0; number < 6; number += 1) offer(producer, payload(number, 56));
    producer.publish();
    expect(consumer.take(KIB, 2, batch)).toBe(2);
    expect(consumer.take(130, 10, batch)).toBe(2);
    expect(consumer.take(1, 10, batch)).toBe(1);
    expect(consumer.take(KIB, 0, batch)).toBe(0);
    expect(consumer.take(KIB, 10, batch)).toBe(1);
    expect(payloadsOf(batch)).toEqual([0, 1, 2, 3, 4, 5].map((number) => payload(number, 56)));
    batch.reset();
    expect(batch.count).toBe(0);
  });

  it("copies frames into private memory that the producer can't change", () => {
    const { producer, consumer, batch } = openRing();
    const offset = producer.reserve(8);
    producer.bytes.fill(1, offset, offset + 8);
    producer.publish();
    consumer.take(KIB, 10, batch);
    producer.bytes.fill(2, offset, offset + 8);
    expect(batch.bytes.buffer).toBeInstanceOf(ArrayBuffer);
    expect(payloadsOf(batch)).toEqual([new Uint8Array(8).fill(1)]);
  });

  it("takes the largest frame at every place of the ring", () => {
    for (let start = 0; start < 16; start += 1) {
      const { producer, consumer, batch } = openRing(128, start);
      const largest = payload(start, producer.frameBytesMax);
      expect(offer(producer, largest)).toBe(true);
      producer.publish();
      expect(consumer.take(KIB, 10, batch)).toBe(1);
      expect(payloadsOf(batch)).toEqual([largest]);
    }
  });

  it("refuses a payload above frameBytesMax", () => {
    const { producer } = openRing(128);
    expect(() => producer.reserve(producer.frameBytesMax + 1)).toThrow(/57 bytes, limit 56/);
    expect(() => producer.reserve(-1)).toThrow(RangeError);
    expect(producer.hasUnpublished).toBe(false);
  });

  it("grows a batch and keeps what is in it", () => {
    const { producer, consumer, batch } = openRing(256 * KIB);
    const payloads = [0, 1, 2, 3].map((number) => payload(number, 60 * KIB));
    for (const bytes of payloads) offer(producer, bytes);
    producer.publish();
    while (consumer.take(1, 1, batch) > 0);
    expect(payloadsOf(batch)).toEqual(payloads);
  });

  it("reports bytes that no producer writes", () => {
    const { producer, consumer, batch } = openRing(128);
    const offset = producer.reserve(8);
    producer.publish();
    producer.view.setUint32(offset - 8, 1000, true);
    expect(() => consumer.take(KIB, 10, batch)).toThrow(/length of 1000/);
  });
});

describe("the successor of a dead consumer", () => {
  it("sees what had been taken and not released, then takes the rest", () => {
    const { ring, producer, consumer, batch } = openRing(256);
    for (let number = 0; number < 6; number += 1) offer(producer, payload(number, 20));
    producer.publish();
    consumer.take(KIB, 2, batch);
    consumer.release();
    consumer.take(KIB, 3, batch);
    const successor = new FrameRingConsumer(ring);
    const abandoned: Uint8Array[] = [];
    successor.abandonTaken((bytes, offset, end) => abandoned.push(bytes.slice(offset, end)));
    expect(abandoned).toEqual([2, 3, 4].map((number) => payload(number, 20)));
    expect(producer.freeBytes()).toBe(256 - 32);
    batch.reset();
    expect(successor.take(KIB, 10, batch)).toBe(1);
    expect(payloadsOf(batch)).toEqual([payload(5, 20)]);
  });

  it("sees nothing when everything was released", () => {
    const { ring, producer, consumer, batch } = openRing();
    offer(producer, payload(1, 20));
    producer.publish();
    consumer.take(KIB, 10, batch);
    consumer.release();
    new FrameRingConsumer(ring).abandonTaken(() => expect.unreachable());
  });

  it("sees them again when its first look failed", () => {
    const { ring, producer, consumer, batch } = openRing();
    offer(producer, payload(1, 20));
    producer.publish();
    consumer.take(KIB, 10, batch);
    const successor = new FrameRingConsumer(ring);
    const fail = () => {
      throw new Error("no");
    };
    expect(() => successor.abandonTaken(fail)).toThrow("no");
    const abandoned: number[] = [];
    successor.abandonTaken((_, offset, end) => abandoned.push(end - offset));
    expect(abandoned).toEqual([20]);
  });
});

describe("the successor of a dead producer", () => {
  it("goes on behind what was published and forgets what was only reserved", () => {
    const { ring, producer, consumer, batch } = openRing();
    offer(producer, payload(1, 20));
    producer.publish();
    offer(producer, payload(2, 30));
    const successor = new FrameRingProducer(ring);
    expect(successor.hasUnpublished).toBe(false);
    offer(successor, payload(3, 40));
    successor.publish();
    consumer.take(KIB, 10, batch);
    expect(payloadsOf(batch)).toEqual([payload(1, 20), payload(3, 40)]);
  });
});

describe("a frame ring beside a plain array", () => {
  const reserve = fc.record({ do: fc.constant("reserve" as const), bytes: fc.integer({ min: 0, max: 120 }) });
  const take = fc.record({
    do: fc.constant("take" as const),
    maxBytes: fc.integer({ min: 0, max: 300 }),
    maxFrames: fc.integer({ min: 0, max: 8 }),
  });
  const others = fc
    .constantFrom("publish", "release", "die")
    .map((what) => ({ do: what as "publish" | "release" | "die" }));
  const actions = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: reserve },
      { weight: 2, arbitrary: take },
      { weight: 3, arbitrary: others },
    ),
    {
      maxLength: 150,
    },
  );

  it("hands over what the array holds, in order, once", () => {
    const starts = fc.oneof(fc.constant(0), fc.constant(2 ** 31 - 16), fc.constant(-16), fc.integer());
    fc.assert(
      fc.property(starts, actions, (start, script) => {
        const model = new ModelRing(start);
        for (const action of script) {
          if (action.do === "reserve") model.reserve(action.bytes);
          else if (action.do === "take") model.take(action.maxBytes, action.maxFrames);
          else if (action.do === "publish") model.publish();
          else if (action.do === "release") model.release();
          else model.die();
        }
      }),
      { numRuns: 2000 },
    );
  });
});

/** A ring of 256 bytes, and beside it arrays of the frames in each of their three places. */
class ModelRing {
  readonly #ring: SharedArrayBuffer;
  readonly #producer: FrameRingProducer;
  readonly #batch = new FrameBatch();
  #consumer: FrameRingConsumer;
  #reserved: Uint8Array[] = [];
  #published: Uint8Array[] = [];
  #taken: Uint8Array[] = [];
  #number = 0;

  constructor(start: number) {
    this.#ring = createFrameRing(256, start);
    this.#producer = new FrameRingProducer(this.#ring);
    this.#consumer = new FrameRingConsumer(this.#ring);
  }

  reserve(bytes: number): void {
    const frame = payload(this.#number, bytes);
    this.#number += 1;
    const freeBytes = this.#producer.freeBytes();
    const fits = offer(this.#producer, frame);
    const frames = [...this.#reserved, ...this.#published, ...this.#taken];
    if (fits) this.#reserved.push(frame);
    else expect(frames.length).toBeGreaterThan(0);
    if (freeBytes < bytes + 8) expect(fits).toBe(false);
    if (freeBytes >= 2 * (bytes + 16)) expect(fits).toBe(true);
  }

  publish(): void {
    this.#producer.publish();
    this.#published.push(...this.#reserved);
    this.#reserved = [];
  }

  take(maxBytes: number, maxFrames: number): void {
    this.#batch.reset();
    const count = this.#consumer.take(maxBytes, maxFrames, this.#batch);
    expect(count).toBe(this.#batch.count);
    expect(count).toBeLessThanOrEqual(maxFrames);
    expect(this.#batch.usedBytes <= maxBytes || count === 1).toBe(true);
    if (count === 0) expect(maxFrames === 0 || this.#published.length === 0).toBe(true);
    const taken = this.#published.splice(0, count);
    expect(payloadsOf(this.#batch)).toEqual(taken);
    this.#taken.push(...taken);
  }

  release(): void {
    this.#consumer.release();
    this.#taken = [];
  }

  /** The consumer dies; its successor asks what had been taken. */
  die(): void {
    this.#consumer = new FrameRingConsumer(this.#ring);
    const abandoned: Uint8Array[] = [];
    this.#consumer.abandonTaken((bytes, offset, end) => abandoned.push(bytes.slice(offset, end)));
    expect(abandoned).toEqual(this.#taken);
    this.#taken = [];
  }
}
