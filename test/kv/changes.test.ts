/**
 * The options of `kv.changes`, on real stores.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  anyPart,
  type ChangesOptions,
  type Kv,
  type KvChange,
  type KvChangeEvent,
  type KvEntry,
  KvHistoryTrimmedError,
  KvWatchOverflowError,
  ManualClock,
} from "../../src/index.js";
import { keyOnEachShard, tempKv, tempPath } from "./temp-store.js";

const NONE = "0".repeat(20);

async function take<T>(feed: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of feed) if (taken.push(item) === count) break;
  return taken;
}

async function values(kv: Kv, count: number, options: ChangesOptions): Promise<unknown[]> {
  const feed = kv.changes({ prefix: [] }, options) as AsyncIterable<KvChange>;
  return (await take(feed, count)).map(({ value }) => value);
}

async function setAll(kv: Kv, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) await kv.set(["n", n], n);
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000 && !holds(); tries++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(holds()).toBe(true);
}

describe("since", () => {
  test("a position continues behind its change, in the midst of a commit too, also after the store was opened anew", async () => {
    const path = tempPath();
    const kv = await tempKv(path, { shards: 3 });
    const keys = keyOnEachShard("k", 3);
    await kv.atomic().set(keys[0]!, 0).set(keys[1]!, 1).set(keys[2]!, 2).commit();
    await kv.set(["last"], 3);
    const all = await take(kv.changes({ prefix: [] }, { since: "earliest" }), 4);
    await kv.close();
    const again = await tempKv(path);
    for (const [index, { position }] of all.slice(0, 3).entries())
      expect(await values(again, 3 - index, { since: position })).toEqual([1, 2, 3].slice(index));
  });

  test("a versionstamp continues behind its whole commit", async () => {
    const kv = await tempKv();
    const result = await kv.atomic().set(["a", 1], 1).set(["a", 2], 2).commit();
    await kv.set(["b"], 3);
    expect(await values(kv, 1, { since: (result as { versionstamp: string }).versionstamp })).toEqual([3]);
  });

  test("positions sort as text in the order of the changes", async () => {
    const kv = await tempKv(undefined, { shards: 3 });
    await Promise.all(
      Array.from({ length: 50 }, (_, n) => kv.atomic().set(["a", n], n).set(["b", n], n).commit()),
    );
    const positions = (await take(kv.changes({ prefix: [] }, { since: "earliest" }), 100)).map(
      ({ position }) => position,
    );
    expect([...new Set(positions)].sort()).toEqual(positions);
  });

  test("before the horizon: an error that names it; earliest begins at it", async () => {
    const kv = await tempKv(undefined, { shards: 1, history: { bytesMax: 4000 } });
    await setAll(kv, 0, 200);
    const { oldest } = kv.history();
    const error = await take(kv.changes({ prefix: [] }, { since: NONE }), 1).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(KvHistoryTrimmedError);
    expect(error).toMatchObject({ code: "KV_HISTORY_TRIMMED", requested: NONE, oldest });
    const left = (await take(kv.changes({ prefix: [] }, { since: "earliest" }), 1))[0]!;
    expect(left.versionstamp > oldest).toBe(true);
    expect(await values(kv, 200 - (left.value as number), { since: oldest })).toEqual(
      Array.from({ length: 200 - (left.value as number) }, (_, n) => n + (left.value as number)),
    );
  });

  test("before the horizon with resync: one lagged event, the state, then what follows", async () => {
    const kv = await tempKv(undefined, { shards: 2, history: { bytesMax: 8000 } });
    await setAll(kv, 0, 200);
    await setAll(kv, 0, 3);
    const feed = kv.changes({ prefix: [] }, { since: NONE, onTrimmed: "resync" });
    const events: KvChangeEvent[] = [];
    for await (const event of feed) {
      events.push(event);
      if (event.type === "progress") await kv.set(["after"], "after");
      if (event.type === "create" && event.initial === undefined) break;
    }
    const [lagged, ...rest] = events;
    expect(lagged).toMatchObject({ type: "lagged", count: null, from: NONE });
    const state = rest.slice(0, 200) as KvChange[];
    expect(state.every((change) => "initial" in change && change.initial === true)).toBe(true);
    expect(state.map(({ value }) => value)).toEqual(Array.from({ length: 200 }, (_, n) => n));
    expect(rest.slice(200)).toMatchObject([{ type: "progress" }, { type: "create", value: "after" }]);
  });
});

describe("initial", () => {
  test("the state, in key order, then exactly the changes after it, under load", async () => {
    const kv = await tempKv(undefined, { shards: 3 });
    await setAll(kv, 0, 300);
    let isWriting = true;
    const writing = (async () => {
      for (let n = 0; isWriting; n = (n + 1) % 300) await kv.set(["n", n], -n);
    })();
    const feed = kv.changes({ prefix: ["n"] }, { initial: true });
    const model = new Map<string, KvChange>();
    let cut = "";
    let after = 0;
    for await (const event of feed) {
      if (event.type === "progress") cut = event.versionstamp;
      else if (event.type !== "lagged") {
        if (cut === "") expect(model.has(event.key.join())).toBe(false);
        else expect(event.versionstamp > cut).toBe(true);
        if (event.initial !== true)
          expect(event.versionstamp > (model.get(event.key.join())?.versionstamp ?? "")).toBe(true);
        model.set(event.key.join(), event);
        if (cut !== "" && ++after === 500) isWriting = false;
        if (!isWriting && after > 500 - 1 && feed.stats().lagChanges === 0) break;
      }
    }
    await writing;
    // What was still written when the loop was left may be missing, and nothing else.
    const entries: KvEntry<unknown>[] = [];
    for await (const entry of kv.list<unknown>({ prefix: ["n"] })) entries.push(entry);
    const last = [...model.values()]
      .map(({ versionstamp }) => versionstamp)
      .sort()
      .at(-1)!;
    expect(model.size).toBe(300);
    for (const { key, value, versionstamp } of entries)
      if (versionstamp <= last) expect(model.get(key.join())).toMatchObject({ value, versionstamp });
  });

  test("of a pattern and of several selectors, each entry once; what has expired is not there", async () => {
    const clock = new ManualClock(1000);
    const kv = await tempKv(undefined, { shards: 2, clock });
    await kv.set(["u", 1, "status"], "on");
    await kv.set(["u", 1, "name"], "x");
    await kv.set(["u", 2, "status"], "off");
    await kv.set(["u", 3, "status"], "gone", { expireIn: 10 });
    clock.advance(20);
    const feed = kv.changes([{ pattern: ["u", anyPart, "status"] }, { key: ["u", 1, "status"] }], {
      initial: true,
    });
    const events = await take(feed, 3);
    expect(events).toMatchObject([{ value: "on" }, { value: "off" }, { type: "progress" }]);
  });

  test("nothing to begin with: the progress event alone", async () => {
    const kv = await tempKv(undefined, { shards: 2 });
    expect(await take(kv.changes({ prefix: ["none"] }, { initial: true }), 1)).toMatchObject([
      { type: "progress" },
    ]);
  });
});

describe("what is shown", () => {
  test("types, where and values: false choose and strip", async () => {
    const kv = await tempKv();
    const feed = kv.changes({ prefix: [] }, { types: ["create", "delete"], values: false });
    const even = kv.changes<number>(
      { prefix: [] },
      { where: ({ value }) => value !== null && value % 2 === 0 },
    );
    await kv.set(["a"], 1);
    await kv.set(["a"], 2);
    await kv.delete(["a"]);
    await kv.set(["a"], 4);
    expect((await take(feed, 3)).map(({ type, value }) => [type, value])).toEqual([
      ["create", undefined],
      ["delete", null],
      ["create", undefined],
    ]);
    expect((await take(even, 2)).map(({ value }) => value)).toEqual([2, 4]);
  });

  test("previous: the value before, from the first change after the call on", async () => {
    const kv = await tempKv(undefined, { shards: 2 });
    const keys = keyOnEachShard("p", 2);
    for (const key of keys) await kv.set(key, "old");
    const feed = kv.changes({ prefix: [] }, { previous: true });
    const plain = kv.changes({ prefix: [] });
    await kv.set(keys[0]!, "new");
    await kv.delete(keys[1]!);
    await kv.atomic().set(keys[0]!, "newer").set(keys[1]!, "again").commit();
    const changes = await take(feed, 4);
    const seen = changes.map(({ type, value, previous }) => [type, value, previous]);
    expect(seen.slice(0, 2)).toEqual([
      ["update", "new", "old"],
      ["delete", null, "old"],
    ]);
    expect(seen.slice(2)).toEqual([
      ["update", "newer", "new"],
      ["create", "again", null],
    ]);
    for (const change of await take(plain, 4)) expect("previous" in change).toBe(false);
    await kv.set(keys[0]!, "unseen");
    const [late] = await take(
      kv.changes({ prefix: [] }, { since: changes.at(-1)!.position, previous: true }),
      1,
    );
    expect(late).not.toHaveProperty("previous");
  });

  test("a where that throws ends the feed with its error, and the store goes on", async () => {
    const kv = await tempKv();
    const failure = new Error("no");
    const feed = kv.changes(
      { prefix: [] },
      {
        where: () => {
          throw failure;
        },
      },
    );
    await kv.set(["a"], 1);
    await expect(take(feed, 1)).rejects.toBe(failure);
    expect(feed.state).toBe("closed");
    await kv.set(["a"], 2);
  });

  test("each shard's order: every change once, each shard's in order, and continuing from any position loses nothing", async () => {
    const kv = await tempKv(undefined, { shards: 4 });
    const feed = kv.changes({ prefix: [] }, { order: "shard", bufferCountMax: 8 });
    await Promise.all(
      Array.from({ length: 300 }, (_, n) => kv.atomic().set(["a", n], n).set(["b", n], n).commit()),
    );
    const changes = await take(feed, 600);
    expect(new Set(changes.map(({ key }) => key.join())).size).toBe(600);
    const middle = changes[300]!;
    const rest = new Set(changes.slice(301).map(({ key }) => key.join()));
    for await (const { key } of kv.changes({ prefix: [] }, { since: middle.position })) {
      rest.delete(key.join());
      if (rest.size === 0) break;
    }
    expect(rest.size).toBe(0);
  });
});

describe("overflow", () => {
  test("error: what fitted, then KvWatchOverflowError as the last thing, from which one can continue", async () => {
    const kv = await tempKv();
    const feed = kv.changes({ prefix: [] }, { overflow: "error", bufferCountMax: 3 });
    await setAll(kv, 0, 10);
    await until(() => feed.state === "closed");
    const seen: unknown[] = [];
    const error = await (async () => {
      for await (const { value } of feed) seen.push(value);
      return undefined;
    })().catch((reason: unknown) => reason);
    expect(seen).toEqual([0, 1, 2]);
    expect(error).toBeInstanceOf(KvWatchOverflowError);
    expect(await values(kv, 7, { since: (error as KvWatchOverflowError).after })).toEqual([
      3, 4, 5, 6, 7, 8, 9,
    ]);
  });

  test("drop-oldest and drop-newest say what is missing, in its place", async () => {
    const kv = await tempKv();
    const oldest = kv.changes({ prefix: [] }, { overflow: "drop-oldest", bufferCountMax: 3 });
    const newest = kv.changes({ prefix: [] }, { overflow: "drop-newest", bufferCountMax: 3 });
    await setAll(kv, 0, 10);
    await until(() => oldest.stats().dropped === 7 && newest.stats().dropped === 7);
    expect(await take(oldest, 4)).toMatchObject([
      { type: "lagged", count: 7 },
      { value: 7 },
      { value: 8 },
      { value: 9 },
    ]);
    expect(await take(newest, 4)).toMatchObject([
      { value: 0 },
      { value: 1 },
      { value: 2 },
      { type: "lagged", count: 7 },
    ]);
  });

  test("latest keeps the newest of each key", async () => {
    const kv = await tempKv();
    const feed = kv.changes({ prefix: [] }, { overflow: "latest", bufferCountMax: 4 });
    for (let n = 0; n < 40; n++) await kv.set(["k", n % 2], n);
    await until(() => feed.stats().dropped > 30);
    const seen: unknown[] = [];
    for await (const { value } of feed) {
      seen.push(value);
      if (value === 39) break;
    }
    expect(seen.length).toBeLessThanOrEqual(4);
    expect(seen.slice(-2)).toEqual([38, 39]);
  });

  test("a log row is found by its last record: commits over several shards, one change at a time, come once each", async () => {
    const kv = await tempKv(undefined, { shards: 4 });
    const feed = kv.changes({ prefix: [] }, { bufferCountMax: 4 });
    await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        kv
          .atomic()
          .set(["from", n], n)
          .set(["to", n * 7], n)
          .commit(),
      ),
    );
    const changes = await take(feed, 400);
    expect(new Set(changes.map(({ key }) => key.join())).size).toBe(400);
    const stamps = changes.map(({ versionstamp }) => versionstamp);
    expect([...stamps].sort()).toEqual(stamps);
    expect(new Set(stamps).size).toBe(200);
  });
});

describe("progress, stats, diagnostics", () => {
  test("progress events stand in line, also where nothing is selected", async () => {
    const kv = await tempKv();
    const feed = kv.changes({ prefix: ["none"] }, { progressMs: 1 });
    const { versionstamp } = await kv.set(["other"], 1);
    for await (const event of feed) {
      expect(event.type).toBe("progress");
      if (event.type === "progress" && event.versionstamp >= versionstamp) break;
    }
  });

  test("stats tell of each feed", async () => {
    const kv = await tempKv();
    const feed = kv.changes({ prefix: [] }, { bufferCountMax: 5 });
    const reader = kv.watch([["n", 1]]).getReader();
    await reader.read();
    await setAll(kv, 0, 20);
    await until(() => kv.stats().feeds[0]!.lagChanges === 20);
    expect(kv.stats()).toMatchObject({
      watches: 1,
      feeds: [{ state: "behind", bufferedChanges: 5, lagChanges: 20, delivered: 0, dropped: 0, catchUps: 0 }],
    });
    expect(kv.stats().feeds[0]!.lagMs).toBeGreaterThan(0);
    const iterator = feed[Symbol.asyncIterator]();
    for (let n = 0; n < 20; n++) await iterator.next();
    void iterator.next();
    await until(() => feed.state === "live");
    expect(feed.stats()).toMatchObject({ delivered: 20, lagChanges: 0, lagMs: 0 });
    expect(feed.stats().catchUps).toBeGreaterThan(0);
    feed.close();
    await reader.cancel();
    expect(kv.stats()).toMatchObject({ watches: 0, feeds: [] });
  });

  test("stats tell how far the rings are, and what the oldest reader holds back", async () => {
    const kv = await tempKv(undefined, { shards: 1 });
    await setAll(kv, 0, 3);
    const before = kv.stats().shards[0]!;
    const snapshot = await kv.snapshot();
    await setAll(kv, 0, 10);
    const held = kv.stats().shards[0]!;
    expect(held.ringPosition).toBeGreaterThan(before.ringPosition);
    expect(held.oldestReaderLag).toBeGreaterThanOrEqual(10);
    snapshot.close();
    await setAll(kv, 0, 1);
    expect(kv.stats().shards[0]!.oldestReaderLag).toBeLessThan(10);
  });

  test("channels tell of lag, catch-up and trims", async () => {
    const heard = new Map<string, unknown>();
    for (const name of ["belfry:lag", "belfry:catch-up", "belfry:trim"]) {
      const note = (message: unknown) => heard.set(name, message);
      subscribe(name, note);
      onTestFinished(() => void unsubscribe(name, note));
    }
    const kv = await tempKv(undefined, { shards: 1, history: { bytesMax: 100_000 } });
    const feed = kv.changes({ prefix: [] }, { bufferCountMax: 2 });
    await setAll(kv, 0, 20);
    await until(() => feed.state === "behind");
    await take(feed, 20);
    expect(heard.get("belfry:lag")).toMatchObject({ overflow: "catch-up", bufferedChanges: 2 });
    expect(heard.get("belfry:catch-up")).toMatchObject({ catchUps: 1 });
    for (let n = 0; !heard.has("belfry:trim") && n < 500; n++) {
      await kv.set(["fill"], "x".repeat(20_000));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(heard.get("belfry:trim")).toMatchObject({ oldest: expect.stringMatching(/^[0-9a-f]{20}$/) });
  });
});

describe("its end", () => {
  test("as a stream, cancelling closes it", async () => {
    const kv = await tempKv();
    const feed = kv.changes({ prefix: [] });
    const reader = feed.stream().getReader();
    await kv.set(["a"], 1);
    expect(await reader.read()).toMatchObject({ done: false, value: { value: 1 } });
    await reader.cancel();
    expect(feed.state).toBe("closed");
  });

  test("a signal ends it with its reason, an aborted one before it begins", async () => {
    const kv = await tempKv();
    const abort = new AbortController();
    const reason = new Error("enough");
    const feed = kv.changes({ prefix: [] }, { signal: abort.signal });
    const next = take(feed, 1);
    abort.abort(reason);
    await expect(next).rejects.toBe(reason);
    expect(() => kv.changes({ prefix: [] }, { signal: abort.signal })).toThrow(reason);
    expect(kv.stats().feeds).toEqual([]);
  });

  test("await using closes it", async () => {
    const kv = await tempKv();
    {
      await using feed = kv.changes({ prefix: [] });
      expect(feed.state).toBe("live");
    }
    expect(kv.stats().feeds).toEqual([]);
  });
});

describe("many feeds of one key", () => {
  test("each consumer hears every commit once, in order, whether it waits, is late, filters, or others leave meanwhile", async () => {
    const kv = await tempKv();
    const [commits, leftAfter] = [30, 7];
    const options: ChangesOptions[] = [
      {},
      { where: ({ value }) => Number(value) % 2 === 0 },
      { values: false },
    ];
    const open = Array.from({ length: 200 }, (_, index) => ({
      feed: kv.changes({ key: ["k"] }, options[index % 3]) as AsyncIterable<KvChange> & { close(): void },
      heard: [] as KvChange[],
      index,
    }));
    const runs = open.map(async ({ feed, heard, index }) => {
      for await (const change of feed) {
        heard.push(change);
        // Whoever hears it first closes some that wait, and some that were settled already.
        if (index === 100 && heard.length === leftAfter)
          for (const each of open) if (each.index % 10 === 5) each.feed.close();
        if (index % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    });
    for (let value = 0; value < commits; value++) {
      const commit = kv.atomic().set(["k"], value);
      if (value % 4 === 0) commit.set(["other"], value);
      await commit.commit();
    }
    const wanted = (index: number): number[] =>
      Array.from({ length: commits }, (_, value) => value).filter(
        (value) => index % 3 !== 1 || value % 2 === 0,
      );
    const staying = open.filter(({ index }) => index % 10 !== 5);
    await until(() => staying.every(({ heard, index }) => heard.length === wanted(index).length));
    await kv.close();
    await Promise.all(runs);
    for (const { heard, index } of open) {
      const all = heard.map(({ versionstamp }) => versionstamp);
      expect(all).toEqual([...new Set(all)].sort());
      if (index % 3 === 2) expect(heard.every(({ value }) => value === undefined)).toBe(true);
      else expect(heard.map(({ value }) => value)).toEqual(wanted(index).slice(0, heard.length));
    }
    const left = open.filter(({ index }) => index % 10 === 5 && index % 3 === 0);
    for (const { heard } of left) expect(heard.length).toBeLessThan(commits);
  });
});

test.each<[ChangesOptions, string]>([
  [{ initial: true, since: "earliest" }, "leave one of them out"],
  [{ initial: true, types: ["delete"] }, "types leaves those out"],
  [{ previous: true, values: false }, "for no values"],
  [{ order: "shard", overflow: "drop-oldest" }, "leave one of them out"],
  [{ since: "yesterday" }, '"earliest", a versionstamp'],
  [{ since: `000f${"0".repeat(16)}` }, "the newest versionstamp of this store"],
  [{ types: [] }, "at least one of"],
  [{ progressMs: 0 }, "progressMs must be"],
  [{ bufferCountMax: 0 }, "bufferCountMax must be"],
  [{ overflow: "drop" as "error" }, '"drop-oldest"'],
  [{ order: "any" as "shard" }, "order must be one of"],
])("refuses %j", async (options, text) => {
  const kv = await tempKv();
  const open = () => kv.changes({ prefix: [] }, options);
  expect(open).toThrow(TypeError);
  expect(open).toThrow(text);
  expect(kv.stats().feeds).toEqual([]);
});
