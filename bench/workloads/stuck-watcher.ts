/**
 * What feeds cost that nobody reads: writers' throughput beside a feed that stands still, against none, and the memory of idle feeds.
 *
 * Two stores are measured in turns, and the ratio is of the medians: what else the machine does would decide it otherwise.
 */
import type { ChangeFeed, Kv } from "../../src/index.js";
import { spreadOf } from "../percentiles.js";
import { sampleKey, sampleValue } from "../sample-data.js";
import { runTimedLoop, type TimedResult } from "../timed-loop.js";
import type { Measurement, Workload, WorkloadContext } from "../workload.js";

const IN_FLIGHT = 1000;
const TURNS = 5;
const IDLE_FEEDS = 10_000;

export const stuckWatcher: Workload = {
  name: "stuck-watcher",
  about:
    "sets beside a feed that stands still, and their ratio to sets without one; the memory of idle feeds",
  run: async (context) => [...(await measureSets(context)), await measureIdleFeeds(context)],
};

async function measureSets({ seconds, withStore }: WorkloadContext): Promise<Measurement[]> {
  const free: TimedResult[] = [];
  const beside: TimedResult[] = [];
  await withStore({ durability: "relaxed" }, (without) =>
    withStore({ durability: "relaxed" }, async (stuck) => {
      const feed = stuck.changes({ prefix: [] });
      for (let turn = 0; turn < TURNS; turn++) {
        free.push(await runSets(without, seconds / TURNS));
        beside.push(await runSets(stuck, seconds / TURNS));
      }
      feed.close();
    }),
  );
  const ratio = median(beside).perSecond / median(free).perSecond;
  return [
    { name: "set, 1,000 in flight, no feed", ...median(free) },
    { name: `set, 1,000 in flight, a feed stands still: ${ratio.toFixed(2)} of none`, ...median(beside) },
  ];
}

function runSets(kv: Kv, seconds: number): Promise<TimedResult> {
  const step = (number: number): unknown => kv.set(sampleKey(number), sampleValue(number));
  return runTimedLoop({ seconds, inFlight: IN_FLIGHT, step });
}

function median(results: readonly TimedResult[]): Omit<Measurement, "name"> {
  const of = (pick: (result: TimedResult) => number): number => spreadOf(results.map(pick)).p50;
  return {
    unit: "sets",
    durability: "relaxed",
    perSecond: of(({ stepsPerSecond }) => stepsPerSecond),
    p50Us: of(({ p50Us }) => p50Us),
    p99Us: of(({ p99Us }) => p99Us),
  };
}

function measureIdleFeeds({ withStore }: WorkloadContext): Promise<Measurement> {
  return withStore({ durability: "relaxed" }, async (kv) => {
    const bytesBefore = heapBytes();
    const startMs = performance.now();
    const feeds: ChangeFeed[] = [];
    for (let number = 0; number < IDLE_FEEDS; number++) feeds.push(kv.changes({ key: ["idle", number] }));
    const elapsedMs = performance.now() - startMs;
    const bytes = Math.round((heapBytes() - bytesBefore) / IDLE_FEEDS);
    for (const feed of feeds) feed.close();
    return {
      name: `open a feed, ${bytes} bytes while it is idle`,
      unit: "feeds",
      durability: null,
      perSecond: (IDLE_FEEDS / elapsedMs) * 1000,
      p50Us: null,
      p99Us: null,
    };
  });
}

/** Exact only where garbage can be collected on demand, as `npm run bench` has it. */
function heapBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
