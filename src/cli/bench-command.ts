/**
 * Owns the command that measures: a few loops over the public interface, on this machine's disk, on a store, or over the network to a server.
 *
 * It answers "what can I expect here", not "which store is faster": that is the harness `belfry/bench`. Its entries stand under one prefix
 * with a random part and are deleted at the end, also when it is stopped by SIGINT or SIGTERM.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { Command } from "commander";
import { Kv, type KvKey, openKv } from "../index.js";
import { CommandError, ExitCode } from "./command-error.js";
import { examples, type Shared, shared } from "./flags.js";
import { Output, Progress } from "./output.js";
import { type AnyKv, withStore } from "./stores.js";
import { jsonLine, parseInteger, table } from "./texts.js";

/** Operations that are under way together where it says "in flight". */
const IN_FLIGHT = 100;
/** Keys that are written and read. */
const KEYS = 1000;
const MILLISECONDS_MAX = 600_000;

interface BenchFlags extends Shared {
  readonly milliseconds: string;
  readonly valueBytes: string;
}

interface Bench {
  readonly kv: AnyKv;
  readonly prefix: KvKey;
  readonly value: Uint8Array;
  readonly ms: number;
  readonly stop: AbortSignal;
  /** Keys that have to be deleted at the end. */
  readonly written: Set<number>;
}

interface Measured {
  readonly name: string;
  readonly operations: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

export function addBenchCommand(program: Command): void {
  const bench = program
    .command("bench [store]")
    .description(
      "measure writes, reads, lists and watches; without a store, in a new one in the directory for temporary files",
    )
    .option("--milliseconds <n>", "time of each measurement", "1000")
    .option("--value-bytes <n>", "size of a value", "100");
  examples(
    shared(bench),
    "belfry bench",
    'belfry bench ./data                       writes below ["belfry-bench", …], and deletes that',
    "belfry bench http://127.0.0.1:4512 --json",
  ).action(async (store: string | undefined, flags: BenchFlags) => {
    const ms = parseInteger("--milliseconds", flags.milliseconds, 1, MILLISECONDS_MAX);
    const valueBytes = parseInteger("--value-bytes", flags.valueBytes, 0, 1_000_000);
    const run = (kv: AnyKv): Promise<void> => measureAll(kv, ms, valueBytes, new Output(flags.json === true));
    await (store === undefined ? withTemporaryStore(run) : withStore(store, flags, run));
  });
}

/** On a disk, with the durability that a store has where nobody chooses. */
async function withTemporaryStore(use: (kv: Kv) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "belfry-bench-"));
  try {
    await using kv = await openKv(join(directory, "store"));
    await use(kv);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measureAll(kv: AnyKv, ms: number, valueBytes: number, output: Output): Promise<void> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  const bench: Bench = {
    kv,
    prefix: ["belfry-bench", randomUUID()],
    value: new Uint8Array(valueBytes).fill(7),
    ms,
    stop: stopping.signal,
    written: new Set(),
  };
  const progress = new Progress("measuring", MEASUREMENTS.length);
  const results: Measured[] = [];
  try {
    for (const { name, inFlight, prepare } of MEASUREMENTS) {
      if (stopping.signal.aborted) break;
      await using operation = await prepare(bench);
      results.push({ name, ...(await loop(bench, inFlight, operation.run)) });
      progress.add(1);
      if (output.isJson) await output.write(jsonLine(results.at(-1)));
    }
  } finally {
    progress.end();
    await removeAll(bench);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, stop);
  }
  if (!output.isJson) await output.write(resultsTable(results));
  if (stopping.signal.aborted) throw new CommandError("stopped before the end", ExitCode.failed);
}

interface Operation extends AsyncDisposable {
  readonly run: (turn: number) => Promise<unknown>;
}

interface Measurement {
  readonly name: string;
  readonly inFlight: number;
  readonly prepare: (bench: Bench) => Promise<Operation>;
}

const MEASUREMENTS: readonly Measurement[] = [
  { name: "set, one at a time", inFlight: 1, prepare: async (bench) => plain((turn) => setOne(bench, turn)) },
  {
    name: `set, ${IN_FLIGHT} in flight`,
    inFlight: IN_FLIGHT,
    prepare: async (bench) => plain((turn) => setOne(bench, turn)),
  },
  { name: "get, one at a time", inFlight: 1, prepare: async (bench) => reading(bench) },
  { name: `get, ${IN_FLIGHT} in flight`, inFlight: IN_FLIGHT, prepare: async (bench) => reading(bench) },
  { name: `list of ${IN_FLIGHT}`, inFlight: 1, prepare: async (bench) => listing(bench) },
  { name: "set until its change is heard", inFlight: 1, prepare: async (bench) => hearing(bench) },
];

function plain(run: Operation["run"]): Operation {
  return { run, [Symbol.asyncDispose]: async () => {} };
}

function keyOf({ prefix }: Bench, turn: number): KvKey {
  return [...prefix, turn % KEYS];
}

function setOne(bench: Bench, turn: number): Promise<unknown> {
  bench.written.add(turn % KEYS);
  return bench.kv.set(keyOf(bench, turn), bench.value);
}

function reading(bench: Bench): Operation {
  return plain((turn) => bench.kv.get(keyOf(bench, turn)));
}

async function listing(bench: Bench): Promise<Operation> {
  for (let turn = 0; turn < IN_FLIGHT; turn++) await setOne(bench, turn);
  return plain(async () => {
    const options = { limit: IN_FLIGHT, batchSize: IN_FLIGHT };
    let count = 0;
    for await (const _ of bench.kv.list({ prefix: bench.prefix }, options)) count++;
    if (count !== IN_FLIGHT)
      throw new CommandError(`a list gave ${count} of ${IN_FLIGHT} entries`, ExitCode.failed);
  });
}

/** A key of its own, followed from a moment that is known: what is set after the first progress event is heard. */
async function hearing({ kv, prefix, value }: Bench): Promise<Operation> {
  const key = heardKey(prefix);
  const selector = { key };
  const options = { initial: true };
  const feed = kv instanceof Kv ? kv.changes(selector, options) : kv.changes(selector, options);
  const events = feed[Symbol.asyncIterator]();
  let event = await events.next();
  while (!event.done && event.value.type !== "progress") event = await events.next();
  return {
    run: async () => {
      await kv.set(key, value);
      do event = await events.next();
      while (!event.done && event.value.type === "progress");
    },
    [Symbol.asyncDispose]: async () => {
      await events.return?.(undefined);
    },
  };
}

function heardKey(prefix: KvKey): KvKey {
  return [...prefix, "heard"];
}

/** As many callers as are to be in flight, each of which calls again when it has its answer. */
async function loop(bench: Bench, inFlight: number, run: Operation["run"]): Promise<Omit<Measured, "name">> {
  const latency = createHistogram();
  const startedMs = performance.now();
  const endMs = startedMs + bench.ms;
  let turn = 0;
  const caller = async (): Promise<void> => {
    do {
      const beganMs = performance.now();
      await run(turn++);
      latency.record(Math.max(1, Math.round((performance.now() - beganMs) * 1e6)));
    } while (performance.now() < endMs && !bench.stop.aborted);
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return summary(latency, performance.now() - startedMs);
}

function summary(latency: RecordableHistogram, tookMs: number): Omit<Measured, "name"> {
  const us = (ns: number): number => Math.round(ns / 100) / 10;
  return {
    operations: latency.count,
    perSecond: Math.round((latency.count / tookMs) * 1000),
    p50Us: us(latency.percentile(50)),
    p99Us: us(latency.percentile(99)),
    maxUs: us(latency.max),
  };
}

async function removeAll(bench: Bench): Promise<void> {
  const keys = [heardKey(bench.prefix), ...[...bench.written].map((turn) => keyOf(bench, turn))];
  await Promise.all(keys.map((key) => bench.kv.delete(key)));
}

function resultsTable(results: readonly Measured[]): string {
  const rows = results.map(({ name, perSecond, p50Us, p99Us, maxUs }) => [
    name,
    ...[perSecond, p50Us, p99Us, maxUs].map((number) => number.toLocaleString("en").padStart(9)),
  ]);
  return table(
    [["", ...["a second", "p50 µs", "p99 µs", "max µs"].map((head) => head.padStart(9))], ...rows],
    Number.POSITIVE_INFINITY,
  );
}
