/**
 * Owns the ways in which a workload puts load on a store.
 *
 * `closedLoop` asks the next when the last is answered: it measures throughput. `fixedRate` asks at times that were set beforehand, and
 * counts from those times: a store that stands still for a while is charged for all that had to wait (no coordinated omission).
 */
import { LatencyRecorder } from "./latency.js";
import type { Round } from "./workload.js";

export interface ClosedLoop {
  readonly seconds: number;
  /** Steps under way at the same time. */
  readonly inFlight: number;
  /** Operations in one step. Default: 1. */
  readonly operations?: number;
  /** @param number Of the step, from 0. */
  readonly step: (number: number) => unknown;
}

/** Steps between two looks at the clock, where a step takes no time to speak of. */
const STEPS_PER_LOOK = 16;

/** Repeats a step until the time is over. */
export async function closedLoop(loop: ClosedLoop): Promise<Round> {
  const { seconds, inFlight, step, operations = 1 } = loop;
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  const latency = new LatencyRecorder();
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    do {
      const calledMs = performance.now();
      const answer = step(next++);
      // A store that answers at once is not charged for a promise.
      if (isPromise(answer)) await answer;
      done++;
      latency.add((performance.now() - calledMs) * 1000);
    } while (performance.now() < endMs);
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  const elapsedMs = performance.now() - startMs;
  return { operations: done * operations, elapsedMs, latency: latency.toHistogram() };
}

/** Repeats a step that takes nanoseconds to microseconds, and looks at the clock only now and then: no latencies. */
export async function tightLoop(loop: ClosedLoop): Promise<Round> {
  const { seconds, inFlight, step, operations = 1 } = loop;
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    do {
      for (let count = 0; count < STEPS_PER_LOOK; count++) {
        const answer = step(next++);
        if (isPromise(answer)) await answer;
      }
      done += STEPS_PER_LOOK;
    } while (performance.now() < endMs);
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  return { operations: done * operations, elapsedMs: performance.now() - startMs };
}

export interface FixedRate {
  readonly seconds: number;
  readonly perSecond: number;
  /** @param intendedMs When the step was due, on `performance.now`'s clock. */
  readonly step: (number: number, intendedMs: number) => void;
}

/** Starts steps at a fixed rate, whatever has become of the ones before. Resolves when the last has been started. */
export function fixedRate({ seconds, perSecond, step }: FixedRate): Promise<number> {
  const startMs = performance.now();
  const count = Math.max(1, Math.round(seconds * perSecond));
  const intervalMs = 1000 / perSecond;
  let next = 0;
  return new Promise((resolve) => {
    const turn = (): void => {
      const nowMs = performance.now();
      while (next < count && startMs + next * intervalMs <= nowMs) {
        step(next, startMs + next * intervalMs);
        next++;
      }
      if (next >= count) {
        resolve(count);
        return;
      }
      const waitMs = startMs + next * intervalMs - performance.now();
      // Timers come a millisecond late or more; the last part of the way is gone turn by turn.
      if (waitMs > 3) setTimeout(turn, waitMs - 2);
      else setImmediate(turn);
    };
    turn();
  });
}

function isPromise(value: unknown): value is Promise<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as Promise<unknown>).then === "function"
  );
}
