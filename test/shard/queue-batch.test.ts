/** The moves of a message from state to state, one transaction at a time, on a real store and with a time that is given. */
import { describe, expect, onTestFinished, test } from "vitest";
import { Outcome, type Settlement } from "../../src/codec/queue-command.js";
import { encodeMessage } from "../../src/codec/queue-message.js";
import { type LeaseFields, type Reply, ReplyStatus } from "../../src/codec/reply-frame.js";
import { type DeadBounds, idName, QueueBatch } from "../../src/shard/queue-batch.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { tempPath } from "../kv/temp-store.js";
import { hexOf } from "./stored-entries.js";

const ME = 7;
const ROOMY: DeadBounds = { countMax: 1000, bytesMax: 1_000_000 };
const NOTHING = new Set<string>();

/** A queue that runs each call in a transaction of its own, and checks after each that its counts are true. */
class Queue {
  readonly #store: ShardStore;
  readonly #batch: QueueBatch;
  #counter = 0;
  /** What leases the shard's thread found when it began. */
  inherited: ReadonlySet<string> = NOTHING;

  constructor(bounds = ROOMY, store = openStore()) {
    this.#store = store;
    this.#batch = new QueueBatch(store.queue, bounds);
  }

  /** The same store under a new thread. */
  restarted(): Queue {
    const queue = new Queue(ROOMY, this.#store);
    queue.#counter = this.#counter;
    queue.inherited = new Set(this.#store.queue.leases().map(({ id }) => idName(id)));
    return queue;
  }

  enqueue(
    nowMs: number,
    names: readonly string[],
    delayMs = 0,
    backoffMs: readonly number[] = [10, 20],
  ): void {
    const enqueues = names.map((name) => ({
      delayMs,
      message: encodeMessage({
        encoding: 3,
        value: Buffer.from(name),
        enqueuedAtMs: nowMs,
        backoffMs,
        keys: [],
      }),
    }));
    const counter = ++this.#counter;
    this.#run((batch) => batch.apply({ shard: 0, enqueues, burials: [] }, counter, 1, nowMs));
  }

  lease(want: number, nowMs = 0, { holder = ME, listeners = 1 } = {}): readonly LeaseFields[] {
    return this.turn({ want, nowMs, holder, listeners }).leases;
  }

  settle(nowMs: number, outcome: Outcome, ...leases: readonly LeaseFields[]): number {
    return this.turn({ nowMs, settlements: leases.map(({ id }) => ({ id, outcome })) }).count;
  }

  turn({
    want = 0,
    nowMs = 0,
    holder = ME,
    listeners = 1,
    settlements = [] as readonly Settlement[],
    held = null as readonly Uint8Array[] | null,
  }): Extract<Reply, { status: typeof ReplyStatus.queue }> {
    const command = { kind: "turn" as const, want, settlements, held };
    return asQueueReply(
      this.#run((batch) => batch.run(command, { holder, listeners }, nowMs, this.inherited)),
    );
  }

  revive(kind: "requeue" | "remove", ids: readonly Uint8Array[], nowMs = 0, delayMs = 0): number {
    const command = kind === "requeue" ? { kind, ids, delayMs } : { kind, ids };
    const asker = { holder: ME, listeners: 1 };
    return asQueueReply(this.#run((batch) => batch.run(command, asker, nowMs, NOTHING))).count;
  }

  bury(nowMs: number, error: string, ...leases: readonly LeaseFields[]): void {
    const burials = leases.map(({ id }) => ({ id, holder: ME, failures: 1, error: Buffer.from(error) }));
    this.#run((batch) => batch.apply({ shard: 0, enqueues: [], burials }, ++this.#counter, 1, nowMs));
  }

  moveDue(nowMs: number, limit = 100): number {
    return this.#run((batch) => batch.moveDue(nowMs, limit));
  }

  interrupt(isGone: (holder: number) => boolean, limit = 100): number {
    return this.#run((batch) => batch.interrupt(isGone, limit));
  }

  /** A transaction that does all this and fails. */
  fail(write: (batch: QueueBatch) => void): void {
    const run = () =>
      this.#store.transaction(() => {
        this.#batch.reset();
        write(this.#batch);
        this.#batch.finish();
        throw new Error("on purpose");
      });
    expect(run).toThrow("on purpose");
    this.#store.renew();
    this.#batch.discard();
    this.#checkCounts();
  }

  names(leases: readonly { readonly id: Uint8Array }[]): string[] {
    return leases.map(({ id }) => {
      const message = this.#store.queue.message(id)!;
      return Buffer.from(message.subarray(12 + 8 * message[1]!)).toString();
    });
  }

  get counts(): object {
    const { delayed, ready, leased, dead, dropped } = this.#store.queue.counts();
    return { delayed, ready, leased, dead, dropped };
  }

  get dead(): ReturnType<ShardStore["queue"]["deadAfter"]> {
    return this.#store.queue.deadAfter(null, 1000);
  }

  get nextDueMs(): number {
    return this.#batch.nextDueMs;
  }

  #run<T>(write: (batch: QueueBatch) => T): T {
    const result = this.#store.transaction(() => {
      this.#batch.reset();
      const written = write(this.#batch);
      this.#batch.finish();
      return written;
    });
    this.#store.renew();
    this.#checkCounts();
    return result;
  }

  #checkCounts(): void {
    const { queue } = this.#store;
    const dead = queue.deadAfter(null, 10_000);
    const states = {
      delayed: queue.firstWaiting("delayed", 10_000),
      ready: queue.firstWaiting("ready", 10_000),
      leased: queue.leases(),
      dead,
    };
    const ids = Object.values(states).flatMap((rows) => rows.map(({ id }) => hexOf(id)));
    expect(new Set(ids).size, "each message is in one state").toBe(ids.length);
    for (const id of ids) expect(queue.message(Buffer.from(id, "hex")), id).toBeDefined();
    expect(queue.counts()).toMatchObject({
      delayed: states.delayed.length,
      ready: states.ready.length,
      leased: states.leased.length,
      dead: dead.length,
      deadBytes: dead.reduce((sum, { bytes }) => sum + bytes, 0),
    });
    expect(this.#batch.readyCount).toBe(states.ready.length);
    expect(this.#batch.leasedCount).toBe(states.leased.length);
    expect(this.nextDueMs).toBe(states.delayed[0]?.dueMs ?? Number.POSITIVE_INFINITY);
  }
}

function openStore(): ShardStore {
  const store = ShardStore.open(tempPath(), "relaxed");
  onTestFinished(() => store.close());
  return store;
}

function asQueueReply(reply: Reply): Extract<Reply, { status: typeof ReplyStatus.queue }> {
  if (reply.status !== ReplyStatus.queue) throw new Error(`the answer is of status ${reply.status}`);
  return reply;
}

describe("messages that are due", () => {
  test("are leased in the order of their commits, and within a commit in that of their calls", () => {
    const queue = new Queue();
    queue.enqueue(5, ["a", "b"]);
    queue.enqueue(5, ["c"]);
    expect(queue.names(queue.lease(2, 5))).toEqual(["a", "b"]);
    expect(queue.names(queue.lease(2, 5))).toEqual(["c"]);
    expect(queue.lease(2, 5)).toEqual([]);
  });

  test("keep that order when the clock steps back", () => {
    const queue = new Queue();
    queue.enqueue(5000, ["first"]);
    queue.enqueue(1000, ["second"]);
    queue.enqueue(3000, ["third"]);
    expect(queue.names(queue.lease(9))).toEqual(["first", "second", "third"]);
  });

  test("are shared evenly among those who could take some, and nobody gets none while there is one", () => {
    const queue = new Queue();
    queue.enqueue(
      0,
      Array.from({ length: 10 }, (_, index) => String(index)),
    );
    expect(queue.lease(100, 0, { holder: 1, listeners: 3 })).toHaveLength(4);
    expect(queue.lease(100, 0, { holder: 2, listeners: 3 })).toHaveLength(2);
    expect(queue.lease(1, 0, { holder: 3, listeners: 3 })).toHaveLength(1);
    expect(queue.lease(100, 0, { holder: 1, listeners: 9 })).toHaveLength(1);
    expect(queue.lease(100, 0, { holder: 1, listeners: 1 })).toHaveLength(2);
  });
});

describe("delayed messages", () => {
  test("are ready at their time and not before, the earliest due first", () => {
    const queue = new Queue();
    queue.enqueue(1000, ["late"], 200);
    queue.enqueue(1000, ["early"], 100);
    expect(queue.nextDueMs).toBe(1100);
    expect(queue.moveDue(1099)).toBe(0);
    expect(queue.lease(9, 1099)).toEqual([]);
    expect(queue.moveDue(1100)).toBe(1);
    expect(queue.nextDueMs).toBe(1200);
    expect(queue.moveDue(5000)).toBe(1);
    expect(queue.names(queue.lease(9, 5000))).toEqual(["early", "late"]);
  });

  test("stand among those without a delay where their time puts them", () => {
    const queue = new Queue();
    queue.enqueue(1000, ["due at 1100"], 100);
    queue.enqueue(1050, ["due at 1050"]);
    queue.enqueue(1150, ["due at 1150"]);
    queue.moveDue(1150);
    expect(queue.names(queue.lease(9))).toEqual(["due at 1050", "due at 1100", "due at 1150"]);
  });

  test("are moved a bounded number at a time", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a", "b", "c"], 1);
    expect([queue.moveDue(9, 2), queue.moveDue(9, 2), queue.moveDue(9, 2)]).toEqual([2, 1, 0]);
  });
});

describe("a lease", () => {
  test("that is settled as done leaves nothing", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"]);
    const leases = queue.lease(1);
    expect(queue.counts).toMatchObject({ ready: 0, leased: 1 });
    expect(queue.settle(0, Outcome.done, ...leases)).toBe(1);
    expect(queue.counts).toEqual({ delayed: 0, ready: 0, leased: 0, dead: 0, dropped: 0 });
  });

  test("that fails backs off by the next interval of its schedule, and counts", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"], 0, [10, 20]);
    queue.settle(100, Outcome.failed, ...queue.lease(1, 100));
    expect(queue.nextDueMs).toBe(110);
    queue.moveDue(110);
    const second = queue.lease(1, 110);
    expect(second[0]).toMatchObject({ failures: 1, interruptions: 0 });
    queue.settle(200, Outcome.failed, ...second);
    expect(queue.nextDueMs).toBe(220);
  });

  test("that fails without an interval left, or with one of 0, is ready again at once", () => {
    const queue = new Queue();
    queue.enqueue(0, ["none"], 0, []);
    queue.enqueue(0, ["zero"], 0, [0]);
    queue.settle(50, Outcome.failed, ...queue.lease(2));
    const again = queue.lease(2, 50);
    expect(queue.names(again)).toEqual(["none", "zero"]);
    expect(again.map(({ failures }) => failures)).toEqual([1, 1]);
  });

  test("that is returned is where it was, before what came later, and nothing was counted", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"]);
    const [lease] = queue.lease(1);
    queue.enqueue(1, ["b"]);
    queue.settle(9, Outcome.returned, lease!);
    const leases = queue.lease(2, 9);
    expect(queue.names(leases)).toEqual(["a", "b"]);
    expect(leases[0]).toEqual(lease);
  });

  test("is settled by its holder only, and once", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"]);
    const [lease] = queue.lease(1);
    const settlements = [{ id: lease!.id, outcome: Outcome.done }];
    expect(queue.turn({ holder: ME + 1, settlements }).count).toBe(0);
    expect(queue.counts).toMatchObject({ leased: 1 });
    expect(queue.turn({ settlements }).count).toBe(1);
    expect(queue.turn({ settlements }).count).toBe(0);
  });

  test("of a holder that is gone is ready again, and the interruption is counted", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a", "b", "c"]);
    queue.lease(2, 0, { holder: 1 });
    queue.lease(1, 0, { holder: 2 });
    expect(queue.interrupt((holder) => holder === 1, 1)).toBe(1);
    expect(queue.interrupt((holder) => holder === 1, 100)).toBe(1);
    expect(queue.interrupt((holder) => holder === 1, 100)).toBe(0);
    const again = queue.lease(9);
    expect(queue.names(again)).toEqual(["a", "b"]);
    expect(again.map(({ interruptions }) => interruptions)).toEqual([1, 1]);
  });

  test("never ends by time", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"]);
    const leases = queue.lease(1);
    for (let day = 1; day <= 40; day++) {
      const nowMs = day * 86_400_000;
      queue.moveDue(nowMs);
      queue.interrupt((holder) => holder !== ME);
      expect(queue.lease(9, nowMs)).toEqual([]);
    }
    expect(queue.settle(0, Outcome.done, ...leases)).toBe(1);
  });

  test("that the old thread could not tell of goes back when its holder names the ones it knows, and no later one does", () => {
    const before = new Queue();
    before.enqueue(0, ["known", "lost"]);
    const [known] = before.lease(2);
    const queue = before.restarted();
    queue.enqueue(0, ["later"]);
    // On its way while the holder writes down what it holds.
    const later = queue.lease(1);
    expect(queue.names(later)).toEqual(["later"]);
    const { leases } = queue.turn({ held: [known!.id], want: 9 });
    expect(queue.names(leases)).toEqual(["lost"]);
    expect(leases[0]).toMatchObject({ interruptions: 0 });
    expect(queue.counts).toMatchObject({ leased: 3, ready: 0 });
  });
});

describe("a message that dies", () => {
  test("is kept with its time, its error and its tries, in the order of the commits", () => {
    const queue = new Queue();
    queue.enqueue(1, ["a", "b"]);
    const [a, b] = queue.lease(2);
    queue.bury(50, "b broke", b!);
    queue.bury(60, "a broke", a!);
    expect(queue.names(queue.dead)).toEqual(["a", "b"]);
    expect(queue.dead.map(({ diedAtMs, error }) => [diedAtMs, Buffer.from(error).toString()])).toEqual([
      [60, "a broke"],
      [50, "b broke"],
    ]);
  });

  test("dies once: without a lease nothing happens", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"]);
    const [lease] = queue.lease(1);
    queue.bury(0, "", lease!);
    queue.bury(9, "", lease!);
    expect(queue.dead.map(({ diedAtMs }) => diedAtMs)).toEqual([0]);
  });

  test("is tried anew when it is requeued, with its delay", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"]);
    const [lease] = queue.lease(1);
    queue.settle(0, Outcome.failed, lease!);
    queue.moveDue(1000);
    queue.bury(0, "", ...queue.lease(1));
    expect(queue.revive("requeue", [lease!.id], 2000, 30)).toBe(1);
    expect(queue.revive("requeue", [lease!.id])).toBe(0);
    expect(queue.nextDueMs).toBe(2030);
    queue.moveDue(2030);
    expect(queue.lease(1)).toEqual([{ id: lease!.id, failures: 0, interruptions: 0 }]);
  });

  test("is gone when it is removed", () => {
    const queue = new Queue();
    queue.enqueue(0, ["a"]);
    const [lease] = queue.lease(1);
    queue.bury(0, "", lease!);
    expect(queue.revive("remove", [lease!.id])).toBe(1);
    expect(queue.counts).toEqual({ delayed: 0, ready: 0, leased: 0, dead: 0, dropped: 0 });
  });

  test.each([
    { what: "by number", bounds: { countMax: 3, bytesMax: 1e9 } },
    { what: "by bytes", bounds: { countMax: 1e9, bytesMax: 3 * 29 } },
  ])("pushes out the oldest when there are too many $what, and that is counted", ({ bounds }) => {
    const queue = new Queue(bounds);
    for (const name of ["a", "b", "c", "d", "e"]) {
      queue.enqueue(0, [name]);
      queue.bury(0, "", ...queue.lease(1));
    }
    expect(queue.names(queue.dead)).toEqual(["c", "d", "e"]);
    expect(queue.counts).toMatchObject({ dead: 3, dropped: 2 });
  });
});

test("a transaction that fails has moved nothing", () => {
  const queue = new Queue();
  queue.enqueue(0, ["a", "b"]);
  queue.enqueue(0, ["later"], 50);
  const [lease] = queue.lease(1);
  const { counts } = queue;
  const settlements = [{ id: lease!.id, outcome: Outcome.done }];
  queue.fail((batch) => {
    const command = { kind: "turn" as const, want: 5, settlements, held: null };
    batch.run(command, { holder: ME, listeners: 1 }, 0, NOTHING);
    batch.moveDue(100, 10);
  });
  expect(queue.counts).toEqual(counts);
  expect(queue.settle(0, Outcome.done, lease!)).toBe(1);
});
