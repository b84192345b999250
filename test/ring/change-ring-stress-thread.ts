/**
 * One thread of the change ring's stress test: the writer, or a reader that checks what it is given.
 *
 * All records have one size that divides the ring, so there is no padding and the number of records in a gap follows from its bytes.
 */
import { parentPort, workerData } from "node:worker_threads";
import { ChangeRingReader, ChangeRingWriter } from "../../src/ring/change-ring.js";
import { numbersIn, recordBlock } from "./numbered-records.js";

export interface StressTask {
  readonly role: "writer" | "reader";
  readonly ring: SharedArrayBuffer;
  /** One word: readers count themselves in, and the writer adds DONE to it. */
  readonly shared: SharedArrayBuffer;
  readonly durationMs: number;
  /** Iterations of an empty loop after each poll: makes a reader slow. */
  readonly spinAfterPoll?: number;
}

export interface StressReport {
  readonly records: number;
  readonly laps: number;
  readonly lost: number;
  readonly failure: string;
}

const READERS = 2;
const DONE = 1000;
const SIZES = { min: 128, max: 128 };
const BLOCK_RECORDS_MAX = 24;

/** Publishes blocks of one to many records until the time is over. */
function write(task: StressTask): StressReport {
  const state = new Int32Array(task.shared);
  const writer = new ChangeRingWriter(task.ring);
  while (Atomics.load(state, 0) < READERS) Atomics.wait(state, 0, Atomics.load(state, 0), 10);
  const deadline = performance.now() + task.durationMs;
  let records = 0;
  while (performance.now() < deadline) {
    const count = 1 + (records % BLOCK_RECORDS_MAX);
    writer.publish(recordBlock(records, records + count, SIZES));
    records += count;
  }
  Atomics.add(state, 0, DONE);
  return { records, laps: 0, lost: 0, failure: "" };
}

function read(task: StressTask): StressReport {
  const state = new Int32Array(task.shared);
  const reader = new ChangeRingReader(task.ring);
  Atomics.add(state, 0, 1);
  Atomics.notify(state, 0);
  let records = 0;
  let laps = 0;
  let lost = 0;
  for (;;) {
    const isDone = Atomics.load(state, 0) >= DONE;
    const polled = reader.poll(4096);
    if (polled === "empty" && isDone) return { records, laps, lost, failure: "" };
    if (polled === "lapped") {
      const gapStart = reader.position;
      const gapBytes = reader.lostBytes;
      reader.skipTo(gapStart + gapBytes / 8);
      laps += 1;
      lost += gapBytes / SIZES.max;
    } else if (polled !== "empty") {
      for (const number of numbersIn(polled, SIZES)) {
        if (number !== records + lost)
          return { records, laps, lost, failure: `found ${number}, expected ${records + lost}` };
        records += 1;
      }
    }
    for (let spin = task.spinAfterPoll ?? 0; spin > 0; spin -= 1);
  }
}

const task = workerData as StressTask;
parentPort?.postMessage(task.role === "writer" ? write(task) : read(task));
