/**
 * What callers and watchers may rely on when a shard's thread dies. The threads die at the places that src/shard/faults.ts names.
 *
 * `BELFRY_FAULT_SEED` repeats a random run; `BELFRY_FAULT_CAMPAIGNS` asks for more of them (default 3).
 */
import { describe, expect, test } from "vitest";
import { type KvError, KvShardFailedError, openKv } from "../../src/index.js";
import { FaultPoint } from "../../src/shard/faults.js";
import { HANG_MS, withBound } from "./child-process.js";
import { FaultyStore } from "./faulty-store.js";
import { type LedgerKind, ledgerFaults, readAll } from "./ledger.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const POINTS = Object.entries(FaultPoint);
/** A thread that runs has passed it. */
const RUNNING_POINTS = POINTS.filter(([, point]) => point !== FaultPoint.starting);
/** Places that only rounds pass, and that only single-shard commits pass. */
const ROUND_POINTS: readonly number[] = [FaultPoint.arrived, FaultPoint.deciding, FaultPoint.decided];
const SINGLE_POINTS: readonly number[] = [FaultPoint.taken, FaultPoint.published];

const CASES = RUNNING_POINTS.flatMap(([name, point]) =>
  [2, 5].flatMap((shards) =>
    (["single", "multi"] as const)
      .filter((kind) => !(kind === "single" ? ROUND_POINTS : SINGLE_POINTS).includes(point))
      .map((kind) => ({ name, point, shards, kind })),
  ),
);

describe("a shard's thread dies", () => {
  test.each(CASES)(
    "at $name of $shards shards, under $kind-shard commits: nothing acknowledged is lost, nothing is half there, feeds and watches miss nothing",
    async ({ point, shards, kind }) => {
      const store = await FaultyStore.open({ path: temporaryDirectory(), shards, kind });
      store.startLoad();
      await store.untilAcknowledged(100);
      for (const visits of [1, 3]) {
        store.arm(1, point, visits);
        await store.until("the fault happens", () => store.hasFired(1, point));
        await store.untilAcknowledged(100);
      }
      await store.stopLoad();
      expect(await store.finish()).toEqual([]);
    },
  );
});

/** A key of each shard: partitions are by the first two parts. */
function keyOfShard(store: FaultyStore, shard: number): readonly [string, number] {
  for (let place = 0; ; place++) {
    const key = ["probe", place] as const;
    if (store.shardOf(key) === shard) return key;
  }
}

test("a round that finishes and is followed by the next just when its decider looks for it is answered", async () => {
  const store = await FaultyStore.open({ path: temporaryDirectory(), shards: 2, kind: "multi" });
  const { kv } = store;
  const [first, second] = [keyOfShard(store, 0), keyOfShard(store, 1)];
  const commit = () => kv.atomic().set(first, 1).set(second, 1).commit();
  await commit();
  // Shard 1 arrives and hangs, so shard 0 arrives last, decides, and owes the answer until shard 1 has committed, too.
  store.hang(1, 500, FaultPoint.arrived);
  const one = commit();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const next = commit();
  store.hang(0, 700, FaultPoint.looked);
  await kv.set(first, 2);
  const answers = await withBound(Promise.all([one, next]), HANG_MS);
  expect(answers).not.toBe("late");
  await kv.close();
});

/** `mayOwe`: others may have committed a round by then of which it owes its part. */
const LOSSES: { name: string; point: FaultPoint; kind: LedgerKind; mayOwe?: boolean }[] = [
  { name: "between two turns", point: FaultPoint.turn, kind: "mixed" },
  { name: "with requests taken", point: FaultPoint.taken, kind: "mixed" },
  { name: "after a commit", point: FaultPoint.committed, kind: "single" },
  { name: "after publishing", point: FaultPoint.published, kind: "mixed" },
  { name: "arrived at a round", point: FaultPoint.arrived, kind: "mixed", mayOwe: true },
  { name: "deciding a round", point: FaultPoint.deciding, kind: "multi" },
  { name: "owing its part of a decided round", point: FaultPoint.decided, kind: "mixed", mayOwe: true },
];

describe("a shard that keeps dying is given up", () => {
  for (const { name, point, kind, mayOwe = false } of LOSSES) {
    test(`${name}: its writes fail, all others settle and go on, it is read still, and after a reopening all is whole`, async () => {
      const path = temporaryDirectory();
      const store = await FaultyStore.open({ path, shards: 3, kind });
      store.startLoad();
      await store.untilAcknowledged(50);
      await store.killForGood(1, point);
      await store.stopLoad();
      const lost = keyOfShard(store, 1);
      await expect(store.kv.set(lost, 1)).rejects.toMatchObject({ code: "KV_SHARD_FAILED", shard: 1 });
      const kept = keyOfShard(store, 2);
      const { versionstamp } = await store.kv.set(kept, "goes on");
      const both = store.kv.atomic().set(keyOfShard(store, 0), 1).set(kept, 1).commit();
      const bothMade = await both.catch((error: unknown) => error);
      const isOwed = mayOwe && bothMade instanceof KvShardFailedError;
      if (isOwed) {
        // A half of the round is in the other shards: whoever reads them is told so, and sees no half.
        await expect(readAll(store.kv)).rejects.toMatchObject({ code: "KV_SHARD_FAILED" });
      } else {
        expect(bothMade).toMatchObject({ ok: true });
        expect((await store.kv.get(lost)).value).toBeNull();
        expect((await store.kv.get(kept)).value).toBe(1);
        expect(ledgerFaults(await readAll(store.kv), store.outcomes, kind)).toEqual([]);
        await store.until("the feed goes on", () =>
          store.heard.some((line) => line.startsWith(versionstamp)),
        );
      }
      expect(await withBound(store.kv.close(), HANG_MS)).not.toBe("late");
      // A watch is told what a read is told, and nothing else ends it before the store is closed.
      for (const end of await store.watchEnds())
        if (!isOwed || (end !== undefined && (end as KvError).code !== "KV_SHARD_FAILED"))
          expect(end).toBeUndefined();
      await using again = await openKv(path);
      expect(ledgerFaults(await readAll(again), store.outcomes, kind)).toEqual([]);
      await again.set(lost, "takes writes again");
    });
  }
});

describe("threads die at random places under load", () => {
  const campaigns = Number(process.env["BELFRY_FAULT_CAMPAIGNS"] ?? 3);
  const first = seedFrom("BELFRY_FAULT_SEED");
  for (let campaign = 0; campaign < campaigns; campaign++) {
    const seed = first + campaign;
    test(`nothing is lost, half there, missed or told twice (BELFRY_FAULT_SEED=${seed})`, async () => {
      const random = randomOf(seed);
      const shards = [2, 3, 5][random(3)]!;
      const store = await FaultyStore.open({
        path: temporaryDirectory(),
        shards,
        kind: "mixed",
        durability: random(2) === 0 ? "sync" : "relaxed",
        // Every third campaign has commits that are too large for a ring.
        ...(campaign % 3 === 2 && { bulkEvery: 40, bulkBytes: 1_200_000 }),
      });
      store.startLoad();
      await store.untilAcknowledged(50);
      // One below the bound for each shard, or it is given up.
      const faults = Array.from({ length: shards * 4 }, (_, index) => index % shards).sort(
        () => random(3) - 1,
      );
      while (faults.length > 0) {
        // Sometimes several at a time.
        for (const shard of faults.splice(0, 1 + random(3)))
          store.arm(shard, random(POINTS.length) as FaultPoint, 1 + random(4));
        await store.untilAcknowledged(20 + random(60));
      }
      await store.stopLoad();
      store.disarm();
      expect(await store.finish()).toEqual([]);
    });
  }
});
