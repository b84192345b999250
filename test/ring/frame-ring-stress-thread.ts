/** The producer thread of the frame ring's stress test. Its message is how often the ring was full. */
import { parentPort, workerData } from "node:worker_threads";
import { FrameRingProducer } from "../../src/ring/frame-ring.js";
import { mix } from "./numbered-records.js";

export interface FrameStressTask {
  readonly ring: SharedArrayBuffer;
  /** Word 0: rung by the producer after a publication. Word 1: rung by the consumer after a release. */
  readonly doorbell: SharedArrayBuffer;
  readonly frames: number;
}

/** Payload of frame `number`: 0 to 199 bytes, each of which follows from the number. */
export function framePayload(number: number): Uint8Array {
  const seed = mix(number);
  return new Uint8Array(seed % 200).fill(seed >>> 24);
}

function produce({ ring, doorbell, frames }: FrameStressTask): number {
  const bell = new Int32Array(doorbell);
  const producer = new FrameRingProducer(ring);
  let refusals = 0;
  for (let number = 0; number < frames; ) {
    const released = Atomics.load(bell, 1);
    const payload = framePayload(number);
    const offset = producer.reserve(payload.byteLength);
    if (offset >= 0) {
      producer.bytes.set(payload, offset);
      number += 1;
    }
    if (offset < 0 || number % 7 === 0 || number === frames) {
      producer.publish();
      Atomics.add(bell, 0, 1);
      Atomics.notify(bell, 0);
    }
    if (offset < 0) {
      refusals += 1;
      Atomics.wait(bell, 1, released, 100);
    }
  }
  return refusals;
}

// The test itself imports this file for framePayload, in a thread that was given no task.
const task = workerData as FrameStressTask | null;
if (task?.doorbell !== undefined) parentPort?.postMessage(produce(task));
