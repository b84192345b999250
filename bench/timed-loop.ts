/**
 * Owns the measuring of asynchronous work on a store: a fixed number of workers that repeat one step until the time is over.
 */
import { spreadOf } from "./percentiles.js";

export interface TimedLoop {
  readonly seconds: number;
  /** Steps under way at the same time. */
  readonly inFlight: number;
  /** @param number Of the step, from 0. */
  readonly step: (number: number) => unknown;
}

export interface TimedResult {
  readonly stepsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const WARMUP_SHARE = 0.25;

/** Runs the loop for a while unmeasured, then measured. Numbers of steps go on from one to the other. */
export async function runTimedLoop(loop: TimedLoop): Promise<TimedResult> {
  const counter = { next: 0 };
  await runFor(loop, loop.seconds * WARMUP_SHARE, counter);
  const { samplesMs, elapsedMs } = await runFor(loop, loop.seconds, counter);
  const { p50, p99 } = spreadOf(samplesMs);
  return { stepsPerSecond: (samplesMs.length / elapsedMs) * 1000, p50Us: p50 * 1000, p99Us: p99 * 1000 };
}

/** At least one step a worker. */
async function runFor(
  { inFlight, step }: TimedLoop,
  seconds: number,
  counter: { next: number },
): Promise<{ samplesMs: number[]; elapsedMs: number }> {
  const samplesMs: number[] = [];
  const startMs = performance.now();
  const work = async (): Promise<void> => {
    do {
      const calledMs = performance.now();
      await step(counter.next++);
      samplesMs.push(performance.now() - calledMs);
    } while (performance.now() - startMs < seconds * 1000);
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  return { samplesMs, elapsedMs: performance.now() - startMs };
}
