/**
 * The queue and a naive model of it, side by side: random enqueues, delays, failures, listeners, reopenings, and a clock that is moved by hand.
 *
 * `BELFRY_SEED=<n>` replays a seed, `BELFRY_RUNS=<n>` sets the runs (default 6).
 */
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Kv, ManualClock, openKv } from "../../src/index.js";
import { type PlannedMessage, QueueModel, willThrow } from "./queue-model.js";
import { tempPath } from "./temp-store.js";

const SEED = Number(process.env["BELFRY_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = Number(process.env["BELFRY_RUNS"] ?? 6);
const COMMANDS = 25;
const SETTLE_MS_MAX = 20_000;

type Way = "alone" | "with a key" | "with many keys" | "refused";
type Command =
  | { readonly kind: "enqueue"; readonly way: Way; readonly plans: readonly Omit<PlannedMessage, "n">[] }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "listen" }
  | { readonly kind: "requeue"; readonly choice: number }
  | { readonly kind: "reopen"; readonly listeners: number };

const plan = fc.record({
  delay: fc.constantFrom(0, 0, 0, 5, 50, 500),
  backoff: fc.constantFrom<number[]>([], [10], [0, 20], [5, 5, 5]),
  fails: fc.constantFrom(0, 0, 0, 1, 2, 9),
  hangs: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("enqueue" as const),
      way: fc.constantFrom<Way>("alone", "alone", "with a key", "with many keys", "refused"),
      plans: fc.array(plan, { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(1, 5, 10, 100) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("listen" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("requeue" as const), choice: fc.nat(99) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("reopen" as const), listeners: fc.integer({ min: 0, max: 3 }) }),
  },
);

/** A store and its model. */
class Pair {
  readonly #path = tempPath();
  readonly #clock = new ManualClock(1000);
  readonly #model = new QueueModel();
  readonly #triedMs = new Map<number, number[]>();
  readonly #shards: number;
  #kv: Kv | null = null;
  #listeners = 0;
  #next = 0;

  constructor(shards: number) {
    this.#shards = shards;
  }

  async open(listeners: number): Promise<void> {
    this.#kv = await openKv(this.#path, { shards: this.#shards, clock: this.#clock, durability: "relaxed" });
    this.#listeners = 0;
    for (let listener = 0; listener < listeners; listener++) this.#listen();
  }

  async close(): Promise<void> {
    await this.#kv!.close();
    this.#model.reopen();
  }

  async run(given: Command): Promise<void> {
    switch (given.kind) {
      case "enqueue":
        return this.#enqueue(given.way, given.plans);
      case "advance":
        return this.#clock.advance(given.ms);
      case "listen":
        return this.#listen();
      case "requeue":
        return this.#requeue(given.choice);
      case "reopen":
        await this.close();
        await this.open(given.listeners);
    }
  }

  /** Waits until the store has come to rest, and compares. */
  async compare(): Promise<void> {
    const nowMs = this.#clock.nowMs();
    if (this.#listeners > 0) this.#model.handle(nowMs);
    const model = this.#model;
    const due = model.numbers("waiting").length;
    const expected = {
      leased: model.numbers("hanging").length,
      dead: model.numbers("dead").length,
      ...(this.#listeners > 0 && { ready: 0, delayed: due, nextDueMs: model.nextDueMs }),
    };
    const deadlineMs = Date.now() + SETTLE_MS_MAX;
    const isThere = () => {
      const stats = this.#kv!.queueStats();
      return (
        Object.entries(expected).every(([name, value]) => stats[name as keyof typeof stats] === value) &&
        stats.ready + stats.delayed === due &&
        // A message is leased before its handler is called.
        [...model.triedMs].every(([n, { length }]) => (this.#triedMs.get(n)?.length ?? 0) >= length)
      );
    };
    while (!isThere() && Date.now() < deadlineMs) await sleep(1);
    expect(this.#kv!.queueStats()).toMatchObject(expected);
    for (const [n, triedMs] of model.triedMs)
      expect(this.#triedMs.get(n) ?? [], `tries of ${n}`).toEqual(triedMs);
    const dead: number[] = [];
    for await (const { value, keysIfUndelivered } of this.#kv!.deadLetters.list<PlannedMessage>()) {
      dead.push(value.n);
      for (const { value: kept } of await this.#kv!.getMany(keysIfUndelivered.slice(0, 10))) {
        expect(kept, `what ${value.n} left`).toMatchObject({ n: value.n });
      }
    }
    expect(dead.sort((a, b) => a - b)).toEqual(model.numbers("dead"));
  }

  #listen(): void {
    this.#listeners++;
    const handler = async (planned: PlannedMessage) => {
      const triedMs = this.#triedMs.get(planned.n) ?? [];
      this.#triedMs.set(planned.n, triedMs);
      triedMs.push(this.#clock.nowMs());
      if (planned.hangs && triedMs.length === 1) await new Promise(() => {});
      if (willThrow(planned, triedMs.length)) throw new Error("as planned");
    };
    void this.#kv!.listenQueue(handler, { onError: () => {}, concurrency: 1000 });
  }

  async #enqueue(way: Way, plans: readonly Omit<PlannedMessage, "n">[]): Promise<void> {
    const planned = plans.map((one) => ({ ...one, n: this.#next++ }));
    const optionsOf = ({ n, delay, backoff }: PlannedMessage) => ({
      delay,
      backoffSchedule: backoff,
      keysIfUndelivered: n % 2 === 0 ? [] : [["left", n] as const, ["also left", n] as const],
    });
    if (way === "alone") {
      await Promise.all(planned.map((one) => this.#kv!.enqueue(one, optionsOf(one))));
    } else {
      const commit = this.#kv!.atomic();
      if (way === "refused") commit.check({ key: ["nothing"], versionstamp: "0".repeat(20) });
      for (let place = 0; place < (way === "with many keys" ? 8 : 1); place++)
        commit.set(["key", place], place);
      for (const one of planned) commit.enqueue(one, optionsOf(one));
      const { ok } = await commit.commit();
      expect(ok).toBe(way !== "refused");
      if (!ok) return;
    }
    for (const one of planned) this.#model.enqueue(one, this.#clock.nowMs());
  }

  async #requeue(choice: number): Promise<void> {
    const dead = this.#model.numbers("dead");
    if (dead.length === 0) return;
    const n = dead[choice % dead.length]!;
    for await (const { id, value } of this.#kv!.deadLetters.list<PlannedMessage>()) {
      if (value.n === n) expect(await this.#kv!.deadLetters.requeue(id)).toBe(true);
    }
    this.#model.requeue(n, this.#clock.nowMs());
  }
}

test(`every message is tried when it should be, and no other time, whatever happens between (BELFRY_SEED=${SEED})`, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.array(command, { minLength: 5, maxLength: COMMANDS }),
      async (shards, commands) => {
        const pair = new Pair(shards);
        await pair.open(1);
        try {
          for (const one of commands) {
            await pair.run(one);
            await pair.compare();
          }
        } finally {
          await pair.close();
        }
      },
    ),
    {
      seed: SEED,
      numRuns: RUNS,
      endOnFailure: true,
      interruptAfterTimeLimit: 25_000,
      markInterruptAsFailure: false,
    },
  );
});
