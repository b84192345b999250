/**
 * Owns the writing of the flights: one atomic commit each, first many at a time, the last ones one by one. The first part shows
 * what the store takes in; the second one how soon a watcher hears when nothing else goes on.
 */
import type { Kv } from "../../src/index.js";
import { arrivedKey, departedKey, type Flight, flightKey } from "./flight.js";
import type { Timings } from "./timings.js";

/** Share of the flights that are written one by one, and their most. */
const SINGLE_SHARE = 0.05;
const SINGLE_MAX = 1000;

export interface ReplayOptions {
  readonly flights: readonly Flight[];
  /** Commits that are under way at the same time, at most. */
  readonly inFlightMax: number;
  readonly timings: Timings;
  /** Aborting it ends the replay after the commits under way. */
  readonly signal: AbortSignal | undefined;
}

export class Replay {
  /** Versionstamp of each flight's commit, once it is acknowledged. */
  readonly versionstamps: string[] = [];
  /** Flights before this one are written many at a time. */
  readonly singleFrom: number;
  readonly #kv: Kv;
  readonly #options: ReplayOptions;
  #acknowledgedCount = 0;
  #next = 0;
  #bulkMs = 0;

  constructor(kv: Kv, options: ReplayOptions) {
    this.#kv = kv;
    this.#options = options;
    const { length } = options.flights;
    this.singleFrom = length - Math.min(SINGLE_MAX, Math.ceil(length * SINGLE_SHARE));
  }

  get acknowledgedCount(): number {
    return this.#acknowledgedCount;
  }

  /** Time that the flights took that were written many at a time. */
  get bulkMs(): number {
    return this.#bulkMs;
  }

  /**
   * Writes the first part, many at a time.
   *
   * @throws what a commit throws, or the signal's reason.
   */
  async writeBulk(): Promise<void> {
    const startMs = performance.now();
    const writers = Array.from({ length: this.#options.inFlightMax }, () => this.#writeUpTo(this.singleFrom));
    await Promise.all(writers);
    this.#bulkMs = performance.now() - startMs;
  }

  /** Writes the rest, one by one. Throws as {@link writeBulk}. */
  async writeSingle(): Promise<void> {
    await this.#writeUpTo(this.#options.flights.length);
  }

  async #writeUpTo(end: number): Promise<void> {
    while (this.#next < end) {
      this.#options.signal?.throwIfAborted();
      await this.#write(this.#next++);
    }
  }

  async #write(number: number): Promise<void> {
    const { flights, timings } = this.#options;
    const flight = flights[number]!;
    const operation = this.#kv
      .atomic()
      .set(flightKey(flight, number), flight)
      .sum(departedKey(flight.origin), 1n)
      .sum(arrivedKey(flight.destination), 1n);
    timings.called(number);
    const result = await operation.commit();
    timings.acknowledged(number);
    if (!result.ok) throw new Error(`commit of flight ${number} has no checks, but one failed`);
    this.versionstamps[number] = result.versionstamp;
    this.#acknowledgedCount++;
  }
}
