/**
 * Runs a mixed load for a long time, and looks whether anything grows that should not: memory, the files, open descriptors, latency. A chart of
 * it is written to `soak.svg` in the working directory when the run is longer than a minute.
 */
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spreadOf } from "../../bench/percentiles.js";
import { type Kv, openKv } from "../../src/index.js";
import { chartOf, type Series } from "./soak-chart.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const WRITERS = 12;
const KEYS = 5000;
const SHARDS = 2;
const MIB = 2 ** 20;
/** Samples of a run, whatever its length. */
const SAMPLES = 60;
const CHART_SECONDS_MIN = 60;
/** The last quarter of the run may be above the second by this much: the first is warming up. */
const GROWTH_MAX = 1.5;

interface Sample {
  readonly rssMib: number;
  readonly fileMib: number;
  readonly descriptors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export const soak: Torture = {
  name: "soak",
  about: "a mixed load for as long as wanted: memory, file size, open descriptors and latency must stay flat",
  breaks: { leak: "memory is let grow beside the store" },
  run,
};

/** What the broken run leaks with each sample: all of them together are far above what growth is allowed. */
const LEAK_BYTES = 32 * MIB;

async function run(context: TortureContext): Promise<TortureResult> {
  const tried = { commits: 0, reads: 0, "changes heard": 0, snapshots: 0, "feeds opened and closed": 0 };
  const path = join(context.directory, "store");
  const kv = await openKv(path, { shards: SHARDS, durability: "relaxed", history: { bytesMax: 4 * MIB } });
  const latencies: number[] = [];
  const samples: Sample[] = [];
  const leak: Uint8Array[] = [];
  const ticker = new Ticker(context);
  const timer = setInterval(
    () => {
      if (context.breakage === "leak") leak.push(new Uint8Array(LEAK_BYTES).fill(1));
      samples.push(sampleOf(path, latencies.splice(0)));
      ticker.tick(tried);
    },
    (context.seconds * 1000) / SAMPLES,
  );
  const feed = kv.changes({ prefix: [] });
  const following = (async () => {
    for await (const _ of feed) tried["changes heard"]++;
  })();
  await Promise.all(Array.from({ length: WRITERS }, () => load(kv, context, tried, latencies)));
  clearInterval(timer);
  samples.push(sampleOf(path, latencies));
  feed.close();
  await following;
  await kv.close();
  if (context.seconds >= CHART_SECONDS_MIN)
    writeFileSync("soak.svg", chartOf(seriesOf(samples), context.seconds));
  const last = samples.at(-1)!;
  return {
    tried,
    seen: {
      "memory at the end (MiB)": last.rssMib,
      "files at the end (MiB)": last.fileMib,
      "descriptors at the end": last.descriptors,
      "p50 of a commit (ms)": last.p50Ms,
      "p99 of a commit (ms)": last.p99Ms,
    },
    broken: context.seconds < 0.8 ? [] : growthOf(samples),
  };
}

async function load(
  kv: Kv,
  { random, deadlineMs }: TortureContext,
  tried: Record<string, number>,
  latencies: number[],
): Promise<void> {
  while (Date.now() < deadlineMs) {
    const key = ["item", random(KEYS)] as const;
    const startedMs = performance.now();
    const dice = random(20);
    if (dice < 8) await kv.set(key, { n: random(1e9), text: "x".repeat(random(400)) });
    else if (dice < 10)
      await kv
        .atomic()
        .set(key, 1)
        .delete(["item", random(KEYS)])
        .sum(["total", random(4)], 1n)
        .commit();
    else if (dice < 12) await kv.set(["fleeting", random(KEYS)], 1, { expireIn: random(3000) });
    else if (dice < 13) await kv.delete(key);
    else if (dice < 19) {
      await kv.getMany([key, ["item", random(KEYS)]]);
      tried["reads"]!++;
      continue;
    } else {
      using snapshot = await kv.snapshot();
      snapshot.get(key);
      kv.changes({ key }).close();
      tried["snapshots"]!++;
      tried["feeds opened and closed"]!++;
      continue;
    }
    tried["commits"]!++;
    latencies.push(performance.now() - startedMs);
  }
}

function sampleOf(path: string, latencies: readonly number[]): Sample {
  const { p50, p99 } = spreadOf(latencies);
  let bytes = 0;
  for (let shard = 0; shard < SHARDS; shard++)
    bytes += statSync(join(path, `shard-00${shard}`, "data.mdb")).size;
  return {
    rssMib: process.memoryUsage().rss / MIB,
    fileMib: bytes / MIB,
    descriptors: process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0,
    p50Ms: Number.isNaN(p50) ? 0 : p50,
    p99Ms: Number.isNaN(p99) ? 0 : p99,
  };
}

/** Which of the curves rise. */
function growthOf(samples: readonly Sample[]): string[] {
  const quarter = Math.floor(samples.length / 4);
  const meanOf = (part: readonly Sample[], of: (sample: Sample) => number) =>
    part.reduce((sum, sample) => sum + of(sample), 0) / part.length;
  const checks: readonly [string, (sample: Sample) => number, number][] = [
    ["memory (MiB)", ({ rssMib }) => rssMib, 60],
    ["file size (MiB)", ({ fileMib }) => fileMib, 16],
    ["open descriptors", ({ descriptors }) => descriptors, 8],
    ["median latency (ms)", ({ p50Ms }) => p50Ms, 20],
  ];
  return checks.flatMap(([what, of, slack]) => {
    const before = meanOf(samples.slice(quarter, 2 * quarter), of);
    const after = meanOf(samples.slice(-quarter), of);
    if (after <= before * GROWTH_MAX + slack) return [];
    return [
      `${what} grew from ${before.toFixed(1)} in the second quarter to ${after.toFixed(1)} in the last`,
    ];
  });
}

function seriesOf(samples: readonly Sample[]): Series[] {
  return [
    { name: "memory (MiB)", values: samples.map(({ rssMib }) => rssMib) },
    { name: "files (MiB)", values: samples.map(({ fileMib }) => fileMib) },
    { name: "open descriptors", values: samples.map(({ descriptors }) => descriptors) },
    { name: "commit p50 (ms)", values: samples.map(({ p50Ms }) => p50Ms) },
    { name: "commit p99 (ms)", values: samples.map(({ p99Ms }) => p99Ms) },
  ];
}
