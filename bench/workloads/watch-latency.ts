/** Watch latency: one watcher, one key, one set at a time. From the call of set, and from its acknowledgement, to the watcher's callback. */
import { EventEmitter, once } from "node:events";
import type { Durability, Kv } from "../../src/index.js";
import { spreadOf } from "../percentiles.js";
import { sampleKey, sampleValue } from "../sample-data.js";
import { DURABILITIES, type Measurement, type Workload } from "../workload.js";

const WARMUP_SHARE = 0.25;
/** Few sets, and there is no 99th percentile. */
const SETS_MIN = 20;

interface WatchTimes {
  readonly fromCallMs: number[];
  readonly fromAcknowledgementMs: number[];
}

export const watchLatency: Workload = {
  name: "watch-latency",
  about: "one watcher of one key; times below 0 mean that it heard before the promise of set resolved",
  run: async ({ seconds, withStore }) => {
    const measurements: Measurement[] = [];
    for (const durability of DURABILITIES) {
      const times = await withStore({ durability }, async (kv) => {
        await measure(kv, seconds * WARMUP_SHARE);
        return measure(kv, seconds);
      });
      measurements.push(...measurementsOf(times, durability));
    }
    return measurements;
  },
};

async function measure(kv: Kv, seconds: number): Promise<WatchTimes> {
  const key = sampleKey(0);
  const heard = new EventEmitter();
  const feed = kv.changes({ key });
  const follow = (async () => {
    for await (const _ of feed) heard.emit("change", performance.now());
  })();
  const times: WatchTimes = { fromCallMs: [], fromAcknowledgementMs: [] };
  const endMs = performance.now() + seconds * 1000;
  while (performance.now() < endMs || times.fromCallMs.length < SETS_MIN) {
    const change = once(heard, "change");
    const calledMs = performance.now();
    const acknowledged = kv.set(key, sampleValue(times.fromCallMs.length)).then(() => performance.now());
    const [[heardMs], acknowledgedMs] = await Promise.all([change, acknowledged]);
    times.fromCallMs.push(heardMs - calledMs);
    times.fromAcknowledgementMs.push(heardMs - acknowledgedMs);
  }
  feed.close();
  await follow;
  return times;
}

function measurementsOf(times: WatchTimes, durability: Durability): Measurement[] {
  const perSecond = (times.fromCallMs.length * 1000) / times.fromCallMs.reduce((sum, ms) => sum + ms, 0);
  const line = (name: string, samplesMs: readonly number[]): Measurement => {
    const { p50, p99 } = spreadOf(samplesMs);
    return { name, unit: "changes", durability, perSecond, p50Us: p50 * 1000, p99Us: p99 * 1000 };
  };
  return [
    line("watch: set called → callback", times.fromCallMs),
    line("watch: acknowledged → callback", times.fromAcknowledgementMs),
  ];
}
