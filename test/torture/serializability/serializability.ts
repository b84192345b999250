/**
 * Callers in several threads issue gets, getManys, lists, snapshots and commits with checks, sets, deletes and sums on few keys, while shard
 * threads die and the process is killed; the history of all lives of a store is then judged by the checker.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readChangeRecord } from "../../../src/codec/change-record.js";
import { encodeKey, partitionOf } from "../../../src/codec/key.js";
import { decodeValue } from "../../../src/codec/value.js";
import { verifyStore } from "../../../src/index.js";
import { PARTITION_DEPTH_DEFAULT } from "../../../src/limits.js";
import { aligned } from "../../../src/ring/ring-memory.js";
import { shardDirectory } from "../../../src/store/manifest.js";
import { ShardStore } from "../../../src/store/shard-store.js";
import { Child } from "../../life/child-process.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "../torture.js";
import { checkHistory, type LoggedCommit } from "./checker.js";
import { keyOf, readOperations } from "./operation.js";
import type { ProgramOptions } from "./serializability-program.js";

const PROGRAM = "../torture/serializability/serializability-program.js";
/** Long lives: threads that have just started are ten times slower than those whose code has been compiled. */
const LIFE_MS = 15_000;
const LIVES = 3;
/** Of each thread in a life: the history of all lives of a store is judged in one piece, and has to fit into memory. */
const CALLS_MAX = 30_000;

export const serializability: Torture = {
  name: "serializability",
  about:
    "every call of many threads is recorded, and one order must explain all answers; threads die, the process is killed",
  breaks: {
    "cached-read": "callers answer some reads from a cache of their own",
    "split-read": "getMany is several gets, one after the other",
  },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const tried = {
    calls: 0,
    commits: 0,
    "refused commits": 0,
    reads: 0,
    "thread deaths": 0,
    "process kills": 0,
  };
  const seen = {
    rounds: 0,
    "commits of unknown outcome that were made": 0,
    "memory of the judge, at most (MiB)": 0,
  };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  for (let round = 0; (round === 0 || Date.now() < context.deadlineMs) && broken.length === 0; round++) {
    const home = join(context.directory, `round-${round}`);
    const path = join(home, "store");
    const recordings = join(home, "recordings");
    mkdirSync(recordings, { recursive: true });
    const options = optionsOf(context, round);
    for (let life = 0; life < LIVES && (life === 0 || Date.now() < context.deadlineMs); life++) {
      const { isKilled, deaths } = await live(context, path, recordings, String(life), options);
      if (isKilled) tried["process kills"]++;
      tried["thread deaths"] += deaths;
    }
    const operations = readOperations(
      readdirSync(recordings).map((name) => readFileSync(join(recordings, name), "utf8")),
    );
    const verdict = checkHistory(operations, await loggedCommits(path, options.shards), {
      shards: options.shards,
      shardOf: (key) => partitionOf(encodeKey(keyOf(key)), PARTITION_DEPTH_DEFAULT, options.shards),
    });
    tried.calls += operations.length;
    tried.commits += verdict.commits;
    tried["refused commits"] += verdict.refusals;
    tried.reads += verdict.reads;
    seen["commits of unknown outcome that were made"] += verdict.settled;
    seen.rounds++;
    seen["memory of the judge, at most (MiB)"] = Math.max(
      seen["memory of the judge, at most (MiB)"],
      Math.round(process.memoryUsage.rss() / 2 ** 20),
    );
    broken.push(...verdict.broken.map((sentence) => `round ${round}: ${sentence}`));
    const report = await verifyStore(path);
    broken.push(...report.problems.map(({ where, what }) => `round ${round}: ${where}: ${what}`));
    rmSync(home, { recursive: true, force: true });
    ticker.tick(tried);
  }
  return { tried, seen, broken };
}

function optionsOf({ random, seconds, breakage, seed }: TortureContext, round: number): ProgramOptions {
  const shards = [1, 2, 3, 5][random(4)]!;
  const durability = random(2) === 0 ? "sync" : "relaxed";
  return {
    shards,
    threads: 2,
    // With flushes it is them that callers wait for, and they are shared.
    callers: durability === "sync" ? 24 + random(40) : 4 + random(12),
    calls: CALLS_MAX,
    milliseconds: Math.min(LIFE_MS, (seconds * 1000) / LIVES),
    durability,
    seed: seed + round * 1000,
    deaths: round % 3 === 0 ? 0 : shards * 2,
    breakage: breakage as ProgramOptions["breakage"],
  };
}

/** One life of the process. Says whether it was killed, and how many of its shard threads had died. */
async function live(
  { random }: TortureContext,
  path: string,
  recordings: string,
  life: string,
  options: ProgramOptions,
): Promise<{ readonly isKilled: boolean; readonly deaths: number }> {
  const child = new Child(PROGRAM, [
    path,
    recordings,
    life,
    JSON.stringify({ ...options, seed: options.seed + random(1000) }),
  ]);
  await child.saysLine("calling");
  if (random(2) === 0) {
    await child.livesFor(50 + random(options.milliseconds));
    child.kill("SIGKILL");
  } else await child.livesFor(options.milliseconds);
  const end = await child.end();
  if (end.how !== 0 && end.how !== "SIGKILL")
    throw new Error(`the callers' process ended with ${end.how}: ${end.errors}`);
  const deaths = end.lines.filter((line) => line === "died").length;
  return { isKilled: end.how === "SIGKILL", deaths };
}

/** The commits in the change logs: each has set a key to its own number. */
async function loggedCommits(path: string, shards: number): Promise<LoggedCommit[]> {
  const commits = new Map<string, LoggedCommit>();
  for (let shard = 0; shard < shards; shard++) {
    const store = ShardStore.open(shardDirectory(path, shard), "sync");
    for (const row of store.log.read(new Uint8Array(10), Number.POSITIVE_INFINITY)) {
      for (let offset = 0; offset < row.length; ) {
        const record = readChangeRecord(row, offset);
        const id = record.valueLength === 0 ? null : decodeValue(record.encoding, record.value);
        if (typeof id === "string") commits.set(id, { id, versionstamp: record.versionstamp });
        offset += aligned(record.length);
      }
    }
    await store.close();
  }
  return [...commits.values()];
}
