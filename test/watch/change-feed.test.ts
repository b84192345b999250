import { describe, expect, test } from "vitest";
import { KvCorruptError } from "../../src/errors.js";
import { CATCH_UP_SLICE_BYTES_MAX } from "../../src/limits.js";
import { openChangeFeed } from "../../src/watch/change-feed.js";
import type { ChangeSelector, PlainChangesOptions } from "../../src/watch/kv-change.js";
import { FakeEngine, isPending, take, turns } from "./fake-engine.js";

function open(
  engine: FakeEngine,
  selectors: ChangeSelector | ChangeSelector[] = { prefix: [] },
  options?: PlainChangesOptions,
) {
  const feed = openChangeFeed<unknown>(engine.dispatcher, selectors, options);
  return { feed, changes: feed[Symbol.asyncIterator]() };
}

function writeNumbers(engine: FakeEngine, from: number, to: number): void {
  for (let at = from; at < to; at++) engine.shards[at % 2]!.write([{ key: ["k", at], value: at }]);
  engine.pollAll();
}

async function values(changes: AsyncIterator<{ value: unknown }>, count: number): Promise<unknown[]> {
  return (await take(changes, count)).map((change) => change.value);
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

describe("change feed", () => {
  test("yields the changes of its selectors, each once", async () => {
    const engine = new FakeEngine();
    const { changes } = open(engine, [{ key: ["a"] }, { prefix: ["a"] }, { prefix: ["a", 1] }]);
    engine.shards[0]!.write([
      { key: ["a"], value: 0 },
      { key: ["b"], value: 1 },
      { key: ["a", 1, 2], value: 2 },
    ]);
    engine.pollAll();
    expect(await values(changes, 2)).toEqual([0, 2]);
    expect(await isPending(changes.next())).toBe(true);
  });

  test("a waiting consumer is given the change when it comes", async () => {
    const engine = new FakeEngine();
    const { changes } = open(engine);
    const next = changes.next();
    expect(await isPending(next)).toBe(true);
    writeNumbers(engine, 0, 1);
    expect((await next).value).toMatchObject({ value: 0 });
  });

  test("its stats say the position of what was handed over last, whether the consumer waited for that or found it in the buffer", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine, { key: ["k"] });
    const stood = feed.stats();
    const waits = changes.next();
    await turns();
    engine.shards[0]!.write([
      { key: ["other"], value: 0 },
      { key: ["k"], value: 1, place: 1 },
    ]);
    engine.pollAll();
    const straight = (await waits).value!;
    expect(straight.position.slice(-4)).toBe("0001");
    expect(feed.stats()).toEqual({ ...stood, delivered: 1, position: straight.position });
    engine.shards[1]!.write([{ key: ["k"], value: 2 }]);
    engine.pollAll();
    expect(feed.stats()).toMatchObject({ bufferedChanges: 1, delivered: 1, position: straight.position });
    const fromBuffer = (await changes.next()).value!;
    expect(feed.stats()).toMatchObject({ bufferedChanges: 0, delivered: 2, position: fromBuffer.position });
    expect(fromBuffer.position > straight.position).toBe(true);
  });

  test("a change that can't be decoded is the last thing that a consumer hears, whether it waited or not, and no other feed's matter", async () => {
    const engine = new FakeEngine();
    const [waits, comesLater] = [open(engine), open(engine)];
    const withoutValues = open(engine, { prefix: [] }, { values: false });
    const next = waits.changes.next();
    const keys = take(withoutValues.changes, 2);
    engine.shards[0]!.write([{ key: ["k"], value: 0, isUnreadable: true }]);
    engine.shards[0]!.write([{ key: ["k"], value: 1 }]);
    engine.pollAll();
    await expect(next).rejects.toThrow(KvCorruptError);
    await expect(comesLater.changes.next()).rejects.toThrow(KvCorruptError);
    for (const { feed, changes } of [waits, comesLater]) {
      expect(await changes.next()).toEqual({ done: true, value: undefined });
      expect(feed.state).toBe("closed");
    }
    expect((await keys).map(({ key }) => key)).toEqual([["k"], ["k"]]);
  });

  test("a full buffer makes it behind, and it holds no more than its bounds", async () => {
    const engine = new FakeEngine({ ringBytes: 1024 });
    const { feed, changes } = open(engine, { prefix: [] }, { bufferCountMax: 3 });
    writeNumbers(engine, 0, 3);
    expect(feed.state).toBe("live");
    writeNumbers(engine, 3, 100);
    expect(feed.state).toBe("behind");
    expect(await values(changes, 2)).toEqual([0, 1]);
    expect(feed.state).toBe("behind");
  });

  test("a feed that is behind loses and repeats nothing, and is live again when it has met the others", async () => {
    const engine = new FakeEngine({ ringBytes: 1024 });
    const { feed, changes } = open(engine, { prefix: [] }, { bufferCountMax: 7 });
    writeNumbers(engine, 0, 100);
    expect(await values(changes, 50)).toEqual(numbers(0, 50));
    writeNumbers(engine, 100, 150);
    expect(await values(changes, 100)).toEqual(numbers(50, 150));
    await turns();
    expect(feed.state).toBe("live");
    const reads = engine.logReads;
    writeNumbers(engine, 150, 152);
    expect(await values(changes, 2)).toEqual([150, 151]);
    expect(engine.logReads).toBe(reads);
  });

  test("catching up filters by the feed's own selectors", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine, { prefix: ["k", 1] }, { bufferCountMax: 1 });
    for (let at = 0; at < 30; at++) engine.shards[0]!.write([{ key: ["k", at % 2, at], value: at }]);
    engine.pollAll();
    expect(feed.state).toBe("behind");
    expect(await values(changes, 15)).toEqual(numbers(0, 30).filter((at) => at % 2 === 1));
  });

  test("catching up does not go beyond what was delivered to the others", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine, { prefix: [] }, { bufferCountMax: 1 });
    writeNumbers(engine, 0, 4);
    const counter = engine.control.takeRoundCounter(0);
    const part = (shard: number) =>
      engine.batch(shard, counter, [[{ key: ["m", shard], value: `m${shard}`, place: 1 - shard }]], true);
    const [first, second] = [part(0), part(1)];
    engine.shards[0]!.appendLog(first);
    engine.shards[0]!.publish(first);
    expect(await values(changes, 4)).toEqual([0, 1, 2, 3]);
    const next = changes.next();
    expect(await isPending(next)).toBe(true);
    expect(feed.state).toBe("live");
    engine.shards[1]!.appendLog(second);
    engine.shards[1]!.publish(second);
    engine.control.clearRoundFloor();
    engine.pollAll();
    expect((await next).value).toMatchObject({ value: "m1" });
    expect(await values(changes, 1)).toEqual(["m0"]);
  });

  test("the changes of one commit enter the buffer together, or stay out together", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine, { prefix: [] }, { bufferCountMax: 4 });
    const three = (at: number) => [0, 1, 2].map((part) => ({ key: ["k", part], value: at + part }));
    engine.shards[0]!.write(three(0));
    engine.shards[0]!.write(three(3));
    engine.pollAll();
    expect(feed.state).toBe("behind");
    expect(await values(changes, 6)).toEqual(numbers(0, 6));
  });

  test("a single commit larger than the buffer is taken when the buffer is empty", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine, { prefix: [] }, { bufferCountMax: 2, bufferBytesMax: 10 });
    const ten = numbers(0, 10).map((value) => ({ key: ["k", value], value }));
    engine.shards[0]!.write(ten);
    engine.pollAll();
    expect(feed.state).toBe("live");
    expect(await values(changes, 10)).toEqual(numbers(0, 10));
  });

  test("a feed opened while others lag behind begins at its own time", async () => {
    const engine = new FakeEngine();
    open(engine, { prefix: [] }, { bufferCountMax: 1 });
    writeNumbers(engine, 0, 5);
    engine.shards[0]!.write([{ key: ["k"], value: "not delivered yet" }]);
    const { changes } = open(engine, { prefix: [] }, { bufferCountMax: 1 });
    writeNumbers(engine, 6, 9);
    expect(await values(changes, 3)).toEqual([6, 7, 8]);
  });

  test("a shard that has nothing to tell is asked once, not for every commit of the others", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine, { prefix: ["k"] }, { bufferCountMax: 1 });
    engine.shards[0]!.write([{ key: ["k", 0], value: 0 }], [{ key: ["k", 1], value: 1 }]);
    for (let at = 0; at < 50; at++) engine.shards[0]!.write([{ key: ["other"], value: at }]);
    engine.pollAll();
    expect(feed.state).toBe("behind");
    expect(await values(changes, 2)).toEqual([0, 1]);
    await turns();
    expect(feed.state).toBe("live");
    expect(engine.logReads).toBeLessThan(6);
  });

  test("catching up lets timers and others run between slices", async () => {
    const engine = new FakeEngine({ ringBytes: 1 << 20 });
    const { feed, changes } = open(engine, { prefix: [] }, { bufferCountMax: 1 });
    const value = "x".repeat(CATCH_UP_SLICE_BYTES_MAX / 4);
    for (let at = 0; at < 40; at++)
      engine.shards[at % 2]!.write([{ key: [at % 2 === 0 ? "a" : "b"], value }]);
    engine.shards[0]!.write([{ key: ["c"], value: 1 }]);
    engine.pollAll();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 0);
    await take(changes, 41);
    clearInterval(timer);
    expect(feed.state).not.toBe("closed");
    expect(ticks).toBeGreaterThan(3);
  });

  test("a slice reads a bounded part of the log", async () => {
    const engine = new FakeEngine({ ringBytes: 1 << 20 });
    const { feed, changes } = open(engine, { prefix: ["wanted"] }, { bufferCountMax: 1 });
    engine.shards[0]!.write([{ key: ["wanted", 0], value: 0 }], [{ key: ["wanted", 1], value: 1 }]);
    const value = "x".repeat(CATCH_UP_SLICE_BYTES_MAX / 8);
    for (let at = 0; at < 80; at++) engine.shards[at % 2]!.write([{ key: ["other"], value }]);
    engine.pollAll();
    expect(feed.state).toBe("behind");
    expect(await values(changes, 2)).toEqual([0, 1]);
    const states: string[] = [];
    for (let turn = 0; turn < 30; turn++) {
      states.push(feed.state);
      await turns(1);
    }
    expect(states.filter((state) => state === "catching-up").length).toBeGreaterThan(5);
    expect(states.at(-1)).toBe("live");
  });
});

describe("change feed: its end", () => {
  test("close ends the iteration, drops the buffer, and the process may end", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine);
    writeNumbers(engine, 0, 3);
    feed.close();
    feed.close();
    expect(await changes.next()).toEqual({ done: true, value: undefined });
    expect(feed.state).toBe("closed");
    expect(engine.calls.at(-1)).toBe("idle");
  });

  test("close ends a pending next, in every state", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine, { prefix: [] }, { bufferCountMax: 1 });
    const next = changes.next();
    feed.close();
    expect(await next).toEqual({ done: true, value: undefined });
    const other = open(engine, { prefix: [] }, { bufferCountMax: 1 });
    writeNumbers(engine, 0, 3);
    await other.changes.next();
    expect(other.feed.state).toBe("catching-up");
    const pending = other.changes.next();
    other.feed.close();
    expect(await pending).toEqual({ done: true, value: undefined });
    await turns();
  });

  test("leaving the loop closes the feed", async () => {
    const engine = new FakeEngine();
    const feed = openChangeFeed(engine.dispatcher, { prefix: [] });
    writeNumbers(engine, 0, 3);
    for await (const change of feed) if (change.value === 1) break;
    expect(feed.state).toBe("closed");
    expect(engine.dispatcher.state).toBe("idle");
  });

  test("disposing closes the feed", async () => {
    const engine = new FakeEngine();
    const [a, b] = [open(engine).feed, open(engine).feed];
    a[Symbol.dispose]();
    await b[Symbol.asyncDispose]();
    expect([a.state, b.state]).toEqual(["closed", "closed"]);
  });

  test("an aborted signal ends the feed with its reason, then it is done", async () => {
    const engine = new FakeEngine();
    const controller = new AbortController();
    const { feed, changes } = open(engine, { prefix: [] }, { signal: controller.signal });
    const next = changes.next();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(next).rejects.toBe(reason);
    expect(await changes.next()).toEqual({ done: true, value: undefined });
    expect(feed.state).toBe("closed");
    expect(() => open(engine, { prefix: [] }, { signal: controller.signal })).toThrow(reason);
    expect(engine.dispatcher.state).toBe("idle");
  });

  test("when the store closes, what is in the buffer still comes, then the end", async () => {
    const engine = new FakeEngine();
    const { changes } = open(engine);
    const waiting = open(engine, { key: ["nothing"] }).changes.next();
    writeNumbers(engine, 0, 2);
    engine.dispatcher.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await values(changes, 5)).toEqual([0, 1]);
  });

  test("a failure of the engine comes as an error behind what is in the buffer, once", async () => {
    const engine = new FakeEngine();
    const { changes } = open(engine);
    writeNumbers(engine, 0, 1);
    const failure = new Error("failed");
    engine.dispatcher.fail(failure);
    expect(await values(changes, 1)).toEqual([0]);
    await expect(changes.next()).rejects.toBe(failure);
    expect(await changes.next()).toEqual({ done: true, value: undefined });
  });

  test("a log that can't be read while catching up ends that feed with the error, and no other", async () => {
    const engine = new FakeEngine();
    const slow = open(engine, { prefix: [] }, { bufferCountMax: 1 });
    const fast = open(engine);
    writeNumbers(engine, 0, 3);
    engine.logError = new Error("trimmed");
    expect(await values(slow.changes, 1)).toEqual([0]);
    await expect(slow.changes.next()).rejects.toBe(engine.logError);
    expect(slow.feed.state).toBe("closed");
    expect(await values(fast.changes, 3)).toEqual([0, 1, 2]);
    expect(fast.feed.state).toBe("live");
  });
});

describe("change feed: misuse", () => {
  test("a second iterator and a second pending next are refused, and the first goes on", async () => {
    const engine = new FakeEngine();
    const { feed, changes } = open(engine);
    expect(() => feed[Symbol.asyncIterator]()).toThrow(
      expect.objectContaining({ code: "KV_INVALID_OPTION" }),
    );
    const next = changes.next();
    await expect(changes.next()).rejects.toMatchObject({ code: "KV_INVALID_OPTION", name: "TypeError" });
    writeNumbers(engine, 0, 1);
    expect((await next).value).toMatchObject({ value: 0 });
  });

  test.each([
    ["nothing", undefined],
    ["null", null],
    ["a string", "users"],
    ["an empty array", []],
    ["neither", {}],
    ["both", { key: ["a"], prefix: ["a"] }],
    ["the empty key", { key: [] }],
    ["a key that is no array", { key: "a" }],
    ["an end without a beginning", { end: ["a", 1] }],
    ["a prefix with both ends", { prefix: ["a"], start: ["a", 1], end: ["a", 2] }],
    ["a start outside of the prefix", { prefix: ["a"], start: ["b", 1] }],
    ["a start behind the end", { start: ["b"], end: ["a"] }],
    ["a key with a pattern", { key: ["a"], pattern: ["a"] }],
    ["the empty pattern", { pattern: [] }],
    ["of another kind", { suffix: ["a"] }],
  ])("a selector that is %s is refused", (_name, selector) => {
    const engine = new FakeEngine();
    expect(() => openChangeFeed(engine.dispatcher, selector as never)).toThrow(
      expect.objectContaining({ code: "KV_INVALID_SELECTOR", name: "TypeError" }),
    );
    expect(engine.dispatcher.state).toBe("idle");
  });

  test.each([
    ["bufferCountMax", { bufferCountMax: 0 }],
    ["bufferBytesMax", { bufferBytesMax: 1.5 }],
    ["bufferBytesMax", { bufferBytesMax: "1" }],
    ["signal", { signal: {} }],
    ["options", null],
  ])("a wrong option names %s", (name, options) => {
    const engine = new FakeEngine();
    const act = () => openChangeFeed(engine.dispatcher, { prefix: [] }, options as never);
    expect(act).toThrow(expect.objectContaining({ code: "KV_INVALID_OPTION" }));
    expect(act).toThrow(name);
  });

  test("the caller may change its selectors afterwards", async () => {
    const engine = new FakeEngine();
    const bytes = new Uint8Array([1]);
    const prefix = ["a", bytes];
    const { changes } = open(engine, { prefix });
    bytes[0] = 2;
    prefix[0] = "b";
    engine.shards[0]!.write([{ key: ["a", new Uint8Array([1]), 0], value: 1 }]);
    engine.pollAll();
    expect(await values(changes, 1)).toEqual([1]);
  });
});
