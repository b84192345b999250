/**
 * What a crash leaves: a process is killed in the middle of commits over five shards, and the store is opened again.
 *
 * `BELFRY_CRASH_ROUNDS` asks for more rounds (default 5), `BELFRY_CRASH_SEED` repeats their moments (as far as moments can be).
 */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openKv } from "../../src/index.js";
import { readChangeLogs, stateOfLogs } from "./change-log.js";
import { Child } from "./child-process.js";
import { foundCommits, ledgerFaults, type Outcome, readAll } from "./ledger.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const SHARDS = 5;
const ROUNDS = Number(process.env["BELFRY_CRASH_ROUNDS"] ?? 5);
const SEED = seedFrom("BELFRY_CRASH_SEED");
const KILL_MS_MAX = 400;
/** Numbers that one life of the program may use. */
const LIFE = 1_000_000;

describe("a process is killed while it writes over all shards", () => {
  const path = join(temporaryDirectory(), "store");
  const outcomes = new Map<number, Outcome>();
  let newest = "";

  for (let round = 0; round < ROUNDS; round++) {
    const durability = round % 2 === 0 ? "sync" : "relaxed";
    test(`${durability}: nothing acknowledged is lost, nothing is half there, versionstamps go on (round ${round}, BELFRY_CRASH_SEED=${SEED})`, async () => {
      const killMs = randomOf(SEED + round)(KILL_MS_MAX);
      const lines = await crash(path, round * LIFE, durability, killMs);
      const acknowledged = lines.map((line) => line.split(" ") as [string, string]);
      expect(acknowledged.length).toBeGreaterThan(0);
      for (const [n, versionstamp] of acknowledged) {
        expect(versionstamp > newest, `${versionstamp} is not above those before the crash`).toBe(true);
        outcomes.set(Number(n), versionstamp);
      }

      const kv = await openKv(path);
      const entries = await readAll(kv);
      // Commits that were not acknowledged may be there: wholly, or not at all.
      for (const n of foundCommits(entries)) if (!outcomes.has(n)) outcomes.set(n, "unknown");
      expect(ledgerFaults(entries, outcomes, "mixed")).toEqual([]);
      const stamps = [...entries.values()].map(({ versionstamp }) => versionstamp);
      newest = stamps.sort().at(-1)!;
      const after = await kv.set(["after", round], round);
      expect(after.versionstamp > newest).toBe(true);
      newest = after.versionstamp;
      await kv.close();

      const logged = stateOfLogs(await readChangeLogs(path, SHARDS));
      for (const [name, { versionstamp }] of entries)
        expect(logged.get(name), `${name} in the log`).toBe(versionstamp);
    });
  }
});

/** Lets the program write for a while after its first acknowledgement, kills it, and returns what it had said. */
async function crash(
  path: string,
  first: number,
  durability: string,
  killMs: number,
): Promise<readonly string[]> {
  const child = new Child("crash-program.js", [path, String(first), durability]);
  await child.saysSomething();
  await child.livesFor(killMs);
  child.kill("SIGKILL");
  const end = await child.end();
  expect(end.how, end.errors).toBe("SIGKILL");
  return end.lines;
}
