/**
 * What a queue keeps when a shard's thread dies at the places that src/shard/faults.ts names: the process lives, so every message whose
 * enqueue was acknowledged is handled once, no less and no more.
 */
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { KvStorageError, KvUnknownOutcomeError } from "../../src/errors.js";
import { Kv } from "../../src/index.js";
import { limitsOf } from "../../src/kv/kv-limits.js";
import { HISTORY_BYTES_MAX } from "../../src/limits.js";
import { acquireEngine } from "../../src/router/engine-registry.js";
import { armFault, createFaultCells, FaultPoint } from "../../src/shard/faults.js";
import { until } from "../kv/queue-waiting.js";
import { temporaryDirectory } from "./temporary-directory.js";

const SHARDS = 2;
const PRODUCERS = 8;

async function openFaulty(faults: SharedArrayBuffer): Promise<Kv> {
  const { engine, release } = await acquireEngine(temporaryDirectory(), {
    shards: SHARDS,
    durability: "relaxed",
    clock: systemClock,
    faults,
    history: { bytesMax: HISTORY_BYTES_MAX, ageMsMax: Number.POSITIVE_INFINITY },
  });
  return new Kv(engine.caller, { limits: limitsOf(undefined), release, share: null, ifChanged: false });
}

test.each(Object.entries(FaultPoint))(
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
      const cell = new Int32Array(faults);
      await until("the fault happens", () => Atomics.load(cell, 8 + point) === 0);
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
