/** The frame ring: requests and replies, handed over in one thread, so without the cost of waking anybody. */
import {
  createFrameRing,
  FrameBatch,
  FrameRingConsumer,
  FrameRingProducer,
} from "../../src/ring/frame-ring.js";
import { measureSmall } from "./measure.js";
import type { SmallWorkload } from "./workload.js";

const RING_BYTES = 1024 * 1024;
const FRAME_BYTES = 200;
const FRAMES_PER_BATCH = 64;
const TAKE_BYTES_MAX = 256 * 1024;

export const frameRing: SmallWorkload = {
  name: "frame-ring",
  about: "hand over frames of 200 bytes, one at a time and in batches",
  run: (seconds) => {
    const ring = createFrameRing(RING_BYTES);
    const producer = new FrameRingProducer(ring);
    const consumer = new FrameRingConsumer(ring);
    const payload = new Uint8Array(FRAME_BYTES).fill(7);
    const batch = new FrameBatch();
    const handOver = (frames: number) => () => {
      for (let index = 0; index < frames; index++) {
        producer.bytes.set(payload, producer.reserve(FRAME_BYTES));
      }
      producer.publish();
      batch.reset();
      const taken = consumer.take(TAKE_BYTES_MAX, frames, batch);
      consumer.release();
      return taken;
    };
    const tasks = [1, FRAMES_PER_BATCH].map((frames) => ({
      name: `hand over ${frames} frame${frames === 1 ? "" : "s"}`,
      unit: "frames",
      call: handOver(frames),
      operations: frames,
    }));
    return measureSmall(tasks, seconds);
  },
};
