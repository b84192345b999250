/**
 * Takes the room, and the permissions away: a small file system of its own, a limit of the size of a file, a data file that
 * can't be written. Held: a clear error with its code, what was acknowledged stays and is readable all the time, writing works again when
 * there is room, and the store is whole afterwards.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Kv, KvError, openKv, verifyStore } from "../../src/index.js";
import { Child } from "../life/child-process.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const DISK_MIB = 12;
const VALUE_BYTES = 30_000;
/** How many commits are refused before there is room again, and how long that may take. */
const REFUSALS = 20;
const FULL_MS_MAX = 8000;
/** What a full disk may be called. */
const CODES = ["KV_STORAGE", "KV_UNKNOWN_OUTCOME"];

export const fullDisk: Torture = {
  name: "full-disk",
  about: "a full disk, files that may not grow, a directory that may not be written",
  breaks: { "lost-entry": "one acknowledged entry is taken away while the disk is full" },
  run,
};

interface Counts {
  "full disks": number;
  "file size limits": number;
  "directories without permission": number;
  "writes refused": number;
  "entries checked": number;
  [what: string]: number;
}

async function run(context: TortureContext): Promise<TortureResult> {
  const tried: Counts = {
    "full disks": 0,
    "file size limits": 0,
    "directories without permission": 0,
    "writes refused": 0,
    "entries checked": 0,
  };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  const disk = mountSmall(join(context.directory, "disk"));
  try {
    for (let round = 0; (round === 0 || Date.now() < context.deadlineMs) && broken.length === 0; round++) {
      const durability = round % 2 === 0 ? "sync" : "relaxed";
      if (disk !== null) broken.push(...(await fillDisk(context, disk, durability, tried)));
      broken.push(...(await limitFiles(context, tried)));
      broken.push(...(await forbid(context, tried)));
      ticker.tick(tried);
    }
  } finally {
    if (disk !== null) execFileSync("umount", ["-l", disk]);
  }
  const seen = { "small file system": disk === null ? "not permitted here" : `tmpfs of ${DISK_MIB} MiB` };
  return { tried, broken, seen };
}

/** A file system in memory; `null` where we may not mount one. */
function mountSmall(path: string): string | null {
  mkdirSync(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "tmpfs", path], { stdio: "pipe" });
    return path;
  } catch {
    // Only root may, and only on Linux; the size limit of a file has to do elsewhere.
    return null;
  }
}

async function fillDisk(
  { breakage, random }: TortureContext,
  disk: string,
  durability: "sync" | "relaxed",
  tried: Counts,
): Promise<string[]> {
  const path = join(disk, "store");
  const ballast = join(disk, "ballast");
  writeFileSync(ballast, new Uint8Array((2 + random(3)) * 2 ** 20));
  const kv = await openKv(path, { shards: 2, durability, history: { bytesMax: 100_000 } });
  const acknowledged = new Map<number, number>();
  const broken: string[] = [];
  const warnings = silenceWarnings();
  let refused = 0;
  // A commit that meets a round which can't be finished waits for seconds before it is refused.
  let untilMs = Number.POSITIVE_INFINITY;
  for (let n = 0; refused < REFUSALS && n < 2000 && Date.now() < untilMs; n++) {
    const error = await write(kv, n, n % 3 === 0 ? 4 : 1, acknowledged);
    if (error === null) continue;
    refused++;
    untilMs = Math.min(untilMs, Date.now() + FULL_MS_MAX);
    if (!CODES.includes(error.code)) broken.push(`a full disk is called ${error.code}: ${error.message}`);
  }
  if (refused === 0) broken.push("the disk was never full");
  tried["writes refused"] += refused;
  broken.push(...(await compare(kv, acknowledged, tried, "while the disk is full")));
  rmSync(ballast);
  if (breakage === "lost-entry") await kv.delete(["row", 0]);
  const after = await until(async () => (await write(kv, 5000, 4, acknowledged)) === null);
  if (!after) broken.push("the store takes no writes though there is room again");
  broken.push(...(await compare(kv, acknowledged, tried, "when there is room again")));
  await kv.close();
  warnings();
  broken.push(...(await verifyStore(path)).problems.map(({ where, what }) => `${where}: ${what}`));
  const again = await openKv(path);
  broken.push(...(await compare(again, acknowledged, tried, "after opening it again")));
  await again.close();
  rmSync(path, { recursive: true });
  tried["full disks"]++;
  return broken;
}

/** A commit of some rows, over several shards when it has several. The error, or `null`. */
async function write(
  kv: Kv,
  n: number,
  rows: number,
  acknowledged: Map<number, number>,
): Promise<KvError | null> {
  let commit = kv.atomic();
  for (let row = 0; row < rows; row++)
    commit = commit.set(["row", n * 10 + row], new Uint8Array(VALUE_BYTES).fill(n));
  try {
    await commit.commit();
  } catch (error) {
    if (error instanceof KvError) return error;
    throw error;
  }
  for (let row = 0; row < rows; row++) acknowledged.set(n * 10 + row, n);
  return null;
}

async function compare(
  kv: Kv,
  acknowledged: ReadonlyMap<number, number>,
  tried: Counts,
  when: string,
): Promise<string[]> {
  for (const [row, n] of acknowledged) {
    const { value } = await kv.get<Uint8Array>(["row", row]);
    tried["entries checked"]++;
    if (value === null || value.length !== VALUE_BYTES || value[7] !== n % 256)
      return [`row ${row} was acknowledged, and is ${value === null ? "not there" : "another"} ${when}`];
  }
  return [];
}

/** A process whose files may not grow beyond a size: the write fails with EFBIG. */
async function limitFiles({ directory }: TortureContext, tried: Counts): Promise<string[]> {
  if (process.platform !== "linux") return [];
  const path = join(directory, "limited");
  rmSync(path, { recursive: true, force: true });
  const end = await new Child("../torture/full-disk-program.js", [path, "limit"]).end();
  tried["file size limits"]++;
  return verdictOf(end.how, end.lines, end.errors, path);
}

/** A directory in which nothing may be made: opening it says so. */
async function forbid({ directory }: TortureContext, tried: Counts): Promise<string[]> {
  const path = join(directory, "forbidden");
  rmSync(path, { recursive: true, force: true });
  const end = await new Child("../torture/full-disk-program.js", [path, "forbid"]).end();
  tried["directories without permission"]++;
  return verdictOf(end.how, end.lines, end.errors, path);
}

async function verdictOf(
  how: unknown,
  lines: readonly string[],
  errors: string,
  path: string,
): Promise<string[]> {
  if (how !== 0) return [`the process ended with ${String(how)}: ${errors.slice(0, 500)}`];
  const broken = lines.filter((line) => line.startsWith("BROKEN")).map((line) => line.slice(7));
  const { problems } = await verifyStore(path);
  return [...broken, ...problems.map(({ where, what }) => `${where}: ${what}`)];
}

async function until(holds: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    if (await holds()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

/** What a relaxed store can't flush it warns of, which is right here. Returns what ends the silence. */
function silenceWarnings(): () => void {
  const listener = () => {};
  process.on("warning", listener);
  return () => void process.off("warning", listener);
}
