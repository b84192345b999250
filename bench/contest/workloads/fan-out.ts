/**
 * Fan-out: many watchers on keys of their own, while writers write those keys as fast as they can; and many watchers on one key.
 */
import { LatencyRecorder } from "../latency.js";
import { closedLoop } from "../load.js";
import type { BenchKey, DurabilityClass, PeerStore } from "../peer.js";
import { stampedValue } from "../sample-data.js";
import { type Facts, RELAXED, type Round, type RoundContext, type Workload } from "../workload.js";
import { quiet, setWatched } from "./watch-latency.js";

const WRITERS = 64;
/** Registering many at a time is what a server does when it starts. */
const REGISTERED_AT_ONCE = 100;
const CROWD = 1000;

export const fanOuts: readonly Workload[] = [
  fanOut(1, ["relaxed", "sync"]),
  fanOut(100, RELAXED),
  fanOut(1000, RELAXED),
  fanOut(10_000, ["relaxed", "sync"]),
  // The peers that were looked at need seconds a round, or gigabytes, for so many.
  { ...fanOut(100_000, RELAXED), peers: ["belfry", "redis"] },
];

function fanOut(watchers: number, durabilities: readonly DurabilityClass[]): Workload {
  return {
    name: `fan-out-${watchers}`,
    group: "watching",
    about: `${watchers.toLocaleString("en-US")} watchers on keys of their own, ${WRITERS} writers of those keys: set called → callback`,
    unit: "deliveries",
    needs: ["watch", "set"],
    durabilities,
    shows: "throughput",
    series: { name: "watchers on keys of their own", at: watchers },
    start: (store) => {
      const crowd = new Crowd(store, watchers, (index) => ["watched", index]);
      return { prepare: () => crowd.register(), round: (context) => crowd.saturate(context) };
    },
  };
}

export const oneKeyCrowd: Workload = {
  name: "one-key-1000",
  group: "watching",
  about: `${CROWD} watchers on one key, one set at a time: set called → all called`,
  unit: "sets",
  needs: ["watch", "set"],
  durabilities: ["relaxed", "sync"],
  shows: "latency",
  start: (store) => {
    const crowd = new Crowd(store, CROWD, () => ["watched", 0]);
    return { prepare: () => crowd.register(), round: (context) => crowd.callAll(context) };
  },
};

/** Watchers of one store, and what they have heard. */
class Crowd {
  readonly #store: PeerStore;
  readonly #size: number;
  readonly #keyOf: (index: number) => BenchKey;
  #onHeard: (value: unknown) => void = () => {};

  constructor(store: PeerStore, size: number, keyOf: (index: number) => BenchKey) {
    this.#store = store;
    this.#size = size;
    this.#keyOf = keyOf;
  }

  async register(): Promise<Facts> {
    const heapBefore = usedBytes();
    const startMs = performance.now();
    for (let first = 0; first < this.#size; first += REGISTERED_AT_ONCE) {
      const count = Math.min(REGISTERED_AT_ONCE, this.#size - first);
      await Promise.all(
        Array.from({ length: count }, (_, index) =>
          this.#store.watch!(this.#keyOf(first + index), (value) => this.#onHeard(value)),
        ),
      );
    }
    const elapsedMs = performance.now() - startMs;
    return {
      "registrations a second": (this.#size * 1000) / elapsedMs,
      "bytes a watcher": (usedBytes() - heapBefore) / this.#size,
    };
  }

  /** Counts what is delivered while the writers write; what comes after that is waited for, and not counted. */
  async saturate({ seconds }: RoundContext): Promise<Round> {
    const latency = new LatencyRecorder();
    let delivered = 0;
    this.#onHeard = (value) => {
      latency.add((performance.now() - (value as { atMs: number }).atMs) * 1000);
      delivered++;
    };
    const step = (number: number): unknown =>
      setWatched(this.#store, this.#keyOf((number * 7919) % this.#size), stampedValue(performance.now()));
    const { elapsedMs } = await closedLoop({ seconds, inFlight: WRITERS, step });
    const operations = delivered;
    await quiet(() => delivered);
    return { operations, elapsedMs, latency: latency.toHistogram() };
  }

  async callAll({ seconds }: RoundContext): Promise<Round> {
    const latency = new LatencyRecorder();
    const startMs = performance.now();
    do {
      const calledMs = performance.now();
      let left = this.#size;
      const all = new Promise<void>((resolve) => {
        this.#onHeard = () => {
          if (--left > 0) return;
          latency.add((performance.now() - calledMs) * 1000);
          resolve();
        };
      });
      await Promise.all([setWatched(this.#store, this.#keyOf(0), stampedValue(calledMs)), all]);
    } while (performance.now() - startMs < seconds * 1000);
    const elapsedMs = performance.now() - startMs;
    return { operations: latency.count, elapsedMs, latency: latency.toHistogram() };
  }
}

/** What the process holds, after a collection where one can be asked for. */
function usedBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
