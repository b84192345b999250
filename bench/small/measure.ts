/**
 * Owns the measuring of synchronous functions that take nanoseconds. This file alone imports tinybench.
 *
 * The clock itself costs tens of nanoseconds, so each sample is a loop of many calls, or one call of many operations, and the result is divided. It runs a function until the time
 * is over; the time per call is the median over the samples, since a mean would count what else the machine did.
 */
import { Bench } from "tinybench";
import type { SmallResult } from "./workload.js";

const CALLS_PER_SAMPLE = 200;
const WARMUP_SHARE = 0.25;

/** What each function returned last. Somebody who reads the results keeps the compiler from leaving the work out. */
export const sink: { last: unknown } = { last: undefined };

/** A function to measure: its name, what one call does, and the function. */
export interface SmallTask {
  readonly name: string;
  readonly unit: string;
  /** Makes ready for one call, and is not measured. Then a sample is one call, which must take microseconds. */
  readonly prepare?: () => void;
  readonly call: () => unknown;
  /** Operations in one call. Default: 1. */
  readonly operations?: number;
}

/** Measures one after the other, each for `seconds`. */
export async function measureSmall(tasks: readonly SmallTask[], seconds: number): Promise<SmallResult[]> {
  const timeMs = seconds * 1000;
  const bench = new Bench({
    time: timeMs,
    warmupTime: timeMs * WARMUP_SHARE,
    iterations: 5,
    warmupIterations: 2,
  });
  for (const { name, call, prepare } of tasks) {
    if (prepare === undefined) {
      bench.add(name, () => {
        for (let index = 0; index < CALLS_PER_SAMPLE; index++) sink.last = call();
      });
    } else {
      const once = (): void => {
        sink.last = call();
      };
      bench.add(name, once, { beforeEach: prepare });
    }
  }
  await bench.run();
  return tasks.map((task, index) => measurementOf(task, bench.tasks[index]!.result));
}

function measurementOf(task: SmallTask, result: Bench["tasks"][number]["result"]): SmallResult {
  if (result.state !== "completed") {
    const cause = "error" in result ? result.error : undefined;
    throw new Error(`${task.name} ended as ${result.state}`, { cause });
  }
  const calls = task.prepare === undefined ? CALLS_PER_SAMPLE : 1;
  const operations = calls * (task.operations ?? 1);
  const perOperationUs = (sampleMs: number): number => (sampleMs * 1000) / operations;
  return {
    name: task.name,
    unit: task.unit,
    perSecond: 1e6 / perOperationUs(result.latency.p50),
    p50Us: perOperationUs(result.latency.p50),
    p99Us: perOperationUs(result.latency.p99),
  };
}
