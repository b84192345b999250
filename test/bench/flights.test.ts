import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { holds } from "../../bench/flights/check.js";
import { loadFlights } from "../../bench/flights/flight.js";
import { historyOf } from "../../bench/flights/history.js";
import { verifyLevelWatch } from "../../bench/flights/level-verification.js";
import { runMainJob } from "../../bench/flights/main-job.js";
import type { FeedObservation, LevelObservation } from "../../bench/flights/observers.js";
import { readFlightsOptions } from "../../bench/flights/options.js";
import type { FlightsReport } from "../../bench/flights/report.js";
import type { KvChange } from "../../src/index.js";
import { runFile } from "../docs/printed.js";
import { BUILD_ROOT } from "../docs/source-root.js";

const program = join(BUILD_ROOT, "bench/flights.js");
const small = ["--flights", "400", "--shards", "3", "--durability", "relaxed", "--json"];

describe("the main job", () => {
  it("holds every promise on a part of the data, and says so as JSON", async () => {
    const run = await runFile(program, small);
    expect(run.stderr).toBe("");
    expect(run.code).toBe(0);
    const report = JSON.parse(run.stdout) as FlightsReport;
    expect(report).toMatchObject({ ok: true, flights: 400, shards: 3, durability: "relaxed" });
    expect(report.checks.map(({ ok }) => ok)).toEqual(Array(8).fill(true));
    expect(report.changesHeard).toBeGreaterThan(2 * 3 * 400);
    expect(report.commitsPerSecond).toBeGreaterThan(0);
    expect(report.watchLatencyMs.loaded.fromCall.count).toBe(380);
    expect(report.watchLatencyMs.single.fromCall.count).toBe(20);
  });

  it("says in words what it does when nobody asks for JSON", async () => {
    const run = await runFile(program, ["--flights", "50", "--shards", "2"]);
    expect(run.code).toBe(0);
    expect(run.stdout).toContain("50/50 flights");
    expect(run.stdout).toContain("All checks hold.");
    expect(run.stdout).not.toContain("\x1b");
  });

  it.each([
    [["--flights", "0"], "--flights must be an integer from 1 to 20000: received 0"],
    [["--shards", "two"], "--shards must be an integer from 1 to 31: received two"],
    [["--durability", "maybe"], "--durability must be sync or relaxed: received maybe"],
    [["--fast"], "--fast"],
    [["Dover"], "Dover"],
  ])("refuses the wrong flags %j with exit code 2", async (args, message) => {
    const run = await runFile(program, args);
    expect(run.code).toBe(2);
    expect(run.stdout).toBe("");
    expect(run.stderr).toContain(message);
  });

  it("keeps the store where it is told to, and never touches what is there already", async () => {
    const path = mkdtempSync(join(tmpdir(), "belfry-keep-"));
    try {
      expect((await runFile(program, [...small, "--keep", join(path, "store")])).code).toBe(0);
      expect(readdirSync(join(path, "store"))).toContain("manifest.json");
      writeFileSync(join(path, "mine"), "");
      const run = await runFile(program, [...small, "--keep", path]);
      expect(run.code).toBe(2);
      expect(run.stderr).toContain("holds something");
    } finally {
      rmSync(path, { recursive: true });
    }
  });

  it("explains its flags", async () => {
    const run = await runFile(program, ["--help"]);
    expect(run.code).toBe(0);
    for (const flag of ["--flights", "--shards", "--durability", "--in-flight", "--keep", "--json"]) {
      expect(run.stdout).toContain(flag);
    }
  });
});

describe("the judgement of the main job", () => {
  const options = readFlightsOptions(["--flights", "100", "--shards", "2", "--durability", "relaxed"]);

  /** Names of the checks that fail when what the watcher of everything has heard is changed. */
  async function failuresAfter(change: (heard: KvChange[]) => KvChange[]): Promise<string[]> {
    const report = await runMainJob(options, {
      tamper: ([everything, ...others]) => [tampered(everything!, change), ...others],
    });
    expect(report.ok).toBe(false);
    return report.checks.filter((check) => !holds(check)).map(({ name }) => name);
  }

  function tampered(feed: FeedObservation, change: (heard: KvChange[]) => KvChange[]): FeedObservation {
    const { name, selectors, changes, error } = feed;
    return { name, selectors, changes: change([...changes]), error };
  }

  it("finds a change that was lost", async () => {
    const failures = await failuresAfter((heard) => heard.toSpliced(123, 1));
    expect(failures).toEqual(["every watcher heard every change exactly once"]);
  });

  it("finds a change that came twice", async () => {
    const failures = await failuresAfter((heard) => heard.toSpliced(123, 0, heard[123]!));
    expect(failures).toEqual(["every watcher heard every change exactly once"]);
  });

  it("finds commits in the wrong order, and one that was torn", async () => {
    const failures = await failuresAfter((heard) => [...heard.slice(1), heard[0]!]);
    expect(failures).toEqual(["in the order of the store", "all changes of a commit together"]);
  });

  it("finds a wrong value", async () => {
    const failures = await failuresAfter((heard) =>
      heard.map((change, index) => (index === 7 ? ({ ...change, value: "wrong" } as KvChange) : change)),
    );
    expect(failures).toEqual(["with the values that were written"]);
  });

  it("finds a watch(keys) item that mixes moments, goes back, or is not the newest at the end", () => {
    const flights = loadFlights(2).map((flight) => ({ ...flight, origin: "A", destination: "B" }));
    const stamps = ["00000000000000010000", "00000000000000020000"];
    const history = historyOf(flights, stamps);
    const spans = new Map(
      stamps.map((stamp, at) => [stamp, { calledAtMs: 2 * at, acknowledgedAtMs: 2 * at + 1 }]),
    );
    const keys = [
      ["airports", "A", "departed"],
      ["airports", "B", "arrived"],
    ];
    const item = (...seen: number[]) =>
      keys.map((key, place) => {
        const found = history.changes.find(
          (change) => change.key[2] === key[2] && change.versionstamp === stamps[seen[place]!],
        );
        return { key, value: found?.value ?? null, versionstamp: found?.versionstamp ?? null };
      });
    const failuresOf = (...items: unknown[]) => {
      const observation = { name: "watch", keys, items, error: undefined } as LevelObservation;
      return verifyLevelWatch(observation, history, spans).failures;
    };
    expect(failuresOf(item(-1, -1), item(0, 0), item(1, 1))).toEqual([]);
    expect(failuresOf(item(0, 1), item(1, 1)).join()).toContain("but not under");
    expect(failuresOf(item(1, 1), item(0, 0)).join()).toContain("goes back");
    expect(failuresOf(item(0, 0))).toEqual(["the last item is not the newest state"]);
    expect(failuresOf(item(1, 1), item(1, 1)).join()).toContain("the same as");
  });
});
