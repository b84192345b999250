/**
 * Owns when each flight's commit was called, acknowledged, and heard by the watcher of everything. Milliseconds of `performance.now()`.
 */
import { type Spread, spreadOf } from "../percentiles.js";

/** Flights whose times the live view sums up. */
const RECENT_MAX = 2000;

/** How long a watcher's callback came after something, in milliseconds. */
export interface WatchLatency {
  /** After the call of commit. */
  readonly fromCall: Spread;
  /** After the commit's promise resolved. Below 0: the watcher heard of it before the writer did. */
  readonly fromAcknowledgement: Spread;
}

/** When a commit was called and when its promise resolved. In between, readers may or may not see it. */
export interface CommitSpan {
  readonly calledAtMs: number;
  readonly acknowledgedAtMs: number;
}

export class Timings {
  readonly #calledAtMs: Float64Array;
  readonly #acknowledgedAtMs: Float64Array;
  readonly #heardAtMs: Float64Array;
  /** Flights in the order in which they were heard last, as a ring. */
  readonly #recent: number[] = [];
  #heardCount = 0;

  constructor(flightCount: number) {
    this.#calledAtMs = new Float64Array(flightCount).fill(Number.NaN);
    this.#acknowledgedAtMs = new Float64Array(flightCount).fill(Number.NaN);
    this.#heardAtMs = new Float64Array(flightCount).fill(Number.NaN);
  }

  called(flight: number): void {
    this.#calledAtMs[flight] = performance.now();
  }

  acknowledged(flight: number): void {
    this.#acknowledgedAtMs[flight] = performance.now();
  }

  heard(flight: number): void {
    this.#heardAtMs[flight] = performance.now();
    this.#recent[this.#heardCount++ % RECENT_MAX] = flight;
  }

  /** Of the flights that were heard last. */
  recent(): WatchLatency {
    return this.#latencyOf(this.#recent);
  }

  /** Of the flights from `start` up to, without, `end`. */
  between(start: number, end: number): WatchLatency {
    return this.#latencyOf(Array.from({ length: end - start }, (_, index) => start + index));
  }

  /** Of each commit, by its versionstamp. */
  spans(versionstamps: readonly string[]): Map<string, CommitSpan> {
    const spanOf = (flight: number): CommitSpan => ({
      calledAtMs: this.#calledAtMs[flight]!,
      acknowledgedAtMs: this.#acknowledgedAtMs[flight]!,
    });
    return new Map(versionstamps.map((versionstamp, flight) => [versionstamp, spanOf(flight)]));
  }

  #latencyOf(flights: readonly number[]): WatchLatency {
    const since = (times: Float64Array): Spread =>
      spreadOf(
        flights.map((flight) => this.#heardAtMs[flight]! - times[flight]!).filter((ms) => !Number.isNaN(ms)),
      );
    return { fromCall: since(this.#calledAtMs), fromAcknowledgement: since(this.#acknowledgedAtMs) };
  }
}
