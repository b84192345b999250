/**
 * A change ring under real threads: one writer and two readers, each in a thread of its own, on a ring so small that the slow reader is
 * lapped all the time. The interleaving test knows every schedule of a few records; this one meets the processor.
 */
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { createChangeRing } from "../../src/ring/change-ring.js";
import type { StressReport, StressTask } from "./change-ring-stress-thread.js";

const DURATION_MS = 2000;

function run(task: StressTask): Promise<StressReport> {
  const worker = new Worker(new URL("./change-ring-stress-thread.js", import.meta.url), { workerData: task });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", () => reject(new Error("the thread ended without a report")));
  });
}

it("loses no record in silence, tears none, and reports every lap with its amount", async () => {
  const ring = createChangeRing(16 * 1024, 2 ** 32 - 312 * 16);
  const shared = new SharedArrayBuffer(4);
  const task = { ring, shared, durationMs: DURATION_MS };
  const [written, fast, slow] = await Promise.all([
    run({ ...task, role: "writer" }),
    run({ ...task, role: "reader", spinAfterPoll: 0 }),
    run({ ...task, role: "reader", spinAfterPoll: 20_000 }),
  ]);
  console.log("written", written, "fast reader", fast, "slow reader", slow);
  for (const read of [fast, slow]) {
    expect(read.failure).toBe("");
    expect(read.records).toBeGreaterThan(0);
    expect(read.records + read.lost).toBe(written.records);
  }
  expect(slow.laps).toBeGreaterThan(0);
});
