/**
 * The time between the opening of a store and the first turn of its shards' threads: it is read, what is written waits, and it may be closed, killed, compacted and shared
 * as at any other time. Shards are held up, and fail, at their start (src/shard/faults.ts).
 */
import { cpSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { type KvKey, openKv } from "../../src/index.js";
import { Kv } from "../../src/kv/kv.js";
import { limitsOf } from "../../src/kv/kv-limits.js";
import { HISTORY_BYTES_MAX, REQUEST_RING_BYTES } from "../../src/limits.js";
import { ShardState } from "../../src/ring/control.js";
import type { Engine } from "../../src/router/engine.js";
import { acquireEngine } from "../../src/router/engine-registry.js";
import { armFault, createFaultCells, FaultPoint, hangFault } from "../../src/shard/faults.js";
import { shardDirectory } from "../../src/store/manifest.js";
import { everything, keyOnEachShard } from "../kv/temp-store.js";
import { Child, HANG_MS, withBound } from "./child-process.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const SHARDS = 2;
/** How long a shard is held up: longer than what a test does meanwhile. */
const HELD_UP_MS = 1500;
const [KEY, OTHER] = keyOnEachShard("k", SHARDS) as [KvKey, KvKey];

/** A store that has `value` under a key of each shard, and is closed. */
async function filledStore(value: unknown): Promise<string> {
  const path = join(temporaryDirectory(), "store");
  await using kv = await openKv(path, { shards: SHARDS });
  await kv.atomic().set(KEY, value).set(OTHER, value).commit();
  return path;
}

interface Opened {
  readonly engine: Engine;
  readonly kv: Kv;
}

async function openWith(path: string, faults = createFaultCells(SHARDS)): Promise<Opened> {
  const { engine, release } = await acquireEngine(path, {
    shards: SHARDS,
    durability: "relaxed",
    clock: systemClock,
    faults,
    inline: true,
    history: { bytesMax: HISTORY_BYTES_MAX, ageMsMax: Number.POSITIVE_INFINITY },
  });
  const kv = new Kv(engine.caller, { limits: limitsOf(undefined), ifChanged: false, release, share: null });
  onTestFinished(() => kv[Symbol.asyncDispose]());
  return { engine, kv };
}

/** A store whose shards all stand still in their start. */
async function openHeldUp(path: string): Promise<Opened> {
  const faults = createFaultCells(SHARDS);
  for (let shard = 0; shard < SHARDS; shard++) hangFault(faults, shard, FaultPoint.starting, HELD_UP_MS);
  const opened = await openWith(path, faults);
  const areHeldUp = () => new Int32Array(faults).every((cell) => cell === 0);
  while (!areHeldUp()) await new Promise((resolve) => setTimeout(resolve, 1));
  return opened;
}

function statesOf(kv: Kv): string[] {
  return kv.stats().shards.map(({ state }) => state);
}

/** How many threads and files this process has, where the system tells. */
function held(): number[] {
  if (process.platform !== "linux") return [];
  return ["/proc/self/task", "/proc/self/fd"].map((directory) => readdirSync(directory).length);
}

const ALL_STARTING = Array.from({ length: SHARDS }, () => "starting");

describe("before its shards run", () => {
  test("a store is read, also while they are held up", async () => {
    const path = await filledStore("old");
    const { engine, kv } = await openHeldUp(path);
    expect(kv.getSync(KEY).value).toBe("old");
    expect((await kv.getMany([KEY, OTHER])).map(({ value }) => value)).toEqual(["old", "old"]);
    expect(await everything(kv)).toHaveLength(SHARDS);
    using snapshot = await kv.snapshot();
    expect((await snapshot.get(OTHER)).value).toBe("old");
    expect(kv.queueStats().ready).toBe(0);
    // Still so: nothing of this has waited for them.
    expect(statesOf(kv)).toEqual(ALL_STARTING);
    expect(engine.caller.control.commits(0)).toBe(0);
  });

  test("what is written waits for them, and is answered, heard and handled in order", async () => {
    const path = await filledStore("old");
    const { engine, kv } = await openHeldUp(path);
    const { control } = engine.caller;
    const large = new Uint8Array(2 * REQUEST_RING_BYTES);
    const heard: unknown[] = [];
    const feed = kv.changes({ key: KEY });
    const following = (async () => {
      for await (const { value } of feed) if (heard.push(value) === 3) return;
    })();
    const handled = new Promise((resolve) => void kv.listenQueue(resolve));
    const writes = [
      kv.set(KEY, 1),
      kv.set(KEY, large),
      kv.set(KEY, 3),
      kv
        .atomic()
        .set([...KEY, "both"], 1)
        .set([...OTHER, "both"], 1)
        .commit(),
      kv.enqueue("message"),
    ];
    await new Promise(setImmediate);
    // The writer lock is the threads' own from the beginning: a caller can't commit beside a shard that comes up.
    expect([0, 1].map((shard) => control.tryLockWriter(shard))).toEqual([false, false]);
    expect(kv.stats()).toMatchObject({
      pendingCommits: writes.length,
      shards: [{ transactions: 0 }, { transactions: 0 }],
    });
    expect(kv.getSync(KEY).value).toBe("old");
    expect(statesOf(kv)).toEqual(ALL_STARTING);
    const results = await withBound(Promise.all(writes), HANG_MS);
    expect(results).toEqual(writes.map(() => expect.objectContaining({ ok: true })));
    expect(kv.getSync(KEY).value).toBe(3);
    expect(await withBound(handled, HANG_MS)).toBe("message");
    expect(await withBound(following, HANG_MS)).not.toBe("late");
    expect(heard.map((value) => (typeof value === "number" ? value : (value as Uint8Array).length))).toEqual([
      1,
      large.length,
      3,
    ]);
  });

  test("a program that reads and closes at once starts none of them", async () => {
    const path = await filledStore("old");
    const { engine, kv } = await openWith(path);
    expect((await kv.get(KEY)).value).toBe("old");
    await kv.close();
    const { control } = engine.caller;
    expect([0, 1].map((shard) => control.state(shard))).toEqual([ShardState.down, ShardState.down]);
    await using again = await openKv(path);
    await again.set(KEY, "free");
  });

  test("it is closed, whenever that is, with nothing half written and nothing left behind", async () => {
    const path = await filledStore(-1);
    const seed = seedFrom("BELFRY_OPENING_SEED");
    const random = randomOf(seed);
    let heldAtFirst = held();
    for (let round = 0; round < 12; round++) {
      const { kv } = await openWith(path);
      const before = kv.getSync(KEY).value;
      expect(kv.getSync(OTHER).value, `BELFRY_OPENING_SEED=${seed}`).toBe(before);
      const write = kv
        .atomic()
        .set(KEY, round)
        .set(OTHER, round)
        .commit()
        .catch(() => {});
      if (round % 3 === 0) await new Promise((resolve) => setTimeout(resolve, random(200)));
      else if (round % 3 === 1) await new Promise(setImmediate);
      expect(await withBound(kv.close(), HANG_MS)).not.toBe("late");
      await write;
      // The first ones also start what the process keeps.
      if (round === 2) heldAtFirst = held();
    }
    // One that each close left would be nine by now; what the process has for itself may vary a little.
    for (const [index, count] of held().entries()) expect(count - heldAtFirst[index]!).toBeLessThan(5);
  });

  test("the end of the process waits for threads that come up, since ending them then may abort it", async () => {
    const path = await filledStore("old");
    const { engine, kv } = await openWith(path);
    await new Promise(setImmediate);
    expect(statesOf(kv)).toEqual(ALL_STARTING);
    engine.stopBeforeExit(Date.now() + HANG_MS);
    const { control } = engine.caller;
    expect([0, 1].map((shard) => control.state(shard))).toEqual([ShardState.stopped, ShardState.stopped]);
  });

  test("it is compacted", async () => {
    const path = await filledStore("old");
    const faults = createFaultCells(SHARDS);
    hangFault(faults, 0, FaultPoint.starting, 200);
    const { engine, kv } = await openWith(path, faults);
    const write = kv.set(KEY, "new");
    await withBound(engine.compact(), HANG_MS);
    expect(await withBound(write, HANG_MS)).toMatchObject({ ok: true });
    expect(kv.getSync(OTHER).value).toBe("old");
    await withBound(kv.set(OTHER, "newer"), HANG_MS);
  });

  test("a thread that joins writes, though the one that opened it stands still", async () => {
    const kv = await openKv(undefined, { shards: SHARDS });
    onTestFinished(() => kv[Symbol.asyncDispose]());
    const handle = kv.share();
    const done = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL("attached-thread.js", import.meta.url), {
      workerData: { handle, task: "write", done },
      transferList: [...handle.transfer],
    });
    expect(Atomics.wait(done, 0, 0, HANG_MS)).not.toBe("timed-out");
    expect(kv.getSync(["guests"]).value).toBe("wrote");
    await new Promise((resolve) => worker.once("exit", resolve));
  });

  test("killed while they come up, it has all that was acknowledged, and no half of a commit", {
    timeout: 120_000,
  }, async () => {
    const path = join(temporaryDirectory(), "store");
    const seed = seedFrom("BELFRY_OPENING_SEED");
    const random = randomOf(seed);
    for (let round = 0; round < 6; round++) {
      const child = new Child("ends-program.js", ["writing", "natural", path]);
      await child.saysLine("open");
      await new Promise((resolve) => setTimeout(resolve, random(250)));
      child.kill("SIGKILL");
      const { lines } = await child.end();
      await using kv = await openKv(path);
      const found = new Set<string>();
      const places = new Map<string, number>();
      for (const { key } of await everything(kv)) {
        const name = `${String(key[1])} ${String(key[2])}`;
        found.add(`acked ${name}`);
        places.set(name, (places.get(name) ?? 0) + 1);
      }
      const lost = lines.filter((line) => line.startsWith("acked") && !found.has(line));
      expect(lost, `BELFRY_OPENING_SEED=${seed}`).toEqual([]);
      const halves = [...places].filter(
        ([name, count]) => count !== (Number(name.split(" ")[1]) % 2 === 0 ? 1 : 6),
      );
      expect(halves, `BELFRY_OPENING_SEED=${seed}`).toEqual([]);
    }
  });
});

describe("a shard does not start", () => {
  test("once: the next start answers what has waited", async () => {
    const path = await filledStore("old");
    const faults = createFaultCells(SHARDS);
    armFault(faults, 1, FaultPoint.starting);
    const { kv } = await openWith(path, faults);
    const both = [
      [...KEY, "both"],
      [...OTHER, "both"],
    ] as const;
    const writes = [kv.set(KEY, 1), kv.set(OTHER, 1), kv.atomic().set(both[0], 1).set(both[1], 1).commit()];
    expect(await withBound(Promise.all(writes), HANG_MS)).not.toBe("late");
    const found = await kv.getMany([KEY, OTHER, ...both]);
    expect(found.map(({ value }) => value)).toEqual([1, 1, 1, 1]);
  });

  test("at all: what is sent to it was not applied and says so, reads and the others go on, and a reopening finds it", async () => {
    const path = await filledStore("old");
    const kv = await openKv(path);
    // This thread has the file open; the shard's finds something that is no directory.
    const directory = shardDirectory(path, 1);
    renameSync(directory, `${path}-aside`);
    writeFileSync(directory, "");
    const refused = { code: "KV_SHARD_FAILED", shard: 1 };
    const early = [kv.set(OTHER, 1), kv.atomic().set(KEY, 1).set(OTHER, 1).commit()];
    for (const write of early) await expect(withBound(write, HANG_MS)).rejects.toMatchObject(refused);
    await expect(kv.set(OTHER, 2)).rejects.toMatchObject(refused);
    await expect(kv.atomic().set(KEY, 2).set(OTHER, 2).commit()).rejects.toMatchObject(refused);
    expect((await kv.get(OTHER)).value).toBe("old");
    expect((await kv.getMany([KEY, OTHER])).map(({ value }) => value)).toEqual(["old", "old"]);
    expect(await withBound(kv.set(KEY, "goes on"), HANG_MS)).toMatchObject({ ok: true });
    expect(statesOf(kv)[1]).toBe("failed");
    expect(await withBound(kv.close(), HANG_MS)).not.toBe("late");
    rmSync(directory);
    renameSync(`${path}-aside`, directory);
    await using again = await openKv(path);
    await again.set(OTHER, "takes writes again");
    expect((await again.get(KEY)).value).toBe("goes on");
  });
});

describe("a shard owes its part of the last commit over several", () => {
  /** A store of which shard 1 is as it was before that commit. */
  async function halfStore(): Promise<string> {
    const path = await filledStore("old");
    const directory = shardDirectory(path, 1);
    cpSync(directory, `${path}-aside`, { recursive: true });
    await using kv = await openKv(path);
    await kv.atomic().set(KEY, "new").set(OTHER, "new").commit();
    await kv.close();
    rmSync(directory, { recursive: true });
    renameSync(`${path}-aside`, directory);
    return path;
  }

  test("the store is open when it has made up for it", async () => {
    const path = await halfStore();
    const faults = createFaultCells(SHARDS);
    hangFault(faults, 1, FaultPoint.starting, 300);
    const { kv } = await openWith(path, faults);
    expect([kv.getSync(KEY).value, kv.getSync(OTHER).value]).toEqual(["new", "new"]);
    expect(statesOf(kv)).not.toContain("starting");
  });

  test("and is not opened when it can't: the path is free, and nothing was changed", async () => {
    const path = await halfStore();
    const faults = createFaultCells(SHARDS);
    armFault(faults, 1, FaultPoint.starting);
    const opening = openWith(path, faults);
    await expect(withBound(opening, HANG_MS)).rejects.toThrow("injected fault");
    const { kv } = await openWith(path);
    expect([kv.getSync(KEY).value, kv.getSync(OTHER).value]).toEqual(["new", "new"]);
  });
});
