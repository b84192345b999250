/**
 * Owns the course of the main job: open, watch, write, judge, close, reopen, judge again.
 */
import { join } from "node:path";
import { type Kv, openKv } from "../../src/index.js";
import { withTemporaryDirectory } from "../temporary-directory.js";
import type { Check } from "./check.js";
import { verifyFeeds } from "./feed-verification.js";
import { flightNumber, loadFlights } from "./flight.js";
import { CHANGES_PER_FLIGHT, type History, historyOf } from "./history.js";
import { verifyLevelWatch } from "./level-verification.js";
import { type FeedObservation, Observers } from "./observers.js";
import type { FlightsOptions } from "./options.js";
import { Progress } from "./progress.js";
import { Replay } from "./replay.js";
import { type FlightsReport, makeReport } from "./report.js";
import { verifyCounters, verifyEntries, verifyLists } from "./store-verification.js";
import { Timings } from "./timings.js";

/** Time that watchers have to hear what was acknowledged, in milliseconds. */
const SETTLE_MS_MAX = 10_000;

export interface MainJobHooks {
  /** Called once, before the first flight is written. */
  readonly onStart?: (progress: Progress) => void;
  /** Called when the last flight is written and heard. */
  readonly onWritten?: () => void;
  readonly signal?: AbortSignal;
  /** Stands between what was heard and its judgement. A test breaks things here, to see that the judgement finds it. */
  readonly tamper?: (observations: readonly FeedObservation[]) => readonly FeedObservation[];
}

/** Does the whole job. Rejects only when it could not be finished; what does not hold is in the report. */
export function runMainJob(options: FlightsOptions, hooks: MainJobHooks = {}): Promise<FlightsReport> {
  const { keepPath } = options;
  if (keepPath !== undefined) return replayInto(keepPath, options, hooks);
  return withTemporaryDirectory((path) => replayInto(join(path, "store"), options, hooks));
}

async function replayInto(
  path: string,
  options: FlightsOptions,
  hooks: MainJobHooks,
): Promise<FlightsReport> {
  const startMs = performance.now();
  const flights = loadFlights(options.flightCount);
  const timings = new Timings(flights.length);
  const replay = { flights, timings, inFlightMax: options.inFlightMax, signal: hooks.signal };
  const { progress, history, checks } = await withKv(path, options, async (kv) => {
    const observers = new Observers(kv, flights, ({ key }) => {
      const number = flightNumber(key);
      if (number !== undefined) timings.heard(number);
    });
    const progress = new Progress(new Replay(kv, replay), observers, timings, flights.length);
    await write(progress, hooks);
    const history = historyOf(flights, progress.replay.versionstamps);
    const checks = [await verifyCounters(kv, flights), await verifyLists(kv, flights)];
    return { progress, history, checks };
  });
  await progress.observers.ended();
  const watchChecks = judgeWatchers(progress, history, hooks);
  const reopened = await withKv(path, { durability: options.durability }, (kv) => verifyEntries(kv, history));
  const totalMs = performance.now() - startMs;
  return makeReport({ options, progress, totalMs, checks: [...watchChecks, ...checks, reopened] });
}

async function write(progress: Progress, hooks: MainJobHooks): Promise<void> {
  const { replay, observers } = progress;
  hooks.onStart?.(progress);
  try {
    await replay.writeBulk();
    // Otherwise the latency one by one would be that of a thread which is busy with the slow reader's catching up.
    await observers.settled(replay.singleFrom * CHANGES_PER_FLIGHT, SETTLE_MS_MAX);
    await replay.writeSingle();
    await observers.settled(progress.flightCount * CHANGES_PER_FLIGHT, SETTLE_MS_MAX);
  } finally {
    hooks.onWritten?.();
  }
}

function judgeWatchers(progress: Progress, history: History, hooks: MainJobHooks): Check[] {
  const { observers, replay, timings } = progress;
  const spans = timings.spans(replay.versionstamps);
  const heard = hooks.tamper === undefined ? observers.feeds : hooks.tamper(observers.feeds);
  return [...verifyFeeds(heard, history), verifyLevelWatch(observers.level, history, spans)];
}

async function withKv<T>(
  path: string,
  options: { readonly shards?: number; readonly durability: FlightsOptions["durability"] },
  use: (kv: Kv) => Promise<T>,
): Promise<T> {
  const { durability, shards } = options;
  const kv = await openKv(path, shards === undefined ? { durability } : { durability, shards });
  try {
    return await use(kv);
  } finally {
    await kv.close();
  }
}
