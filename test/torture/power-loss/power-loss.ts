/**
 * Cuts the power: a process writes while every call that changes its files is recorded; then the disk is rebuilt as it could be
 * after a cut at any moment, and the store on it is opened.
 *
 * Held: with `sync` every acknowledged commit is there. With `relaxed` the store is as it was at one moment, which is not older than a flush
 * interval and the flush itself: no commit is lost while one is there that was begun after it was acknowledged. With both: it opens, no commit is half
 * there over several shards, and verifyStore finds nothing.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openKv, type StoreProblem, verifyStore } from "../../../src/index.js";
import { FLUSH_INTERVAL_MS } from "../../../src/limits.js";
import { sealed } from "../../../src/store/checkpoint.js";
import { Child } from "../../life/child-process.js";
import { foundCommits, ledgerFaults, type Outcome, readAll } from "../../life/ledger.js";
import type { Torture, TortureContext, TortureResult } from "../torture.js";
import { BROKEN_MAX, Ticker } from "../torture.js";
import { Disk, type Fate, type FileEvent, readRecording } from "./recording.js";

const SHIM = fileURLToPath(new URL("../../../../test/torture/power-loss/recorder.c", import.meta.url));
const FATES: readonly Fate[] = ["none", "all", "some", "torn", "latest"];
const CHECKPOINT = "store/checkpoint.json";
/** Images of one recording. */
const IMAGES = 24;
/** A flush that takes longer on a busy machine is the machine's; what we promise is the interval and the flush. */
const LATE_MS = 5000;
const ANOTHER_BOOT = "00000000-0000-0000-0000-000000000000";

interface Acknowledged {
  readonly n: number;
  readonly versionstamp: string;
  readonly atMs: number;
  /** How many commits had been acknowledged when it was begun. */
  readonly begunAfter: number;
}

export const powerLoss: Torture = {
  name: "power-loss",
  about:
    "writes since the last flush are lost, partly, torn or out of order, at any moment, in both durabilities",
  breaks: {
    "no-flush": "the disk forgets what a flush had put there: acknowledged commits of `sync` are lost",
    "no-checkpoint":
      "the checkpoint is thrown away after the cut: `relaxed` is left with whatever pages there are",
  },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const shim = buildShim(context.directory);
  if (shim === null) return { tried: {}, broken: [], skipped: "it needs Linux and a C compiler (cc)" };
  const tried = { recordings: 0, "recorded calls": 0, "power cuts": 0, "acknowledged commits checked": 0 };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  let longestLossMs = 0;
  for (let round = 0; round === 0 || Date.now() < context.deadlineMs; round++) {
    const durability =
      context.breakage === "no-checkpoint"
        ? "relaxed"
        : context.breakage === "no-flush" || round % 2 === 0
          ? "sync"
          : "relaxed";
    const root = join(context.directory, `round-${round}`);
    const events = await record(context, shim, root, durability);
    tried.recordings++;
    tried["recorded calls"] += events.length;
    for (let image = 0; image < IMAGES && (image < 6 || Date.now() < context.deadlineMs); image++) {
      const cut = await cutOnce(context, root, events, durability, FATES[image % FATES.length]!);
      tried["power cuts"]++;
      tried["acknowledged commits checked"] += cut.checked;
      longestLossMs = Math.max(longestLossMs, cut.lossMs);
      for (const sentence of cut.broken)
        broken.push(`${durability}, round ${round}, image ${image}: ${sentence}`);
      if (broken.length >= BROKEN_MAX) break;
      ticker.tick(tried);
    }
    rmSync(root, { recursive: true, force: true });
    if (broken.length > 0) break;
  }
  return { tried, broken, seen: { "longest loss with relaxed (ms)": longestLossMs } };
}

function buildShim(directory: string): string | null {
  if (process.platform !== "linux") return null;
  const shim = join(directory, "recorder.so");
  try {
    execFileSync("cc", ["-shared", "-fPIC", "-O2", "-o", shim, SHIM, "-ldl", "-lpthread"], { stdio: "pipe" });
    return shim;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Two lives of the program, recorded: the second one opens what the first has left. */
async function record(
  { random, seed }: TortureContext,
  shim: string,
  root: string,
  durability: string,
): Promise<FileEvent[]> {
  const files = join(root, "files");
  mkdirSync(files, { recursive: true });
  const log = join(root, "recording");
  const env = { LD_PRELOAD: shim, BELFRY_RECORD_ROOT: files, BELFRY_RECORD_LOG: log };
  const shards = String(1 + random(3));
  for (const first of [0, 1_000_000]) {
    const args = [files, shards, durability, String(250 + random(400)), String(first), String(seed + first)];
    const child = new Child("../torture/power-loss/power-loss-program.js", args, { env });
    if (random(3) === 0) {
      await child.livesFor(400 + random(500));
      child.kill("SIGKILL");
    }
    const end = await child.end();
    if (end.how !== 0 && end.how !== "SIGKILL")
      throw new Error(`the program ended with ${end.how}: ${end.errors}`);
  }
  return readRecording(log, files);
}

interface Cut {
  readonly checked: number;
  readonly lossMs: number;
  readonly broken: readonly string[];
}

/** Rebuilds a disk at some event, and looks at the store on it. */
async function cutOnce(
  context: TortureContext,
  root: string,
  events: readonly FileEvent[],
  durability: string,
  fate: Fate,
): Promise<Cut> {
  const { random, breakage } = context;
  const at = 1 + random(events.length);
  const disk = new Disk(join(root, "files"));
  const acknowledged: Acknowledged[] = [];
  for (const event of events.slice(0, at)) {
    if (event.path === "acknowledged") note(acknowledged, event);
    else if (breakage !== "no-flush") disk.apply(event);
    else if (event.kind !== "f") disk.apply(event.kind === "s" ? { ...event, kind: "w" } : event);
  }
  const image = join(root, "image");
  disk.cutPower(image, fate, random);
  const path = join(image, "store");
  // The machine has been started anew; this one has not.
  const checkpoint = join(image, CHECKPOINT);
  if (breakage === "no-checkpoint") rmSync(checkpoint, { force: true });
  else if (existsSync(checkpoint)) startAnew(checkpoint);
  try {
    return await look(path, durability, acknowledged);
  } catch (error) {
    return { checked: 0, lossMs: 0, broken: [`after event ${at} (${fate}): ${String(error)}`] };
  } finally {
    rmSync(image, { recursive: true, force: true });
  }
}

function note(acknowledged: Acknowledged[], { kind, bytes }: FileEvent): void {
  if (kind !== "w") return;
  const [n, versionstamp, atMs, begunAfter] = Buffer.from(bytes).toString().trim().split(" ");
  acknowledged.push({
    n: Number(n),
    versionstamp: versionstamp!,
    atMs: Number(atMs),
    begunAfter: Number(begunAfter),
  });
}

/** Lets the checkpoint be of another run of the system, as after a power cut; its checksum is made anew by the product's own writer. */
function startAnew(file: string): void {
  const stored = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, `${JSON.stringify(sealed({ boot: ANOTHER_BOOT, states: stored.states }))}\n`);
}

async function look(path: string, durability: string, acknowledged: readonly Acknowledged[]): Promise<Cut> {
  const isStore = existsSync(join(path, "manifest.json")) && !existsSync(join(path, "creating"));
  const before = isStore ? await verifyStore(path) : null;
  // LMDB may end the process on such a file.
  if (before?.ok === false) return { checked: 0, lossMs: 0, broken: before.problems.map(sentenceOf) };
  const kv = await openKv(path, isStore ? {} : { shards: 1 });
  const entries = await readAll(kv);
  const after = await kv.set(["after"], 1);
  await kv.close();
  const broken: string[] = [];
  const found = foundCommits(new Map([...entries].filter(([name]) => !name.startsWith('["fleeting"'))));
  const outcomes = new Map<number, Outcome>();
  for (const n of found) outcomes.set(n, "unknown");
  const newest = [...entries.values()].reduce(
    (max, { versionstamp }) => (versionstamp > max ? versionstamp : max),
    "",
  );
  const lost = acknowledged.filter(({ n }) => !found.has(n));
  for (const { n, versionstamp } of acknowledged) if (found.has(n)) outcomes.set(n, versionstamp);
  const ledger = new Map([...entries].filter(([name]) => !name.startsWith('["fleeting"')));
  broken.push(...ledgerFaults(ledger, outcomes, "mixed"));
  const lossMs =
    lost.length === 0 ? 0 : acknowledged.at(-1)!.atMs - Math.min(...lost.map(({ atMs }) => atMs));
  if (durability === "sync" && lost.length > 0)
    broken.push(`${lost.length} acknowledged commits are lost, ${lost[0]!.n} the first`);
  if (lossMs > FLUSH_INTERVAL_MS + LATE_MS) broken.push(`commits of the last ${lossMs} ms are lost`);
  const firstLost = acknowledged.findIndex(({ n }) => !found.has(n));
  const later = acknowledged.find(
    ({ n, begunAfter }) => found.has(n) && firstLost >= 0 && begunAfter > firstLost,
  );
  if (later !== undefined)
    broken.push(
      `commit ${acknowledged[firstLost]!.n} is lost, and ${later.n} is there, which was begun after it was acknowledged`,
    );
  if (after.versionstamp <= newest)
    broken.push(`the next versionstamp ${after.versionstamp} is not above ${newest}`);
  const report = await verifyStore(path);
  broken.push(...report.problems.map(sentenceOf));
  return { checked: acknowledged.length, lossMs, broken };
}

function sentenceOf({ where, what }: StoreProblem): string {
  return `verifyStore: ${where}: ${what}`;
}
