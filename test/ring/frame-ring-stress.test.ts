/**
 * A frame ring under real threads: a producer that meets a full ring all the time, and a consumer that now and then dies between take
 * and release and leaves the rest to its successor.
 */
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { createFrameRing, FrameBatch, FrameRingConsumer } from "../../src/ring/frame-ring.js";
import { type FrameStressTask, framePayload } from "./frame-ring-stress-thread.js";

const FRAMES = 1_000_000;

it("hands every frame over once, in order, over a ring that is always full", async () => {
  const ring = createFrameRing(4096, 2 ** 32 - 1000);
  const doorbell = new SharedArrayBuffer(8);
  const workerData: FrameStressTask = { ring, doorbell, frames: FRAMES };
  const worker = new Worker(new URL("./frame-ring-stress-thread.js", import.meta.url), { workerData });
  const ended = new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const { taken, abandoned } = consumeAll(ring, doorbell);
  const refusals = await ended;
  console.log(`${taken} frames taken, ${abandoned} abandoned, ring full ${refusals} times`);
  expect(taken + abandoned).toBe(FRAMES);
  expect(abandoned).toBeGreaterThan(0);
  expect(refusals).toBeGreaterThan(0);
});

/** Throws when a frame is not the next one. Every hundredth batch dies with its consumer. */
function consumeAll(
  ring: SharedArrayBuffer,
  doorbell: SharedArrayBuffer,
): { taken: number; abandoned: number } {
  const bell = new Int32Array(doorbell);
  const batch = new FrameBatch();
  let consumer = new FrameRingConsumer(ring);
  let taken = 0;
  let abandoned = 0;
  const accept = (bytes: Uint8Array, offset: number, end: number) => {
    const expected = framePayload(taken + abandoned);
    const found = bytes.subarray(offset, end);
    if (Buffer.compare(found, expected) !== 0) throw new Error(`frame ${taken + abandoned} is ${found}`);
  };
  for (let round = 0; taken + abandoned < FRAMES; round += 1) {
    const rung = Atomics.load(bell, 0);
    batch.reset();
    const count = consumer.take(1024, 50, batch);
    if (count === 0) {
      Atomics.wait(bell, 0, rung, 100);
    } else if (round % 100 === 99) {
      consumer = new FrameRingConsumer(ring);
      consumer.abandonTaken((bytes, offset, end) => {
        accept(bytes, offset, end);
        abandoned += 1;
      });
    } else {
      for (let frame = 0; frame < count; frame += 1) {
        accept(batch.bytes, batch.offsets[frame]!, batch.ends[frame]!);
        taken += 1;
      }
      consumer.release();
    }
    Atomics.add(bell, 1, 1);
    Atomics.notify(bell, 1);
  }
  return { taken, abandoned };
}
