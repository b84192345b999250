/**
 * Owns how far the job is, as numbers, at any moment.
 */
import { CHANGES_PER_FLIGHT } from "./history.js";
import type { Observers } from "./observers.js";
import type { Replay } from "./replay.js";
import type { Timings, WatchLatency } from "./timings.js";

/** One moment. Rates are those since the moment before. */
export interface ProgressMoment {
  readonly elapsedMs: number;
  readonly commits: number;
  readonly commitsPerSecond: number;
  readonly writesPerSecond: number;
  readonly changesPerSecond: number;
  /** Changes that were acknowledged and that the watcher has not heard yet. */
  readonly lag: number;
  readonly slowLag: number;
  readonly slowState: string;
  readonly latency: WatchLatency;
}

export class Progress {
  readonly replay: Replay;
  readonly observers: Observers;
  readonly timings: Timings;
  readonly flightCount: number;
  readonly #startMs = performance.now();
  #before = { atMs: this.#startMs, commits: 0, heard: 0 };
  #slowLagMax = 0;

  constructor(replay: Replay, observers: Observers, timings: Timings, flightCount: number) {
    this.replay = replay;
    this.observers = observers;
    this.timings = timings;
    this.flightCount = flightCount;
  }

  /** The longest lag of the slow reader at any moment that was asked for, in changes. */
  get slowLagMax(): number {
    return this.#slowLagMax;
  }

  /** The current moment. */
  moment(): ProgressMoment {
    const now = {
      atMs: performance.now(),
      commits: this.replay.acknowledgedCount,
      heard: this.observers.heardCount,
    };
    const perSecond = 1000 / Math.max(1, now.atMs - this.#before.atMs);
    const commitsPerSecond = (now.commits - this.#before.commits) * perSecond;
    const changesPerSecond = (now.heard - this.#before.heard) * perSecond;
    this.#before = now;
    const slowLag = this.#lag(this.observers.slow.changes.length);
    this.#slowLagMax = Math.max(this.#slowLagMax, slowLag);
    return {
      elapsedMs: now.atMs - this.#startMs,
      commits: now.commits,
      commitsPerSecond,
      writesPerSecond: commitsPerSecond * CHANGES_PER_FLIGHT,
      changesPerSecond,
      lag: this.#lag(this.observers.everything.changes.length),
      slowLag,
      slowState: this.observers.slow.state,
      latency: this.timings.recent(),
    };
  }

  #lag(heard: number): number {
    return Math.max(0, this.replay.acknowledgedCount * CHANGES_PER_FLIGHT - heard);
  }
}
