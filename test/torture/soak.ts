/**
 * Runs a mixed load for as long as wanted, and looks whether anything grows that should not: memory, the files, open descriptors, latency.
 * With `--chart FILE` a chart of it is written there.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Kv, openKv, verifyStore } from "../../src/index.js";
import { PAGE_SIZE_BYTES } from "../../src/limits.js";
import { chartOf, type Series } from "./soak-chart.js";
import { MIB, type Sample, SoakMeter } from "./soak-meter.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const WRITERS = 12;
const KEYS = 5000;
const SHARDS = 2;
/** Samples of a run, whatever its length. */
const SAMPLES = 120;
const LOOK_MS = 250;
/** The last quarter of the run may be above the second by this much: the first is warming up. */
const GROWTH_MAX = 1.5;
/** What the files may have beyond what soak-meter.ts derives: the first extents, the lists of free pages. */
const FILE_SLACK_MIB = 32;
/** Pages that LMDB may leave unused in 1000 transactions; as measured it is half of that. */
const UNUSED_PAGES_MAX = 32;
/** A run of at least this many seconds compacts its store so often, on the way. */
const COMPACTED_SECONDS_MIN = 50;
const COMPACTIONS = 7;
/** A run that is shorter than this many seconds has no quarters to compare. */
const COMPARED_SECONDS_MIN = 0.8;

export const soak: Torture = {
  name: "soak",
  about: "a mixed load for as long as wanted: memory, file size, open descriptors and latency must stay flat",
  breaks: {
    leak: "memory is let grow beside the store",
    bloat: "the files are made large by what nobody counts",
  },
  hasChart: true,
  run,
};

/** What the broken run has leaked at its end, evenly over its time: far above what growth is allowed. */
const LEAK_BYTES = 1200 * MIB;
const BLOAT_VALUES = 10;

async function run(context: TortureContext): Promise<TortureResult> {
  const tried = {
    commits: 0,
    reads: 0,
    "changes heard": 0,
    snapshots: 0,
    "feeds opened and closed": 0,
    compactions: 0,
  };
  const path = join(context.directory, "store");
  const kv = await openKv(path, { shards: SHARDS, durability: "relaxed", history: { bytesMax: 4 * MIB } });
  if (context.breakage === "bloat") await bloat(kv);
  const meter = new SoakMeter(kv, path);
  const leak: Uint8Array[] = [];
  const ticker = new Ticker(context);
  const startedMs = Date.now();
  const looking = setInterval(() => meter.look(), LOOK_MS);
  const sampling = setInterval(
    () => {
      if (context.breakage === "leak")
        leak.push(leaked(leak, (Date.now() - startedMs) / context.seconds / 1000));
      meter.sample();
      ticker.tick(tried);
    },
    (context.seconds * 1000) / SAMPLES,
  );
  const feed = kv.changes({ prefix: [] });
  const following = (async () => {
    for await (const _ of feed) tried["changes heard"]++;
  })();
  const compacting = compact(kv, context, tried, meter);
  await Promise.all(Array.from({ length: WRITERS }, () => load(kv, context, tried, meter)));
  await compacting;
  clearInterval(looking);
  clearInterval(sampling);
  meter.sample();
  const { uncompacted } = meter;
  feed.close();
  await following;
  await kv.close();
  const { samples } = meter;
  if (context.chart !== null) writeFileSync(context.chart, chartOf(seriesOf(samples), context.seconds));
  const { problems, shards } = await verifyStore(path);
  const usedMib = shards.reduce((sum, { usedPages }) => sum + usedPages * PAGE_SIZE_BYTES, 0) / MIB;
  const last = samples.at(-1)!;
  const pinnedMib = Math.max(...samples.map((sample) => sample.pinnedMib));
  return {
    tried,
    seen: {
      "memory at the end (MiB)": last.memoryMib,
      "files at the end (MiB)": last.fileMib,
      "in use of that (MiB)": usedMib,
      "pinned at most (MiB)": pinnedMib,
      "descriptors at the end": last.descriptors,
      "p50 of a commit (ms)": last.p50Ms,
      "p99 of a commit (ms)": last.p99Ms,
    },
    broken: [
      ...problems.map(({ where, what }) => `${where}: ${what}`),
      ...filesOf(last.fileMib, { usedMib, pinnedMib, unusedMib: unusedOf(uncompacted) }),
      ...(context.seconds < COMPARED_SECONDS_MIN ? [] : growthOf(samples)),
    ],
  };
}

/** What has to be leaked next, when so much of the run has gone by: timers come late on a busy machine. */
function leaked(leak: readonly Uint8Array[], share: number): Uint8Array {
  const bytes = leak.reduce((sum, { length }) => sum + length, 0);
  return new Uint8Array(Math.max(0, Math.floor(share * LEAK_BYTES) - bytes)).fill(1);
}

/** Writes much and deletes it: the pages stay in the files. */
async function bloat(kv: Kv): Promise<void> {
  for (let n = 0; n < BLOAT_VALUES; n++) await kv.set(["bloat", n], new Uint8Array(15 * MIB));
  for (let n = 0; n < BLOAT_VALUES; n++) await kv.delete(["bloat", n]);
}

/** Gives back, now and then, what soak-meter.ts says that LMDB leaves unused. */
async function compact(
  kv: Kv,
  { seconds }: TortureContext,
  tried: Record<string, number>,
  meter: SoakMeter,
): Promise<void> {
  if (seconds < COMPACTED_SECONDS_MIN) return;
  for (let left = COMPACTIONS; left > 0; left--) {
    await delay((seconds * 1000) / (COMPACTIONS + 1));
    // The load opens snapshots all the time, and each is let go in the turn in which it was taken.
    await kv.compact();
    meter.noteCompaction();
    tried["compactions"]!++;
  }
}

function unusedOf(transactions: number): number {
  return ((transactions / 1000) * UNUSED_PAGES_MAX * PAGE_SIZE_BYTES) / MIB;
}

async function load(
  kv: Kv,
  { random, seconds }: TortureContext,
  tried: Record<string, number>,
  meter: SoakMeter,
): Promise<void> {
  // From here on: opening a store on a busy machine may take longer than a short run.
  const deadlineMs = Date.now() + seconds * 1000;
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
    meter.noteCommit(performance.now() - startedMs);
  }
}

/** Whether the files are larger than what soak-meter.ts says that they are made of. */
function filesOf(
  fileMib: number,
  parts: { readonly usedMib: number; readonly pinnedMib: number; readonly unusedMib: number },
): string[] {
  const { usedMib, pinnedMib, unusedMib } = parts;
  const boundMib = usedMib + 2 * pinnedMib + unusedMib + FILE_SLACK_MIB;
  // Not a number where the system does not count what is written: then nothing is known.
  if (!(fileMib > boundMib)) return [];
  return [
    `the files have ${fileMib.toFixed(0)} MiB: ${usedMib.toFixed(0)} in use, and at most ${pinnedMib.toFixed(0)} were pinned at once, ${unusedMib.toFixed(0)} may be left unused, which makes ${boundMib.toFixed(0)}`,
  ];
}

/** Which of the curves rise. */
function growthOf(samples: readonly Sample[]): string[] {
  const quarter = Math.floor(samples.length / 4);
  const meanOf = (part: readonly Sample[], of: (sample: Sample) => number) =>
    part.reduce((sum, sample) => sum + of(sample), 0) / part.length;
  const checks: readonly [string, (sample: Sample) => number, number][] = [
    ["memory (MiB)", ({ memoryMib }) => memoryMib, 80],
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
    { name: "memory (MiB)", values: samples.map(({ memoryMib }) => memoryMib) },
    { name: "files (MiB)", values: samples.map(({ fileMib }) => fileMib) },
    { name: "pinned at most (MiB)", values: samples.map(({ pinnedMib }) => pinnedMib) },
    { name: "open descriptors", values: samples.map(({ descriptors }) => descriptors) },
    { name: "commits a second", values: samples.map(({ commitsPerSecond }) => commitsPerSecond) },
    { name: "commit p50 (ms)", values: samples.map(({ p50Ms }) => p50Ms) },
    { name: "commit p99 (ms)", values: samples.map(({ p99Ms }) => p99Ms) },
  ];
}
