/** Queues: what `enqueue` takes, that messages come at least once, when, and what becomes of those that nobody handles. */
import assert from "node:assert/strict";
import { rejects, throws } from "./refusals.js";
import type { AnyKv, Bench, ContractCase, Subject } from "./subject.js";

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const nothing = () => {};
const MAX_DELAY = 30 * 24 * 3_600_000;

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    assert(tries < 500, "it did not come within 10 s");
    await later(20);
  }
}

/** Runs with a store of its own, since a listener goes on until its store is closed. */
async function withOwn({ subject }: Bench, run: (kv: AnyKv) => Promise<void>): Promise<void> {
  const kv = await subject.openKv(":memory:");
  try {
    await run(kv);
  } finally {
    kv[Symbol.dispose]();
  }
}

const cases: ContractCase[] = [
  {
    name: "enqueue has a versionstamp, and its message comes, alone or with a commit",
    run: (bench) =>
      withOwn(bench, async (kv) => {
        const received: unknown[] = [];
        const listening = kv.listenQueue((message: unknown) => void received.push(message));
        const result = await kv.enqueue({ n: new Map([[1, 2n]]) });
        assert.deepEqual([result.ok, /^[0-9a-f]{20}$/.test(result.versionstamp)], [true, true]);
        await until(() => received.length === 1);
        assert.deepEqual(received, [{ n: new Map([[1, 2n]]) }]);
        await kv.atomic().set(["with"], 1).enqueue("second").commit();
        await until(() => received.length === 2);
        assert.deepEqual([received[1], (await kv.get(["with"])).value], ["second", 1]);
        kv.close();
        assert.equal(await listening, undefined);
      }),
  },
  {
    name: "a commit whose check fails enqueues nothing",
    run: (bench) =>
      withOwn(bench, async (kv) => {
        const received: unknown[] = [];
        kv.listenQueue((message: unknown) => void received.push(message));
        await kv.set(["a"], 1);
        await kv
          .atomic()
          .check({ key: ["a"], versionstamp: null })
          .enqueue("never")
          .commit();
        await kv.enqueue("after");
        await until(() => received.length > 0);
        await later(200);
        assert.deepEqual(received, ["after"]);
      }),
  },
  {
    name: "a message waits for a listener, and for its delay",
    run: (bench) =>
      withOwn(bench, async (kv) => {
        const enqueuedMs = Date.now();
        await kv.enqueue("late", { delay: 600 });
        await kv.enqueue("soon");
        const received: [unknown, number][] = [];
        kv.listenQueue((message: unknown) => void received.push([message, Date.now() - enqueuedMs]));
        await until(() => received.length === 2);
        assert.deepEqual(
          received.map(([message]) => message),
          ["soon", "late"],
        );
        assert(received[1]![1] >= 600, `it came after ${received[1]![1]} ms`);
      }),
  },
  {
    name: "handlers run at the same time",
    run: (bench) =>
      withOwn(bench, async (kv) => {
        let running = 0;
        let most = 0;
        kv.listenQueue(async () => {
          most = Math.max(most, ++running);
          await later(200);
          running--;
        });
        await Promise.all(Array.from({ length: 5 }, (_, n) => kv.enqueue(n)));
        await until(() => most === 5);
      }),
  },
  {
    name: "several listeners share the messages, each comes once",
    run: (bench) =>
      withOwn(bench, async (kv) => {
        const received: unknown[][] = [[], [], []];
        for (const mine of received) kv.listenQueue((message: unknown) => void mine.push(message));
        for (let n = 0; n < 30; n++) await kv.enqueue(n);
        await until(() => received.flat().length >= 30);
        await later(200);
        assert.deepEqual(
          (received.flat() as number[]).sort((a, b) => a - b),
          Array.from({ length: 30 }, (_, n) => n),
        );
        assert(received.every((mine) => mine.length > 0));
      }),
  },
  {
    name: "a handler that throws is tried again after each interval, and no more without a schedule",
    run: (bench) =>
      withOwn(bench, async (kv) => {
        const tries: Record<string, number> = {};
        kv.listenQueue((name: string) => {
          tries[name] = (tries[name] ?? 0) + 1;
          if (name !== "second" || tries[name] < 2) throw new Error(`try ${tries[name]} of ${name}`);
        });
        await kv.enqueue("never", { backoffSchedule: [] });
        await kv.enqueue("thrice", { backoffSchedule: [1, 1] });
        await kv.enqueue("second", { backoffSchedule: [1, 1, 1] });
        await until(() => tries["thrice"] === 3 && tries["second"] === 2);
        await later(500);
        assert.deepEqual(tries, { never: 1, thrice: 3, second: 2 });
      }),
  },
  {
    name: "what nobody could handle is written under its keys, all with one versionstamp",
    run: (bench) =>
      withOwn(bench, async (kv) => {
        kv.listenQueue(() => {
          throw new Error("no");
        });
        const keysIfUndelivered = [
          ["lost", 1],
          ["lost", 2],
        ];
        await kv.enqueue({ a: 1 }, { keysIfUndelivered, backoffSchedule: [1] });
        await until(async () => (await kv.get(["lost", 2])).versionstamp !== null);
        const [one, two] = await kv.getMany(keysIfUndelivered);
        assert.deepEqual([one.value, two.value], [{ a: 1 }, { a: 1 }]);
        assert.equal(one.versionstamp, two.versionstamp);
      }),
  },
  {
    name: "messages outlive the store's closing",
    run: async ({ subject }) => {
      const path = subject.newPath();
      const first = await subject.openKv(path);
      await first.enqueue("kept", { delay: 50 });
      await first.close();
      const again = await subject.openKv(path);
      const received: unknown[] = [];
      again.listenQueue((message: unknown) => void received.push(message));
      await until(() => received.length === 1);
      assert.deepEqual(received, ["kept"]);
      await again.close();
    },
  },
  {
    name: "delays, schedules and messages are refused at the call by atomic, and reject in enqueue",
    run: async ({ kv }) => {
      const days = "Delay cannot be greater than 30 days: received";
      const refused: [unknown, unknown, string][] = [
        ["m", { delay: -1 }, "Delay must be >= 0: received -1"],
        ["m", { delay: Number.NaN }, "Delay cannot be NaN"],
        ["m", { delay: MAX_DELAY + 1 }, `${days} ${MAX_DELAY + 1}`],
        ["m", { delay: Number.POSITIVE_INFINITY }, `${days} Infinity`],
        ["m", { backoffSchedule: [1, 2, 3, 4, 5, 6] }, "Invalid backoffSchedule, max 5 intervals allowed"],
        ["m", { backoffSchedule: [-1] }, "Invalid backoffSchedule, interval at index 0 is invalid"],
        ["m", { backoffSchedule: [1, 3_600_001] }, "Invalid backoffSchedule, interval at index 1 is invalid"],
        ["m", { backoffSchedule: [Number.NaN] }, "Invalid backoffSchedule, interval at index 0 is invalid"],
        [nothing, {}, `${nothing} could not be cloned.`],
      ];
      for (const [message, options, text] of refused) {
        await rejects(() => kv.enqueue(message, options), "TypeError", text);
        throws(() => kv.atomic().enqueue(message, options), "TypeError", text);
      }
      kv.atomic().enqueue("m", { delay: MAX_DELAY, backoffSchedule: [0, 0, 0, 0, 3_600_000] });
    },
  },
  {
    name: "a message has up to 65,536 serialized bytes; atomic tells at the commit",
    appliesTo: ({ hasDenoLimits }) => hasDenoLimits,
    run: (bench) =>
      withOwn(bench, async (kv) => {
        const text = "enqueue payload too large (max 65536 bytes)";
        assert.equal((await kv.enqueue("x".repeat(65_530), { delay: 1e6 })).ok, true);
        await rejects(() => kv.enqueue("x".repeat(65_531)), "TypeError", text);
        const operation = kv.atomic().enqueue("x".repeat(65_531));
        await rejects(() => operation.commit(), "TypeError", text);
      }),
  },
  {
    name: "enqueues count as mutations",
    appliesTo: ({ hasDenoLimits }) => hasDenoLimits,
    run: async ({ kv }) => {
      const operation = kv.atomic().enqueue("m");
      for (let n = 0; n < 1000; n++) operation.delete(["n", n]);
      await rejects(() => operation.commit(), "TypeError", "Too many mutations (max 1000)");
    },
  },
  {
    name: "closing ends listenQueue; afterwards it rejects, and enqueue is a BadResource",
    run: async ({ subject }) => {
      const kv = await subject.openKv(":memory:");
      const listening = [kv.listenQueue(() => {}), kv.listenQueue(() => {})];
      await later(20);
      kv.close();
      assert.deepEqual(await Promise.all(listening), [undefined, undefined]);
      await rejects(() => kv.listenQueue(() => {}), "Error", "Queue already closed");
      await rejects(() => kv.enqueue("m"), "BadResource", "Bad resource ID");
      await rejects(() => kv.enqueue("m", { delay: -1 }), "TypeError");
    },
  },
];

/** Where an implementation has queues. */
export const queueCases: ContractCase[] = cases.map((one) => ({
  ...one,
  appliesTo: (subject: Subject) => subject.hasQueues && one.appliesTo?.(subject) !== false,
}));

/** What Belfry's queues do better, on purpose. */
export const queueDifferenceCases: ContractCase[] = [
  {
    name: "a watch hears the keys of a message that nobody could handle",
    appliesTo: ({ hasQueues }) => hasQueues,
    run: (bench) =>
      withOwn(bench, async (kv) => {
        const reader = kv.watch([["lost"]]).getReader();
        await reader.read();
        const next = reader.read();
        kv.listenQueue(() => {
          throw new Error("no");
        });
        await kv.enqueue("m", { keysIfUndelivered: [["lost"]], backoffSchedule: [] });
        const heard = await Promise.race([next, later(3000)]);
        assert.equal(heard?.value?.[0]?.value, "m");
      }),
  },
];
