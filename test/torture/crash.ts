/**
 * Kills a process with SIGKILL at random moments while it writes as fast as it can, over one shard and over many, with times to live that
 * run out, a log that is trimmed and a feed that is followed; then opens the store, and looks for what is lost, half there, out of order.
 */
import { join } from "node:path";
import { openKv, verifyStore } from "../../src/index.js";
import { Child } from "../life/child-process.js";
import { foundCommits, type LedgerEntry, ledgerFaults, type Outcome, readAll } from "../life/ledger.js";
import { BROKEN_MAX, Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const KILL_MS_MAX = 500;
/** Numbers that one life of the program may use. */
const LIFE = 1_000_000;
/** A store is begun anew after so many lives, so that reading it stays cheap. */
const LIVES_MAX = 25;

export const crash: Torture = {
  name: "crash",
  about:
    "kill -9 at random moments under full load, in both durabilities, then everything acknowledged must be there, and nothing half",
  breaks: { "lost-commit": "one acknowledged commit is taken out of the store after the crash" },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const { random } = context;
  const tried = { kills: 0, "acknowledged commits checked": 0, "changes heard by feeds": 0 };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  let outcomes = new Map<number, Outcome>();
  let newest = "";
  let path = "";
  for (let round = 0; (round === 0 || Date.now() < context.deadlineMs) && broken.length === 0; round++) {
    if (round % LIVES_MAX === 0) {
      path = join(context.directory, `store-${round}`);
      outcomes = new Map();
      newest = "";
    }
    const durability = random(2) === 0 ? "sync" : "relaxed";
    const lines = await live(path, round * LIFE, durability, random(KILL_MS_MAX));
    tried.kills++;
    const heard = lines.filter((line) => line.startsWith("heard")).map((line) => line.split(" ")[1]!);
    tried["changes heard by feeds"] += heard.length;
    heard.forEach((versionstamp, index) => {
      if (index > 0 && versionstamp < heard[index - 1]!)
        broken.push(`a feed told ${versionstamp} after ${heard[index - 1]}`);
    });
    const before = newest;
    for (const line of lines.filter((text) => !text.startsWith("heard"))) {
      const [n, versionstamp] = line.split(" ") as [string, string];
      if (versionstamp <= before)
        broken.push(`versionstamp ${versionstamp} is not above ${before}, of before the crash`);
      outcomes.set(Number(n), versionstamp);
    }
    tried["acknowledged commits checked"] += outcomes.size;
    const result = await look(path, outcomes, context.breakage);
    newest = result.newest;
    broken.push(
      ...result.broken.slice(0, BROKEN_MAX).map((sentence) => `${durability}, kill ${round}: ${sentence}`),
    );
    ticker.tick(tried);
  }
  return { tried, broken };
}

async function live(
  path: string,
  first: number,
  durability: string,
  killMs: number,
): Promise<readonly string[]> {
  const child = new Child("../torture/crash-program.js", [path, String(first), durability]);
  await child.saysSomething();
  await child.livesFor(killMs);
  child.kill("SIGKILL");
  const end = await child.end();
  if (end.how !== "SIGKILL") throw new Error(`the writing process ended with ${end.how}: ${end.errors}`);
  return end.lines;
}

async function look(
  path: string,
  outcomes: Map<number, Outcome>,
  breakage: string | null,
): Promise<{ readonly newest: string; readonly broken: readonly string[] }> {
  const kv = await openKv(path);
  if (breakage === "lost-commit") {
    const [n] = [...outcomes.keys()].slice(-1);
    for (const name of ["note", "mark-a", "mark-b", "mark-c"]) await kv.delete([name, n!]);
    for (let counter = 0; counter < 6; counter++) await kv.delete(["counter", counter, n!]);
  }
  const all = await readAll(kv);
  const entries = new Map<string, LedgerEntry>([...all].filter(([name]) => !name.startsWith('["fleeting"')));
  for (const n of foundCommits(entries)) if (!outcomes.has(n)) outcomes.set(n, "unknown");
  const broken = [...ledgerFaults(entries, outcomes, "mixed")];
  const last = [...all.values()].reduce(
    (max, { versionstamp }) => (versionstamp > max ? versionstamp : max),
    "",
  );
  const { versionstamp } = await kv.set(["fleeting", "after"], 1);
  if (versionstamp <= last)
    broken.push(`${versionstamp} is given out after the crash, ${last} was there before`);
  await kv.close();
  const report = await verifyStore(path);
  broken.push(...report.problems.map(({ where, what }) => `${where}: ${what}`));
  return { newest: versionstamp, broken };
}
