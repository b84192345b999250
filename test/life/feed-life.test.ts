/**
 * Feeds over several lives of a real store: tiny rings and buffers, shard threads that die, consumers that pause, go away and come back
 * where they stopped, and a store that is closed and opened again. In the end each consumer has what the logs of the closed store say.
 *
 * `BELFRY_FEED_LIVES` asks for more lives (default 2), `BELFRY_SEED` repeats the choices (the moments are the machine's).
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { type ChangeFeed, type ChangeSelector, Kv, type KvChangeEvent, type KvKey } from "../../src/index.js";
import { limitsOf } from "../../src/kv/kv-limits.js";
import { HISTORY_BYTES_MAX } from "../../src/limits.js";
import { acquireEngine } from "../../src/router/engine-registry.js";
import { armFault, createFaultCells, FaultPoint } from "../../src/shard/faults.js";
import { describe, readChangeLogs } from "./change-log.js";
import { ledgerCommit, nameOf } from "./ledger.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const SHARDS = 3;
const LIVES = Number(process.env["BELFRY_FEED_LIVES"] ?? 2);
const SEED = seedFrom("BELFRY_SEED");
const WRITERS = 8;
const COMMITS_A_LIFE = 700;
/** Of a ring: lapped all the time. */
const RING_BYTES = 4096;
const DEATHS_A_LIFE = 3;
const FATAL = [
  FaultPoint.taken,
  FaultPoint.committed,
  FaultPoint.published,
  FaultPoint.arrived,
  FaultPoint.decided,
];
/** Each ends the life in which it was written: whoever has heard it has heard all before it. */
const LAST_KEY = "last";

const random = randomOf(SEED);

interface OpenStore {
  readonly kv: Kv;
  readonly faults: SharedArrayBuffer;
}

async function open(path: string): Promise<OpenStore> {
  const faults = createFaultCells(SHARDS);
  const { engine, release } = await acquireEngine(path, {
    shards: SHARDS,
    durability: "relaxed",
    clock: systemClock,
    changeRingBytes: RING_BYTES,
    faults,
    history: { bytesMax: HISTORY_BYTES_MAX, ageMsMax: Number.POSITIVE_INFINITY },
  });
  const kv = new Kv(engine.caller, {
    limits: limitsOf(undefined),
    release,
    share: null,
    ifChanged: false,
  });
  onTestFinished(() => kv[Symbol.asyncDispose]());
  return { kv, faults };
}

/** A consumer that goes on through all lives of the store, from the position of the last change that it has handled. */
class Consumer {
  readonly lines: string[] = [];
  readonly #selector: ChangeSelector;
  readonly #pausesMs: number;
  readonly #order: "commit" | "shard";
  #position = "earliest";
  #versionstamp = "";
  #feed: ChangeFeed<unknown, KvChangeEvent> | undefined;
  #stop = false;

  constructor(selector: ChangeSelector, pausesMs: number, order: "commit" | "shard" = "commit") {
    this.#selector = selector;
    this.#pausesMs = pausesMs;
    this.#order = order;
  }

  /** Follows until everything up to `through` was handled, going away and coming back meanwhile. */
  async follow(kv: Kv, through: Promise<string>): Promise<void> {
    let end = "\uffff";
    void through.then((versionstamp) => {
      end = versionstamp;
    });
    this.#stop = false;
    while (!this.#stop) await this.#visit(kv, () => end);
  }

  async #visit(kv: Kv, end: () => string): Promise<void> {
    const bufferCountMax = 1 + random(20);
    const leaveAfter = this.#order === "shard" ? Number.POSITIVE_INFINITY : 1 + random(2000);
    const options = { since: this.#position, bufferCountMax, progressMs: 5, order: this.#order };
    this.#feed = kv.changes(this.#selector, options);
    let handled = 0;
    for await (const event of this.#feed) {
      this.#position = event.position;
      if (event.type === "progress") {
        this.#stop = event.versionstamp >= end();
        if (this.#stop) return;
        continue;
      }
      if (event.type === "lagged") throw new Error("nothing was to be lost");
      if (this.#order === "commit") expect(event.versionstamp >= this.#versionstamp).toBe(true);
      this.#versionstamp = event.versionstamp;
      this.lines.push(describe({ ...event, name: nameOf(event.key) }));
      if (this.#pausesMs > 0 && random(200) === 0) await sleep(this.#pausesMs);
      if (++handled === leaveAfter) return;
    }
  }
}

async function write(kv: Kv, first: number): Promise<void> {
  let next = first;
  const writer = async (): Promise<void> => {
    while (next < first + COMMITS_A_LIFE) {
      // What a death leaves unknown is in the log, or it is not: the logs are the judge.
      const made = await ledgerCommit(kv, next++, "mixed")
        .commit()
        .catch(() => undefined);
      if (made === undefined) await sleep(1);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
}

async function kill({ faults }: OpenStore): Promise<void> {
  for (let death = 0; death < DEATHS_A_LIFE; death++) {
    armFault(faults, random(SHARDS), FATAL[random(FATAL.length)]!, 1 + random(20));
    await sleep(20 + random(50));
  }
}

function selects(prefix: KvKey): (line: string) => boolean {
  return (line) => line.split(" ").slice(2).join(" ").startsWith(nameOf(prefix).slice(0, -1));
}

test(`through deaths, reopenings, pauses and absences every consumer gets what the logs say (BELFRY_SEED=${SEED})`, {
  timeout: 60_000 * LIVES,
}, async () => {
  const path = join(temporaryDirectory(), "store");
  const consumers = [
    new Consumer({ prefix: [] }, 0),
    new Consumer({ prefix: [] }, 20),
    new Consumer({ prefix: ["account"] }, 5),
    new Consumer({ prefix: ["mark-b"] }, 0),
  ];
  for (let life = 0; life < LIVES; life++) {
    const store = await open(path);
    // It can't come back without repeating: it lives as long as the store does, and is judged at the end of that life.
    const ahead = new Consumer({ prefix: [] }, 5, "shard");
    let ended = (_versionstamp: string): void => {};
    const through = new Promise<string>((resolve) => {
      ended = resolve;
    });
    const following = Promise.all(
      [...consumers, ahead].map((consumer) => consumer.follow(store.kv, through)),
    );
    await Promise.all([write(store.kv, life * COMMITS_A_LIFE), kill(store)]);
    new Int32Array(store.faults).fill(0);
    ended((await store.kv.set([LAST_KEY, life], life)).versionstamp);
    await following;
    await store.kv.close();
    const logged = (await readChangeLogs(path, SHARDS)).map(describe);
    expect(logged.length).toBeGreaterThan((life + 1) * COMMITS_A_LIFE);
    expect([...ahead.lines].sort()).toEqual([...logged].sort());
  }
  const logged = (await readChangeLogs(path, SHARDS)).map(describe);
  const [all, slow, accounts, marks] = consumers;
  expect(all!.lines).toEqual(logged);
  expect(slow!.lines).toEqual(logged);
  expect(accounts!.lines).toEqual(logged.filter(selects(["account"])));
  expect(marks!.lines).toEqual(logged.filter(selects(["mark-b"])));
});

test("channels tell of a ring that has overtaken its reader, and of a shard whose thread was replaced", async () => {
  const heard = new Map<string, unknown>();
  for (const name of ["belfry:lap", "belfry:shard-restart"]) {
    const note = (message: unknown) => heard.set(name, message);
    subscribe(name, note);
    onTestFinished(() => void unsubscribe(name, note));
  }
  const store = await open(join(temporaryDirectory(), "store"));
  const feed = store.kv.changes({ prefix: [] });
  // More than the ring holds, in one publication.
  const operation = store.kv.atomic();
  for (let n = 0; n < 500; n++) operation.set(["k", 0, n], n);
  await operation.commit();
  let count = 0;
  for await (const _ of feed) if (++count === 500) break;
  expect(heard.get("belfry:lap")).toEqual({ shard: expect.any(Number) });
  armFault(store.faults, 1, FaultPoint.turn);
  for (let n = 0; !heard.has("belfry:shard-restart"); n++) {
    await store.kv.set(["n", n], n).catch(() => undefined);
    await sleep(1);
  }
  expect(heard.get("belfry:shard-restart")).toEqual({ shard: 1, restarts: 1 });
  // It may be needed to close.
  while (store.kv.stats().shards[1]!.state !== "running") await sleep(1);
});
