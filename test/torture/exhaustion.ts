/**
 * Uses up what there is a fixed number of: snapshots, threads, addresses for the maps of the files. Held: a clear error with its code, what is
 * there stays readable and writable, and there is room again when something is given back.
 */
import { join } from "node:path";
import { type Kv, KvError, openKv, verifyStore } from "../../src/index.js";
import { CALLERS_MAX, SNAPSHOTS_MAX } from "../../src/limits.js";
import { Child } from "../life/child-process.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const SHARDS = 2;

export const exhaustion: Torture = {
  name: "exhaustion",
  about: "more snapshots and threads than there may be, no addresses for the maps of the files",
  breaks: { "lost-entry": "one acknowledged entry is taken away meanwhile" },
  run,
};

interface Counts {
  "snapshots held at once": number;
  "snapshots refused": number;
  "threads refused": number;
  "lacks of addresses": number;
  [what: string]: number;
}

async function run(context: TortureContext): Promise<TortureResult> {
  const tried: Counts = {
    "snapshots held at once": 0,
    "snapshots refused": 0,
    "threads refused": 0,
    "lacks of addresses": 0,
  };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  for (let round = 0; (round === 0 || Date.now() < context.deadlineMs) && broken.length === 0; round++) {
    const path = join(context.directory, `store-${round}`);
    const kv = await openKv(path, { shards: SHARDS, durability: "relaxed" });
    broken.push(...(await exhaustSnapshots(kv, tried, context.breakage)));
    broken.push(...(await exhaustThreads(kv, tried)));
    await kv.set(["row"], 1);
    await kv.close();
    broken.push(...(await exhaustAddresses(path, tried)));
    broken.push(...(await verifyStore(path)).problems.map(({ where, what }) => `${where}: ${what}`));
    ticker.tick(tried);
  }
  return { tried, broken };
}

/** Each snapshot is of another state, so each is a reader of its own in every shard. */
async function exhaustSnapshots(kv: Kv, tried: Counts, breakage: string | null): Promise<string[]> {
  const broken: string[] = [];
  const snapshots = [];
  try {
    for (let n = 0; n <= SNAPSHOTS_MAX; n++) {
      await Promise.all([kv.set(["n", 0], n), kv.set(["n", 1], n)]);
      snapshots.push(await kv.snapshot());
    }
    broken.push(`${snapshots.length} snapshots were open at once`);
  } catch (error) {
    tried["snapshots refused"]++;
    if (codeOf(error) !== "KV_TOO_MANY_SNAPSHOTS")
      broken.push(`too many snapshots are called ${String(error)}`);
  }
  tried["snapshots held at once"] = Math.max(tried["snapshots held at once"], snapshots.length);
  if (breakage === "lost-entry") await kv.delete(["n", 1]);
  for (const place of [0, 1])
    if ((await kv.get(["n", place])).value !== SNAPSHOTS_MAX)
      broken.push(`the newest value is not ${SNAPSHOTS_MAX}`);
  const [many] = await kv.getMany<[number, number]>([
    ["n", 0],
    ["n", 1],
  ]);
  if (many.value !== SNAPSHOTS_MAX) broken.push("a consistent read is not of the newest state");
  await kv.set(["written"], "meanwhile");
  if (kv.getSync(["written"]).value !== "meanwhile") broken.push("what was written meanwhile is not read");
  for (const [n, snapshot] of snapshots.entries()) {
    if (snapshot.get(["n", 0]).value !== n) broken.push(`snapshot ${n} has another state`);
    snapshot.close();
  }
  (await kv.snapshot()).close();
  return broken.slice(0, 5);
}

async function exhaustThreads(kv: Kv, tried: Counts): Promise<string[]> {
  const broken: string[] = [];
  const handles = [];
  try {
    for (let count = 0; count < CALLERS_MAX; count++) handles.push(kv.share());
    broken.push(`${handles.length} threads were let in`);
  } catch (error) {
    tried["threads refused"]++;
    if (codeOf(error) !== "KV_TOO_MANY_THREADS") broken.push(`too many threads are called ${String(error)}`);
  }
  await kv.set(["written"], "by this thread");
  for (const port of handles.flatMap(({ transfer }) => transfer)) port.close();
  return broken;
}

async function exhaustAddresses(path: string, tried: Counts): Promise<string[]> {
  if (process.platform !== "linux") return [];
  const { how, lines, errors } = await new Child("../torture/exhaustion-program.js", [path]).end();
  tried["lacks of addresses"]++;
  if (how !== 0) return [`the process ended with ${String(how)}: ${errors.slice(0, 500)}`];
  return lines.filter((line) => line.startsWith("BROKEN")).map((line) => line.slice(7));
}

function codeOf(error: unknown): string | null {
  return error instanceof KvError ? error.code : null;
}
