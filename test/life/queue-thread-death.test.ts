/**
 * What a queue keeps when a shard's thread dies at the places that src/shard/faults.ts names: the process lives, so every message whose
 * enqueue was acknowledged is handled once, no less and no more.
 */
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { encodeKey, partitionOf } from "../../src/codec/key.js";
import { KvShardFailedError, KvStorageError, KvUnknownOutcomeError } from "../../src/errors.js";
import { Kv, openKv } from "../../src/index.js";
import { limitsOf } from "../../src/kv/kv-limits.js";
import { HISTORY_BYTES_MAX, PARTITION_DEPTH_DEFAULT } from "../../src/limits.js";
import { acquireEngine } from "../../src/router/engine-registry.js";
import { armFault, createFaultCells, FaultPoint, hasFired } from "../../src/shard/faults.js";
import { until } from "../kv/queue-waiting.js";
import { temporaryDirectory } from "./temporary-directory.js";

const SHARDS = 2;
const PRODUCERS = 8;

async function openFaulty(faults: SharedArrayBuffer, path = temporaryDirectory()): Promise<Kv> {
  const { engine, release } = await acquireEngine(path, {
    shards: SHARDS,
    durability: "relaxed",
    clock: systemClock,
    faults,
    history: { bytesMax: HISTORY_BYTES_MAX, ageMsMax: Number.POSITIVE_INFINITY },
  });
  return new Kv(engine.caller, { limits: limitsOf(undefined), release, share: null, ifChanged: false });
}

/** Those that a thread passes again and again. */
const POINTS = Object.entries(FaultPoint).filter(([, point]) => point !== FaultPoint.starting);

test.each(POINTS)(
  "at %s: every message that was acknowledged is handled once, or it died",
  async (_, point) => {
    const faults = createFaultCells(SHARDS);
    const kv = await openFaulty(faults);
    const acknowledged = new Set<number>();
    const handled = new Map<number, number>();
    const surprises: unknown[] = [];
    let next = 0;
    let isRunning = true;
    for (let listener = 0; listener < 2; listener++) {
      void kv.listenQueue<number>(
        async (n) => {
          if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, n % 10));
          handled.set(n, (handled.get(n) ?? 0) + 1);
          if (n % 7 === 0) throw new Error("it dies");
        },
        { concurrency: 10, onError: () => {} },
      );
    }
    const produce = async (): Promise<void> => {
      while (isRunning) {
        const n = next++;
        // Every other commit is one of a round; every seventh message is written under keys of both shards when it dies.
        const commit = n % 2 === 0 ? kv.atomic() : kv.atomic().set(["a", n], n).set(["b", n], n);
        const keysIfUndelivered = [
          ["dead", n],
          ["dead too", n],
        ];
        try {
          await commit.enqueue(n, { backoffSchedule: [], keysIfUndelivered, delay: n % 3 }).commit();
          acknowledged.add(n);
        } catch (error) {
          const isKnown = error instanceof KvUnknownOutcomeError || error instanceof KvStorageError;
          if (!isKnown) surprises.push(error);
        }
      }
    };
    const producers = Array.from({ length: PRODUCERS }, produce);
    await until("it runs", () => handled.size > 50);
    for (const visits of [1, 2, 4]) {
      armFault(faults, 1, point, visits);
      await until("the fault happens", () => hasFired(faults, 1, point));
      const before = handled.size;
      await until("it goes on", () => handled.size > before + 50);
    }
    isRunning = false;
    await Promise.all(producers);
    const left = () => {
      const { ready, delayed, leased } = kv.queueStats();
      return ready + delayed + leased;
    };
    await until("all are handled", () => left() === 0);
    for (const n of acknowledged) if (!handled.has(n)) surprises.push(`${n} is lost`);
    for (const [n, count] of handled) if (count !== 1) surprises.push(`${n} was handled ${count} times`);
    const dead = new Set<number>();
    for await (const { value, failures } of kv.deadLetters.list<number>()) {
      dead.add(value);
      if (failures !== 1) surprises.push(`${value} failed ${failures} times`);
      const kept = await kv.getMany([
        ["dead", value],
        ["dead too", value],
      ]);
      for (const entry of kept)
        if (entry.value !== value) surprises.push(`${value} died without ${entry.key}`);
    }
    for (const n of handled.keys())
      if ((n % 7 === 0) !== dead.has(n)) surprises.push(`${n} dead: ${dead.has(n)}`);
    expect(surprises).toEqual([]);
    await kv.close();
  },
);

test("a shard that is given up keeps its messages for the next opening; those of others are handled, and so are new ones", async () => {
  const faults = createFaultCells(SHARDS);
  const path = temporaryDirectory();
  const kv = await openFaulty(faults, path);
  const [kept, lost] = [keyOfShard(0), keyOfShard(1)];
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const handled: unknown[] = [];
  void kv.listenQueue<string>(
    async (value) => {
      handled.push(value);
      if (!value.startsWith("slow")) return;
      await ended;
      throw new Error("it dies, if it can");
    },
    { onError: () => {} },
  );
  await kv.atomic().set(lost, 1).enqueue("slow, of the lost shard", { backoffSchedule: [] }).commit();
  await kv.atomic().set(kept, 1).enqueue("slow, of the other", { backoffSchedule: [] }).commit();
  await until("both are begun", () => handled.length === 2);
  let isLost = false;
  while (!isLost) {
    armFault(faults, 1, FaultPoint.taken);
    await kv.set(lost, 2).catch((error) => {
      isLost = error instanceof KvShardFailedError;
    });
  }
  for (let n = 0; n < 10; n++) await kv.enqueue("quick");
  await until("new ones are handled", () => handled.length === 12);
  await expect(kv.atomic().set(lost, 1).enqueue("no").commit()).rejects.toBeInstanceOf(KvShardFailedError);
  end();
  await until("the other dies", () => kv.queueStats().dead === 1);
  await kv.close();

  await using again = await openKv(path);
  const later: unknown[] = [];
  void again.listenQueue((value) => later.push(value));
  await until("it comes again", () => later.length > 0);
  expect(later).toEqual(["slow, of the lost shard"]);
});

function keyOfShard(shard: number): readonly [string, number] {
  for (let place = 0; ; place++) {
    if (partitionOf(encodeKey(["probe", place]), PARTITION_DEPTH_DEFAULT, SHARDS) === shard)
      return ["probe", place];
  }
}
