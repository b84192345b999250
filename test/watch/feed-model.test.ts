/**
 * The model of feeds with all their options: shards, rounds, deaths and trims take their steps in a random order while feeds are opened
 * anywhere in the past, paused, closed and resumed; in the end each has handed over what the logs say, or exactly announced what not.
 *
 * `BELFRY_FEED_RUNS` sets the number of runs, `BELFRY_SEED` repeats a seed that a failure has printed.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { KvKey } from "../../src/codec/key.js";
import { KvHistoryTrimmedError, KvWatchOverflowError } from "../../src/errors.js";
import { type ChangeFeed, openChangeFeed } from "../../src/watch/change-feed.js";
import {
  anyPart,
  type ChangeSelector,
  type ChangesOptions,
  type KvChange,
  type KvChangeEvent,
} from "../../src/watch/kv-change.js";
import { formatPosition, formatStamp, positionBehind } from "../../src/watch/position.js";
import { laterStamp } from "../../src/watch/stamp.js";
import { shard, sizes, valueBytes, World } from "./delivery-world.js";
import { turns } from "./fake-engine.js";
import { judge, judgeByShard, nameOf, type Wanted } from "./feed-judge.js";

const RUNS = Number(process.env["BELFRY_FEED_RUNS"] ?? 150);
const SEED = Number(process.env["BELFRY_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const SELECTORS: readonly { selector: ChangeSelector | ChangeSelector[]; wants: (key: KvKey) => boolean }[] =
  [
    { selector: { prefix: [] }, wants: () => true },
    { selector: { prefix: ["k", 1] }, wants: (key) => key[1] === 1 },
    { selector: [{ key: ["k", 0, 0] }, { prefix: ["k"] }], wants: () => true },
    { selector: { start: ["k", 0, 1], end: ["k", 2, 1] }, wants: (key) => inRange(key, [0, 1], [2, 1]) },
    { selector: { prefix: ["k", 2], start: ["k", 2, 1] }, wants: (key) => inRange(key, [2, 1], [3, 0]) },
    { selector: { pattern: ["k", anyPart, 0] }, wants: (key) => key[2] === 0 },
  ];

function inRange(key: KvKey, start: readonly number[], end: readonly number[]): boolean {
  const place = (key[1] as number) * 100 + (key[2] as number);
  return place >= start[0]! * 100 + start[1]! && place < end[0]! * 100 + end[1]!;
}

const feedPlan = fc.record({
  which: fc.nat(SELECTORS.length - 1),
  start: fc.constantFrom("now", "now", "earliest", "position", "versionstamp", "initial"),
  /** Of the changes that were committed, the one whose position is taken. */
  at: fc.nat(1000),
  overflow: fc.constantFrom("catch-up", "catch-up", "latest", "drop-oldest", "drop-newest", "error"),
  order: fc.constantFrom("commit", "commit", "shard"),
  onTrimmed: fc.constantFrom("error", "resync"),
  types: fc.constantFrom<(readonly KvChange["type"][] | undefined)[]>(
    undefined,
    undefined,
    ["create"],
    ["delete"],
  ),
  bufferCountMax: fc.constantFrom(1, 3, 10, 10_000),
  bufferBytesMax: fc.constantFrom(1, 500, 1 << 20),
  progressMs: fc.constantFrom(undefined, 1),
});
type FeedPlan = typeof feedPlan extends fc.Arbitrary<infer T> ? T : never;

class ModelFeed {
  readonly events: KvChangeEvent[] = [];
  readonly #model: FeedModel;
  readonly #plan: FeedPlan;
  readonly #selector: (typeof SELECTORS)[number];
  #start: string;
  #feed!: ChangeFeed<unknown, KvChangeEvent>;
  #reading!: Promise<void>;
  #permits = 0;
  #wake: (() => void) | undefined;
  #error: unknown;

  constructor(model: FeedModel, plan: FeedPlan) {
    this.#model = model;
    this.#plan = plan;
    this.#selector = SELECTORS[plan.which]!;
    const { start, since } = this.#begin();
    this.#start = start;
    this.#open(start === "initial" ? { initial: true } : { since });
    // The counter that the feed has seen as it was opened: what had begun is not wanted.
    if (since === "now")
      this.#start = positionBehind({ counter: model.world.engine.counterSeen, order: 0xffff });
  }

  get isSettled(): boolean {
    const { state, bufferedChanges } = this.#feed.stats();
    return state === "closed" || (state === "live" && bufferedChanges === 0);
  }

  allow(count: number): void {
    this.#permits += count;
    this.#wake?.();
  }

  /** Goes away, and comes back where it stopped. In each shard's order that may repeat something: see the other test. */
  async resume(): Promise<void> {
    if (this.#plan.order === "shard" || this.events.length === 0 || this.#feed.state === "closed") return;
    this.#feed.close();
    this.allow(1);
    await this.#reading;
    // Not before: what was handed over when the feed was closed still comes.
    const last = this.events.at(-1)!;
    if (!isOfState(last)) {
      this.#open({ since: last.position });
      return;
    }
    this.events.length = 0;
    this.#start = "initial";
    this.#open({ initial: true });
  }

  async finish(): Promise<void> {
    const { world } = this.#model;
    this.allow(Number.POSITIVE_INFINITY);
    world.engine.pollAll();
    for (let times = 0; times < 400 && !this.isSettled; times++) {
      await turns(1);
      world.engine.pollAll();
    }
    expect(this.isSettled).toBe(true);
    await turns(3);
    const hasEnded = this.#feed.state === "closed";
    this.#feed.close();
    await this.#reading;
    this.#checkError();
    const selected = this.#model.committed().filter(({ name }) => this.#selector.wants(JSON.parse(name)));
    const { overflow, order } = this.#plan;
    const types = this.#types;
    const wanted = selected.filter(({ type }) => types === undefined || types.includes(type));
    const judged = {
      events: this.events,
      wanted,
      selected,
      start: this.#start,
      horizon: this.#model.horizon,
      maySkip: overflow === "latest",
      hasEnded,
    };
    const isByShard = order === "shard" && overflow !== "latest" && /^[0-9a-f]{24}$/.test(this.#start);
    const hasResync = this.events.some((event) => event.type === "lagged");
    if (order === "commit") expect(judge(judged)).toBeUndefined();
    else if (isByShard && !hasResync) expect(judgeByShard(judged)).toBeUndefined();
  }

  /** A feed ends by itself only with what its options say. */
  #checkError(): void {
    if (this.#error === undefined) return;
    const { overflow, onTrimmed } = this.#plan;
    if (this.#error instanceof KvWatchOverflowError) expect(overflow).toBe("error");
    else if (
      this.#error instanceof KvHistoryTrimmedError &&
      this.#model.horizon > positionBehind({ counter: 0, order: 0 })
    ) {
      if (this.#start !== "initial") expect(onTrimmed).toBe("error");
    } else throw this.#error;
  }

  #begin(): { start: string; since: string } {
    const { start, at } = this.#plan;
    const known = this.#model.committed();
    const change = known[at % Math.max(1, known.length)];
    if (start === "initial" || start === "earliest" || start === "now") return { start, since: start };
    if (change === undefined) return { start: "now", since: "now" };
    if (start === "position") return { start: change.position, since: change.position };
    return { start: `${change.versionstamp}ffff`, since: change.versionstamp };
  }

  /** A state consists of creations: a feed that may come to begin with one wants them. */
  get #types(): readonly KvChange["type"][] | undefined {
    const { types, start, onTrimmed } = this.#plan;
    return types?.includes("delete") && (start === "initial" || onTrimmed === "resync") ? undefined : types;
  }

  #open(begin: ChangesOptions): void {
    const { overflow, order, onTrimmed, bufferCountMax, bufferBytesMax, progressMs } = this.#plan;
    const isDropping = overflow === "drop-oldest" || overflow === "drop-newest";
    const options = {
      ...begin,
      overflow: order === "shard" && isDropping ? "catch-up" : overflow,
      order,
      onTrimmed,
      ...(this.#types === undefined ? {} : { types: this.#types }),
      bufferCountMax,
      bufferBytesMax,
      progressMs,
    } as ChangesOptions;
    this.#feed = openChangeFeed(this.#model.world.engine.dispatcher, this.#selector.selector, options);
    this.#reading = this.#read(this.#feed);
  }

  async #read(feed: ChangeFeed<unknown, KvChangeEvent>): Promise<void> {
    try {
      for await (const event of feed) {
        this.events.push(event);
        while (this.#permits <= 0) await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#permits--;
      }
    } catch (error) {
      this.#error = error;
    }
  }
}

function isOfState(event: KvChangeEvent): boolean {
  return "initial" in event || (event.type === "lagged" && event.count === null);
}

class FeedModel {
  readonly world: World;
  readonly feeds: ModelFeed[] = [];

  constructor(ringBytes: number) {
    this.world = new World(ringBytes);
  }

  /** The latest position up to which a log was trimmed. */
  get horizon(): string {
    const trimmed = this.world.engine.shards.map((fake) => fake.trimmedThrough);
    return positionBehind(trimmed.reduce(laterStamp));
  }

  committed(): Wanted[] {
    const all = this.world.engine.committed.map(
      ({ key, value, counter, order, place }): Wanted => ({
        position: formatPosition({ counter, order }, place),
        versionstamp: formatStamp({ counter, order }),
        shard: key[1] as number,
        name: nameOf(key),
        type: value === null ? "delete" : "create",
        value,
      }),
    );
    return all.sort((a, b) => (a.position < b.position ? -1 : 1));
  }

  feed(index: number): ModelFeed | undefined {
    return this.feeds[index % Math.max(1, this.feeds.length)];
  }

  async finish(): Promise<void> {
    this.world.settleShards();
    for (const feed of this.feeds) await feed.finish();
    expect(this.world.engine.dispatcher.state).toBe("idle");
    expect(this.world.engine.snapshotsHeld).toBe(0);
  }
}

const action = fc.oneof(
  { weight: 14, arbitrary: fc.record({ op: fc.constant("step" as const), shard, sizes, valueBytes }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("round" as const), sizes, valueBytes }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant("poll" as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("die" as const), shard, half: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("open" as const), plan: feedPlan }) },
  {
    weight: 5,
    arbitrary: fc.record({ op: fc.constant("allow" as const), feed: fc.nat(5), count: fc.nat(8) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("resume" as const), feed: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("trim" as const), shard, keep: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("interleave" as const),
      shard,
      times: fc.integer({ min: 1, max: 8 }),
      sizes,
      valueBytes,
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("turn" as const) }) },
);

test.each([
  ["rings that are lapped all the time", 1024],
  ["rings that hold everything", 1 << 16],
])(
  `whatever its options, a feed hands over what the logs say, and announces what it drops: %s (seed ${SEED})`,
  { timeout: 300_000 },
  async (_name, ringBytes) => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 20, maxLength: 150 }), async (actions) => {
        const model = new FeedModel(ringBytes);
        const { world } = model;
        for (const each of actions) {
          if (each.op === "step") world.step(each.shard, each.sizes, each.valueBytes);
          else if (each.op === "interleave")
            world.interleave(each.shard, each.times, each.sizes, each.valueBytes);
          else if (each.op === "round") world.beginRound(each.sizes, each.valueBytes);
          else if (each.op === "poll") world.engine.dispatcher.poll();
          else if (each.op === "die") world.die(each.shard, each.half);
          else if (each.op === "open") model.feeds.push(new ModelFeed(model, each.plan));
          else if (each.op === "allow") model.feed(each.feed)?.allow(each.count);
          else if (each.op === "resume") await model.feed(each.feed)?.resume();
          else if (each.op === "trim") world.engine.shards[each.shard]!.trim(each.keep);
          else await turns(1);
        }
        await model.finish();
      }),
      { numRuns: RUNS, seed: SEED },
    );
  },
);
