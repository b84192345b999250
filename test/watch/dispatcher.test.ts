import { describe, expect, test } from "vitest";
import { encodeKey, type KvKey } from "../../src/codec/key.js";
import { KvClosedError } from "../../src/errors.js";
import { DISPATCH_BACKLOG_BYTES_MAX, DISPATCH_CHANGES_MAX } from "../../src/limits.js";
import type { CommitListener, OffersFrom, Subscription } from "../../src/watch/dispatcher.js";
import type { KvChange } from "../../src/watch/kv-change.js";
import { FakeEngine, type FakeEngineOptions, seenOf } from "./fake-engine.js";

/** A listener that notes what it is offered: one array a commit. */
class Notes implements CommitListener {
  readonly commits: KvChange[][] = [];
  ending: unknown = "open";
  /** Called within its first offer. */
  onFirst: () => void = () => {};
  readonly subscription: Subscription;

  constructor(engine: FakeEngine, prefix: KvKey = [], from: OffersFrom = "later") {
    const selectors = [{ kind: "prefix", bytes: encodeKey(prefix) } as const];
    this.subscription = engine.dispatcher.listen(selectors, this, from);
  }

  offer(_stamp: unknown, changes: Parameters<CommitListener["offer"]>[1]): void {
    this.commits.push(changes.map((change) => change.decode()));
    if (this.commits.length === 1) this.onFirst();
  }

  end(): void {
    this.ending = "done";
  }

  abort(error: unknown): void {
    this.ending = error;
  }

  get values(): unknown[] {
    return this.commits.flat().map((change) => change.value);
  }
}

function start(options?: FakeEngineOptions): FakeEngine {
  return new FakeEngine(options);
}

describe("dispatcher: order", () => {
  test("commits of all shards come in the order of their versionstamps", () => {
    const engine = start({ shardCount: 3 });
    const notes = new Notes(engine);
    for (const shard of [2, 0, 1, 1, 0, 2])
      engine.shards[shard]!.write([{ key: ["k", shard], value: shard }]);
    engine.pollAll();
    expect(notes.values).toEqual([2, 0, 1, 1, 0, 2]);
  });

  test("a commit waits for one before it that is not published yet", () => {
    const engine = start();
    const notes = new Notes(engine);
    const early = engine.control.takeCounter(0);
    engine.shards[1]!.write([{ key: ["b"], value: "later" }]);
    engine.pollAll();
    expect(notes.values).toEqual([]);
    expect(engine.dispatcher.heldBytes).toBeGreaterThan(0);
    const batch = engine.batch(0, early, [[{ key: ["a"], value: "earlier" }]], false);
    engine.shards[0]!.appendLog(batch);
    engine.shards[0]!.publish(batch);
    engine.pollAll();
    expect(notes.values).toEqual([]);
    engine.control.clearInFlight(0);
    engine.pollAll();
    expect(notes.values).toEqual(["earlier", "later"]);
    expect(engine.dispatcher.heldBytes).toBe(0);
  });

  test("a commit on several shards comes once, whole, in the order of its places", () => {
    const engine = start();
    const notes = new Notes(engine);
    engine.writeMulti([
      [
        { key: ["a"], value: 0, place: 0 },
        { key: ["c"], value: 2, place: 2 },
      ],
      [{ key: ["b"], value: 1, place: 1 }],
    ]);
    engine.pollAll();
    expect(notes.commits.map((changes) => changes.map((change) => change.value))).toEqual([[0, 1, 2]]);
  });

  test("a commit on several shards waits until its round is finished", () => {
    const engine = start();
    const notes = new Notes(engine);
    const counter = engine.control.takeRoundCounter(0);
    for (const shard of [0, 1]) {
      const batch = engine.batch(shard, counter, [[{ key: [shard], value: shard, place: shard }]], true);
      engine.shards[shard]!.appendLog(batch);
      engine.shards[shard]!.publish(batch);
      engine.pollAll();
      expect(notes.commits).toEqual([]);
    }
    engine.control.clearRoundFloor();
    engine.pollAll();
    expect(notes.commits.map((changes) => changes.length)).toEqual([2]);
  });

  test("a change says its type, cause, key, value, versionstamp and position", () => {
    const engine = start();
    const notes = new Notes(engine);
    engine.shards[0]!.write([{ key: ["a", 1n], value: { deep: [1] } }], [{ key: ["a", 1n] }]);
    engine.pollAll();
    expect(notes.commits.flat()).toEqual([
      {
        type: "create",
        cause: "set",
        key: ["a", 1n],
        value: { deep: [1] },
        versionstamp: "00000000000000650000",
        position: "000000000000006500000000",
      },
      {
        type: "delete",
        cause: "delete",
        key: ["a", 1n],
        value: null,
        versionstamp: "00000000000000650001",
        position: "000000000000006500010000",
      },
    ]);
  });

  test("listeners share one decoded change", () => {
    const engine = start();
    const [a, b] = [new Notes(engine), new Notes(engine, ["a"])];
    engine.shards[0]!.write([{ key: ["a", 1], value: {} }]);
    engine.pollAll();
    expect(a.commits[0]![0]).toBe(b.commits[0]![0]);
  });
});

describe("dispatcher: start and end", () => {
  test("a listener is offered what begins after it registered, and nothing before", () => {
    const engine = start();
    engine.shards[0]!.write([{ key: ["a"], value: "before the first" }]);
    const first = new Notes(engine);
    engine.shards[0]!.write([{ key: ["a"], value: "between" }]);
    const second = new Notes(engine);
    engine.shards[1]!.write([{ key: ["b"], value: "after" }]);
    engine.pollAll();
    expect(first.values).toEqual(["between", "after"]);
    expect(second.values).toEqual(["after"]);
  });

  test("a commit in flight at the start is offered only to who asked for those", () => {
    const engine = start();
    const counter = engine.control.takeCounter(0);
    const inFlight = new Notes(engine, [], "in-flight");
    const later = new Notes(engine);
    const batch = engine.batch(0, counter, [[{ key: ["a"], value: 1 }]], false);
    engine.shards[0]!.appendLog(batch);
    engine.shards[0]!.publish(batch);
    engine.control.clearInFlight(0);
    engine.pollAll();
    expect(inFlight.values).toEqual([1]);
    expect(later.values).toEqual([]);
  });

  test("a commit published while the first listener was coming is not brought up again by the log", () => {
    const engine = start();
    const shard = engine.shards[0]!;
    const batchOf = (value: string) =>
      engine.batch(0, engine.control.takeCounter(0), [[{ key: ["a"], value }]], false);
    const early = batchOf("between the watermark and the tails");
    shard.appendLog(early);
    let gaps = 0;
    engine.interleave = () => {
      if (gaps++ === 0) shard.publish(early);
    };
    const notes = new Notes(engine);
    engine.control.clearInFlight(0);
    const later = batchOf("later");
    shard.appendLog(later);
    shard.publish(later);
    engine.pollAll();
    shard.restart();
    engine.pollAll();
    expect(notes.ending).toBe("open");
    expect(notes.values).toEqual(["later"]);
  });

  test("without listeners nothing is polled and nobody is asked to ring or to stay alive", () => {
    const engine = start();
    expect(engine.dispatcher.poll()).toBe(false);
    const [a, b] = [new Notes(engine), new Notes(engine)];
    a.subscription.cancel();
    a.subscription.cancel();
    expect(engine.calls).toEqual(["active", "watch"]);
    b.subscription.cancel();
    expect(engine.calls).toEqual(["active", "watch", "unwatch", "idle"]);
    expect(engine.dispatcher.state).toBe("idle");
    engine.shards[0]!.write([{ key: ["a"], value: 1 }]);
    expect(engine.dispatcher.poll()).toBe(false);
    const again = new Notes(engine);
    engine.shards[0]!.write([{ key: ["a"], value: 2 }]);
    engine.pollAll();
    expect([a.values, again.values]).toEqual([[], [2]]);
  });

  test("close ends every listener once and admits no other", () => {
    const engine = start();
    const notes = new Notes(engine);
    engine.dispatcher.close();
    engine.dispatcher.close();
    expect(notes.ending).toBe("done");
    expect(engine.calls).toEqual(["active", "watch", "unwatch", "idle"]);
    expect(() => new Notes(engine)).toThrow(KvClosedError);
  });

  test("a log that can't be read ends every listener with its error, and a later one starts anew", () => {
    const engine = start({ ringBytes: 512 });
    const notes = new Notes(engine);
    engine.logError = new Error("disk on fire");
    engine.shards[0]!.write([{ key: ["a"], value: "x".repeat(1000) }]);
    expect(engine.dispatcher.poll() && engine.dispatcher.poll()).toBe(false);
    expect(notes.ending).toBe(engine.logError);
    expect(engine.dispatcher.state).toBe("idle");
    engine.logError = undefined;
    const again = new Notes(engine);
    engine.shards[0]!.write([{ key: ["a"], value: 2 }]);
    engine.pollAll();
    expect(again.values).toEqual([2]);
  });
});

describe("dispatcher: bounds", () => {
  test("one poll delivers a bounded number of changes and says that there is more", () => {
    const engine = start({ ringBytes: 1 << 20 });
    const notes = new Notes(engine);
    for (let at = 0; at < DISPATCH_CHANGES_MAX + 500; at++)
      engine.shards[at & 1]!.write([{ key: ["k"], value: at }]);
    expect(engine.dispatcher.poll()).toBe(true);
    expect(notes.commits.length).toBe(DISPATCH_CHANGES_MAX);
    engine.pollAll();
    expect(notes.values).toEqual(Array.from({ length: DISPATCH_CHANGES_MAX + 500 }, (_, at) => at));
  });

  test("what the watermark holds back is bounded, stays in the ring or the log, and comes in the end", () => {
    const engine = start({ ringBytes: 1 << 20 });
    const notes = new Notes(engine);
    const early = engine.control.takeCounter(0);
    const count = 200;
    const value = "x".repeat(100_000);
    for (let at = 0; at < count; at++) {
      engine.shards[1]!.write([{ key: ["b", at], value }]);
      engine.pollAll();
    }
    expect(engine.dispatcher.heldBytes).toBeGreaterThan(DISPATCH_BACKLOG_BYTES_MAX / 2);
    expect(engine.dispatcher.heldBytes).toBeLessThan(DISPATCH_BACKLOG_BYTES_MAX + 500_000);
    expect(notes.commits.length).toBe(0);
    const batch = engine.batch(0, early, [[{ key: ["a"], value: "first" }]], false);
    engine.shards[0]!.appendLog(batch);
    engine.shards[0]!.publish(batch);
    engine.control.clearInFlight(0);
    engine.pollAll();
    expect(notes.commits.map((changes) => changes[0]!.key)).toEqual([
      ["a"],
      ...Array.from({ length: count }, (_, at) => ["b", at]),
    ]);
  });

  test("a single commit larger than the backlog is delivered whole", () => {
    const engine = start({ ringBytes: 1 << 21 });
    const notes = new Notes(engine);
    const value = "x".repeat(100_000);
    const writes = Array.from({ length: 120 }, (_, at) => ({ key: ["a", at], value }));
    const counter = engine.control.takeCounter(0);
    const batch = engine.batch(0, counter, [writes], false);
    engine.shards[0]!.appendLog(batch);
    const step = batch.ringRecords[0]!.length;
    for (const record of batch.ringRecords) {
      engine.shards[0]!.publish({ ...batch, ringBytes: record });
      engine.pollAll();
    }
    expect(engine.dispatcher.heldBytes).toBeGreaterThan(DISPATCH_BACKLOG_BYTES_MAX - step);
    expect(notes.commits.length).toBe(0);
    engine.control.clearInFlight(0);
    engine.pollAll();
    expect(notes.commits.map((changes) => changes.length)).toEqual([120]);
  });
});

describe("shard feed: from the ring to the log and back", () => {
  test("a lapped ring loses and repeats nothing", () => {
    const engine = start({ ringBytes: 1024 });
    const notes = new Notes(engine);
    for (let at = 0; at < 500; at++) {
      engine.shards[at % 2]!.write([{ key: ["k", at % 5], value: at }]);
      if (at % 37 === 0) engine.pollAll();
    }
    engine.pollAll();
    expect(notes.values).toEqual(Array.from({ length: 500 }, (_, at) => at));
    expect(engine.logReads).toBeGreaterThan(0);
  });

  test("after a lap it goes back to the ring and leaves the log alone", () => {
    const engine = start({ ringBytes: 1024 });
    const notes = new Notes(engine);
    for (let at = 0; at < 50; at++) engine.shards[0]!.write([{ key: ["k"], value: at }]);
    engine.pollAll();
    const reads = engine.logReads;
    for (let at = 50; at < 100; at++) {
      engine.shards[0]!.write([{ key: ["k"], value: at }]);
      engine.pollAll();
    }
    expect(engine.logReads).toBe(reads);
    expect(notes.values.length).toBe(100);
  });

  test("what is published while it reads the log comes from the ring, once", () => {
    const engine = new FakeEngine({ ringBytes: 1024 });
    const notes = new Notes(engine);
    for (let at = 0; at < 50; at++) engine.shards[0]!.write([{ key: ["k"], value: at }]);
    let at = 50;
    engine.interleave = () => {
      if (at < 54) engine.shards[0]!.write([{ key: ["k"], value: at++ }]);
    };
    engine.pollAll();
    engine.pollAll();
    expect(notes.values).toEqual(Array.from({ length: 54 }, (_, value) => value));
  });

  test("a lap in the middle of a commit takes that commit once and whole", () => {
    const engine = start({ ringBytes: 1024 });
    const notes = new Notes(engine);
    const counter = engine.control.takeCounter(0);
    const writes = Array.from({ length: 40 }, (_, at) => ({ key: ["k", at], value: at }));
    const batch = engine.batch(0, counter, [writes], false);
    engine.shards[0]!.appendLog(batch);
    for (const record of batch.ringRecords.slice(0, 5))
      engine.shards[0]!.publish({ ...batch, ringBytes: record });
    engine.pollAll();
    for (const record of batch.ringRecords.slice(5))
      engine.shards[0]!.publish({ ...batch, ringBytes: record });
    engine.control.clearInFlight(0);
    engine.pollAll();
    expect(notes.commits.map((changes) => changes.length)).toEqual([40]);
    expect(engine.logReads).toBeGreaterThan(0);
  });

  test("a record too large for the ring comes from the log, in its place", () => {
    const engine = start({ ringBytes: 1024 });
    const notes = new Notes(engine);
    const large = "x".repeat(5000);
    engine.shards[0]!.write([{ key: ["k"], value: 1 }]);
    engine.shards[0]!.write([
      { key: ["k"], value: 2 },
      { key: ["k"], value: large },
      { key: ["k"], value: 3 },
    ]);
    engine.shards[1]!.write([{ key: ["l"], value: 4 }]);
    engine.pollAll();
    expect(notes.values).toEqual([1, 2, large, 3, 4]);
  });

  test("what a dead thread committed and never published, or published half, comes once", () => {
    const engine = start();
    const notes = new Notes(engine);
    const shard = engine.shards[0]!;
    for (const published of ["nothing", "half"]) {
      shard.write([{ key: ["a"], value: "before" }]);
      const counter = engine.control.takeCounter(0);
      const writes = [0, 1, 2, 3].map((at) => ({ key: ["a", at], value: published }));
      const batch = engine.batch(0, counter, [writes], false);
      shard.appendLog(batch);
      if (published === "half") shard.publishHalf(batch);
      engine.pollAll();
      shard.restart();
      shard.write([{ key: ["a"], value: "after" }]);
      engine.pollAll();
    }
    expect(notes.commits.map((changes) => [changes.length, changes[0]!.value])).toEqual([
      [1, "before"],
      [4, "nothing"],
      [1, "after"],
      [1, "before"],
      [4, "half"],
      [1, "after"],
    ]);
  });

  test("a new writer on an idle ring is noticed although nothing was published", () => {
    const engine = start();
    const notes = new Notes(engine);
    const counter = engine.control.takeCounter(0);
    engine.shards[0]!.appendLog(engine.batch(0, counter, [[{ key: ["a"], value: 1 }]], false));
    engine.shards[0]!.restart();
    engine.pollAll();
    expect(notes.values).toEqual([1]);
  });

  test("a restart that the owner tells of takes the gap from the log", () => {
    const engine = start();
    const notes = new Notes(engine);
    engine.shards[0]!.write([{ key: ["a"], value: 1 }]);
    engine.dispatcher.restart(0);
    engine.shards[0]!.write([{ key: ["a"], value: 2 }]);
    engine.pollAll();
    expect(notes.values).toEqual([1, 2]);
    expect(engine.logReads).toBeGreaterThan(0);
  });

  test("a record published below the watermark is an error, not a silent loss", () => {
    const engine = start();
    const notes = new Notes(engine);
    const counter = engine.control.takeCounter(0);
    engine.control.clearInFlight(0);
    engine.pollAll();
    engine.shards[0]!.publish(engine.batch(0, counter, [[{ key: ["a"], value: 1 }]], false));
    engine.pollAll();
    expect(notes.ending).toMatchObject({ code: "KV_CORRUPT" });
  });

  test("a listener is offered commits with their stamps, counted in the store's one order", () => {
    const engine = start();
    const notes = new Notes(engine);
    engine.shards[0]!.write([{ key: ["a"], value: 1 }], [{ key: ["a"], value: 2 }]);
    engine.pollAll();
    expect(notes.commits.flat().map(seenOf)).toEqual(engine.expected(0, () => true));
    expect(engine.dispatcher.deliveredThrough).toEqual({ counter: 101, order: 0xffff });
  });
});

describe("dispatcher: interest", () => {
  test("what nobody wants is not kept until the line has come to it, and delivery goes on behind it", () => {
    const engine = start();
    const notes = new Notes(engine, ["wanted"]);
    const early = engine.control.takeCounter(0);
    engine.shards[1]!.write([{ key: ["other", 1], value: "unwanted" }]);
    engine.pollAll();
    expect(engine.dispatcher.heldBytes).toBe(0);
    engine.shards[1]!.write([
      { key: ["other", 2], value: "unwanted" },
      { key: ["wanted", 1], value: "wanted" },
    ]);
    engine.pollAll();
    expect(engine.dispatcher.heldBytes).toBeGreaterThan(0);
    expect(notes.values).toEqual([]);
    engine.shards[0]!.publish(engine.batch(0, early, [[{ key: ["wanted", 0], value: "early" }]], false));
    engine.control.clearInFlight(0);
    engine.pollAll();
    expect(notes.values).toEqual(["early", "wanted"]);
    expect(engine.dispatcher.deliveredThrough.counter).toBe(engine.control.counter);
  });

  test("a listener that comes when a commit was read and not delivered is offered it only if somebody wanted it, and what begins later in any case", () => {
    const engine = start();
    new Notes(engine, ["a"]);
    const early = engine.control.takeCounter(0);
    engine.shards[1]!.write([{ key: ["a", 1], value: 1 }]);
    engine.shards[1]!.write([{ key: ["b", 1], value: 1 }]);
    engine.pollAll();
    const later = ["a", "b"].map((part) => new Notes(engine, [part]));
    const inFlight = ["a", "b"].map((part) => new Notes(engine, [part], "in-flight"));
    engine.shards[0]!.publish(engine.batch(0, early, [[{ key: ["b", 0], value: 0 }]], false));
    engine.control.clearInFlight(0);
    engine.pollAll();
    for (const part of ["a", "b"]) engine.shards[1]!.write([{ key: [part, 2], value: 2 }]);
    engine.pollAll();
    expect(later.map(({ values }) => values)).toEqual([[2], [2]]);
    // It is told of ["a", 1], and has seen ["b", 1] in whatever it has read since it came.
    expect(inFlight.map(({ values }) => values)).toEqual([
      [1, 2],
      [0, 2],
    ]);
  });
});

describe("dispatcher: many listeners of one key", () => {
  test.each([
    ["of one change", 1],
    ["of several changes", 3],
  ])(
    "who goes while a commit %s is offered is offered nothing more, and who comes is offered the next one",
    (_, size) => {
      const engine = start();
      const crowd = Array.from({ length: 100 }, () => new Notes(engine, ["k"]));
      let late: Notes | undefined;
      crowd[10]!.onFirst = () => {
        for (const each of crowd.slice(5, 50)) each.subscription.cancel();
        late = new Notes(engine, ["k"]);
      };
      const write = (first: number): void => {
        const changes = Array.from({ length: size }, (_, index) => ({
          key: ["k", index],
          value: first + index,
        }));
        engine.shards[0]!.write(changes);
        engine.pollAll();
      };
      write(10);
      write(20);
      const firsts = crowd.map(({ values }) => values.filter((value) => Number(value) % 10 === 0));
      expect(firsts.slice(0, 5)).toEqual(Array(5).fill([10, 20]));
      expect(firsts.slice(5, 11)).toEqual(Array(6).fill([10]));
      expect(firsts.slice(11, 50)).toEqual(Array(39).fill([]));
      expect(firsts.slice(50)).toEqual(Array(50).fill([10, 20]));
      expect(late!.values).toEqual(Array.from({ length: size }, (_, index) => 20 + index));
    },
  );
});
