/**
 * The engine and a naive model of it, side by side: random commands are given to both, and everything that can be seen must agree.
 *
 * `BELFRY_SEED=<n>` replays a seed, `BELFRY_RUNS=<n>` sets the runs of each shape, `BELFRY_SHRINK=1` looks for a smaller failure.
 */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type ChangeFeed,
  type Kv,
  type KvChange,
  type KvKey,
  type KvListOptions,
  type KvListSelector,
  type KvOpenOptions,
  type KvSetKey,
  type KvSnapshot,
  KvU64,
  ManualClock,
  openKv,
} from "../../src/index.js";
import {
  isUnder,
  type ModelCheck,
  type ModelCommit,
  type ModelEntry,
  type ModelList,
  type ModelMutation,
  nameOf,
  StoreModel,
} from "./store-model.js";
import { tempPath } from "./temp-store.js";

const SEED = Number(process.env["BELFRY_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = Number(process.env["BELFRY_RUNS"] ?? 3);
const COMMANDS = 90;
const STARTED_MS = 1_700_000_000_000;
const SETTLE_MS_MAX = 20_000;

const bytes = (...values: number[]) => Uint8Array.from(values);

/** Few enough to collide, of all types, some of them neighbours in the order of keys. */
const KEYS: readonly KvKey[] = [
  ["a"],
  ["a", "x"],
  ["a", "x", 1],
  ["a", "x", 2n],
  ["a", 1],
  ["a", 1, true],
  ["a\0"],
  ["a\0", "x"],
  ["b", bytes(0)],
  ["b", bytes(0, 255), "y"],
  [1],
  [1, -0],
  [1, 0],
  [-300n],
  [1n, "a\0"],
  [2n ** 70n],
  [true],
  [false, true],
  [bytes()],
  [bytes(0), "z"],
  ["é", Number.NaN],
  [Number.NEGATIVE_INFINITY],
  ["deep", "x", "p", 1],
  ["deep", "x", "p", 2],
  ["deep", "y", "p"],
];
const PREFIXES: readonly KvKey[] = [[], ["a"], ["a", "x"], [1], ["log"], ["deep"], ["deep", "x"], [bytes(0)]];
/** Where keys that end in their own versionstamp go. */
const LOGS: readonly KvKey[] = [[], ["log"], ["log", 1], ["a", "x"], ["log", 1, true]];
const FOLLOWED: KvKey = ["a"];

// ── commands ───────────────────────────────────────────────────────────────────────────────────────

/** A check names what it expects only when it runs: a versionstamp is not known before. */
interface CheckPlan {
  readonly key: KvKey;
  readonly expects: "what is there" | "nothing" | "something older";
}

interface CommitPlan {
  readonly checks: readonly CheckPlan[];
  readonly mutations: readonly ModelMutation[];
}

type Command =
  | { readonly do: "commit"; readonly plan: CommitPlan }
  | {
      readonly do: "set";
      readonly key: KvKey;
      readonly value: unknown;
      readonly expireIn: number | undefined;
    }
  | { readonly do: "delete" | "get"; readonly key: KvKey }
  | { readonly do: "getMany"; readonly keys: readonly KvKey[] }
  | {
      readonly do: "list";
      readonly selector: ModelList;
      readonly options: KvListOptions;
      readonly first: number;
    }
  | { readonly do: "flight"; readonly plans: readonly CommitPlan[] }
  | { readonly do: "snapshot" | "settle" }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "reopen"; readonly ms: number };

const key = fc.constantFrom(...KEYS);
const u64 = fc.constantFrom(0n, 1n, 7n, 2n ** 63n, 2n ** 64n - 1n);
const value = fc.oneof(
  { weight: 4, arbitrary: u64.map((n) => new KvU64(n)) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<unknown>(undefined, null, 0, -0, "", "text", 5n, true, Number.NaN),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<unknown>(
      bytes(),
      bytes(1, 2, 3),
      new Map([["k", new Set([1])]]),
      new Date(5),
      /x/g,
      { a: [1, { b: "c" }], d: -0 },
      [new Float64Array([1.5])],
    ),
  },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 40_000 }).map((length) => "v".repeat(length)) },
);
const expireIn = fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, fc.constantFrom(0, 10, 50, 200));

function setOf(target: KvKey, to: unknown, ttl: number | undefined, suffixed: boolean): ModelMutation {
  return { type: "set", key: target, value: to, suffixed, ...(ttl === undefined ? {} : { expireIn: ttl }) };
}

const mutation: fc.Arbitrary<ModelMutation> = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(key, value, expireIn).map(([k, v, ttl]) => setOf(k, v, ttl, false)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...LOGS), value, expireIn)
      .map(([k, v, ttl]) => setOf(k, v, ttl, true)),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("delete" as const), key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom("sum" as const, "min" as const, "max" as const),
      key,
      operand: u64,
    }),
  },
);
const check: fc.Arbitrary<CheckPlan> = fc.record({
  key,
  expects: fc.oneof(
    { weight: 6, arbitrary: fc.constant("what is there" as const) },
    fc.constantFrom("nothing" as const, "something older" as const),
  ),
});
const plan: fc.Arbitrary<CommitPlan> = fc.record({
  checks: fc.array(check, { maxLength: 3 }),
  mutations: fc.array(mutation, { maxLength: 6 }),
});
const count = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined });
const selector: fc.Arbitrary<ModelList> = fc.oneof(
  fc.constantFrom(...PREFIXES).map((prefix) => ({ prefix })),
  fc.tuple(key, key).map(([start, end]) => ({ start, end })),
  fc.tuple(fc.constantFrom(...PREFIXES), key).map(([prefix, start]) => ({ prefix, start })),
  fc.tuple(fc.constantFrom(...PREFIXES), key).map(([prefix, end]) => ({ prefix, end })),
);

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant("commit" as const), plan }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("set" as const), key, value, expireIn }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("delete" as const), key }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("get" as const), key }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("getMany" as const), keys: fc.array(key, { maxLength: 8 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("list" as const),
      selector,
      options: fc
        .record({ limit: count, batchSize: count, reverse: fc.boolean() })
        .map((found) => Object.fromEntries(Object.entries(found).filter(([, given]) => given !== undefined))),
      first: fc.nat(4),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("flight" as const),
      plans: fc.array(plan, { minLength: 2, maxLength: 12 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("snapshot" as const, "settle" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(1, 10, 49, 200) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const), ms: fc.constantFrom(0, 0, 100) }) },
);

// ── the two worlds ─────────────────────────────────────────────────────────────────────────────────

class Follower {
  readonly heard: KvChange[] = [];
  /** Resolves when the feed has ended by itself. */
  readonly ended: Promise<void>;

  constructor(kv: Kv, prefix: KvKey) {
    this.ended = this.#follow(kv.changes({ prefix }));
  }

  async #follow(feed: ChangeFeed): Promise<void> {
    for await (const change of feed) this.heard.push(change);
  }
}

class Worlds {
  readonly #path: string;
  readonly #options: KvOpenOptions;
  readonly #clock = new ManualClock(STARTED_MS);
  readonly #model = new StoreModel(STARTED_MS);
  #kv!: Kv;
  #all: Follower | undefined;
  #some!: Follower;
  #snapshot: { readonly store: KvSnapshot; readonly entries: Map<string, ModelEntry> } | null = null;

  constructor(path: string, options: KvOpenOptions) {
    this.#path = path;
    this.#options = { ...options, clock: this.#clock };
  }

  async open(): Promise<void> {
    this.#kv = await openKv(this.#path, this.#options);
    const heard = new Set((this.#all?.heard ?? []).map((change) => nameOf(change.key)));
    this.#model.forgetChanges((key) => heard.has(nameOf(key)));
    this.#all = new Follower(this.#kv, []);
    this.#some = new Follower(this.#kv, FOLLOWED);
  }

  async close(): Promise<void> {
    await this.settle();
    await this.#checkSnapshot();
    await this.#kv.close();
    await Promise.all([this.#all!.ended, this.#some.ended]);
  }

  /** After a failure: nothing is checked any more. */
  async abandon(): Promise<void> {
    await this.#kv.close();
  }

  async run(given: Command): Promise<void> {
    switch (given.do) {
      case "commit":
        return this.#commitOne(this.#resolve(given.plan));
      case "set":
        return this.#set(given.key, given.value, given.expireIn);
      case "delete":
        return this.#delete(given.key);
      case "get":
        return this.#get(given.key);
      case "getMany":
        return this.#getMany(given.keys);
      case "list":
        return this.#list(given.selector, given.options, given.first);
      case "flight":
        return this.#flight(given.plans.map((each) => this.#resolve(each)));
      case "snapshot":
        return this.#toggleSnapshot();
      case "settle":
        return this.settle();
      case "advance":
        this.#model.advance(given.ms);
        this.#clock.advance(given.ms);
        return;
      case "reopen":
        await this.close();
        this.#clock.advance(given.ms);
        await this.open();
        this.#model.advance(given.ms, false);
        return;
    }
  }

  // ── writes ───────────────────────────────────────────────────────────────────────────────────────

  async #set(target: KvKey, to: unknown, ttl: number | undefined): Promise<void> {
    const result = await this.#kv.set(target, to, ttl === undefined ? {} : { expireIn: ttl });
    this.#model.apply({ checks: [], mutations: [setOf(target, to, ttl, false)] }, result.versionstamp);
  }

  /** It tells no versionstamp: the entry that follows it does, and so does the change. */
  async #delete(target: KvKey): Promise<void> {
    await this.#kv.delete(target);
    const { versionstamp } = await this.#kv.set(["z"], 0);
    const before = previousStamp(versionstamp);
    const wasThere = this.#model.entries.has(nameOf(target));
    const heard = wasThere ? await this.#heardDelete(target) : before;
    this.#model.apply({ checks: [], mutations: [{ type: "delete", key: target }] }, heard);
    this.#model.apply({ checks: [], mutations: [setOf(["z"], 0, undefined, false)] }, versionstamp);
  }

  async #heardDelete(target: KvKey): Promise<string> {
    const isIt = (change: KvChange) =>
      change.cause === "delete" &&
      nameOf(change.key) === nameOf(target) &&
      change.versionstamp > this.#model.lastVersionstamp;
    await until(() => this.#all!.heard.some(isIt), "a delete was not heard");
    return this.#all!.heard.find(isIt)!.versionstamp;
  }

  async #commitOne(commit: ModelCommit): Promise<void> {
    const expected = this.#model.judge(commit);
    const found = await this.#commit(commit);
    if (found.verdict === "apply") {
      expect(expected).toEqual({ verdict: "apply" });
      this.#model.apply(commit, found.versionstamp);
    } else expect(found).toEqual(expected);
  }

  /** Commits that are in flight together are made in the order of their versionstamps; the others failed at some moment between. */
  async #flight(commits: readonly ModelCommit[]): Promise<void> {
    const found = await Promise.all(
      commits.map(async (commit) => ({ commit, outcome: await this.#commit(commit) })),
    );
    const made = found.flatMap(({ commit, outcome }) =>
      outcome.verdict === "apply" ? [{ commit, versionstamp: outcome.versionstamp }] : [],
    );
    made.sort((a, b) => (a.versionstamp < b.versionstamp ? -1 : 1));
    let failed = found.filter(({ outcome }) => outcome.verdict !== "apply");
    const dropExplained = () => {
      failed = failed.filter(({ commit, outcome }) => !isDeepStrictEqual(this.#model.judge(commit), outcome));
    };
    dropExplained();
    for (const { commit, versionstamp } of made) {
      expect(this.#model.judge(commit)).toEqual({ verdict: "apply" });
      this.#model.apply(commit, versionstamp);
      dropExplained();
    }
    expect(failed).toEqual([]);
  }

  async #commit(commit: ModelCommit) {
    const operation = this.#kv.atomic().check(...commit.checks);
    for (const each of commit.mutations) {
      if (each.type === "set") {
        const target: KvSetKey = each.suffixed ? [...each.key, this.#kv.commitVersionstamp()] : each.key;
        operation.set(target, each.value, each.expireIn === undefined ? {} : { expireIn: each.expireIn });
      } else if (each.type === "delete") operation.delete(each.key);
      else operation[each.type](each.key, each.operand);
    }
    try {
      const result = await operation.commit();
      return result.ok
        ? ({ verdict: "apply", versionstamp: result.versionstamp } as const)
        : ({ verdict: "refuse", failedChecks: result.failedChecks } as const);
    } catch (error) {
      expect(error).toMatchObject({ code: "KV_INVALID_MUTATION" });
      return { verdict: "misuse", message: (error as Error).message } as const;
    }
  }

  #resolve({ checks, mutations }: CommitPlan): ModelCommit {
    const resolved = checks.map(({ key: target, expects }): ModelCheck => {
      const there = this.#model.entries.get(nameOf(target))?.versionstamp ?? null;
      if (expects === "what is there") return { key: target, versionstamp: there };
      if (expects === "nothing" || there === null) return { key: target, versionstamp: null };
      return { key: target, versionstamp: previousStamp(there) };
    });
    return { checks: resolved, mutations };
  }

  // ── reads ────────────────────────────────────────────────────────────────────────────────────────

  async #get(target: KvKey): Promise<void> {
    const expected = entryOf(target, this.#model.entries);
    same(this.#kv.getSync(target), expected);
    same(await this.#kv.get(target), expected);
  }

  async #getMany(keys: readonly KvKey[]): Promise<void> {
    const expected = keys.map((each) => entryOf(each, this.#model.entries));
    same(await this.#kv.getMany(keys), expected);
  }

  async #list(wanted: ModelList, options: KvListOptions, first: number): Promise<void> {
    const expected = this.#model.list(wanted);
    const chosen = wanted as KvListSelector;
    if (typeof expected === "string") {
      await expect(this.#kv.list(chosen, options).next()).rejects.toThrow(expected);
      return;
    }
    if (options.reverse === true) expected.reverse();
    const found: unknown[] = [];
    for await (const entry of this.#kv.list(chosen, options)) found.push(entry);
    same(found, expected.slice(0, options.limit).map(shown));
    if (first > 0) await this.#listInTwo(chosen, options, first, expected);
  }

  /** The first entries, and by their cursor the rest. */
  async #listInTwo(
    chosen: KvListSelector,
    options: KvListOptions,
    first: number,
    expected: readonly ModelEntry[],
  ): Promise<void> {
    const { limit: _, ...others } = options;
    const head = this.#kv.list(chosen, others);
    const found: unknown[] = [];
    for (let taken = 0; taken < first; taken++) {
      const item = await head.next();
      if (!item.done) found.push(item.value);
    }
    if (expected.length < first) expect(head.cursor).toBe("");
    else
      for await (const entry of this.#kv.list(chosen, { ...others, cursor: head.cursor })) found.push(entry);
    same(found, expected.map(shown));
  }

  async #toggleSnapshot(): Promise<void> {
    if (this.#snapshot !== null) return this.#checkSnapshot();
    this.#snapshot = { store: await this.#kv.snapshot(), entries: this.#model.copyOfEntries() };
  }

  /** What was live then and has not expired since: a snapshot does not stop the clock. */
  async #checkSnapshot(): Promise<void> {
    if (this.#snapshot === null) return;
    const { store, entries } = this.#snapshot;
    for (const [name, { expiresAtMs }] of entries) {
      if (expiresAtMs !== 0 && expiresAtMs <= this.#model.nowMs) entries.delete(name);
    }
    same(
      store.getMany(KEYS),
      KEYS.map((each) => entryOf(each, entries)),
    );
    const found: unknown[] = [];
    for await (const entry of store.list({ prefix: [] }, { batchSize: 3 })) found.push(entry);
    const inOrder = [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => shown(entry));
    same(found, inOrder);
    store.close();
    this.#snapshot = null;
  }

  // ── changes ──────────────────────────────────────────────────────────────────────────────────────

  /** Waits until everything that must be heard was heard, and compares. */
  async settle(): Promise<void> {
    await this.#list({ prefix: [] }, {}, 0);
    await this.#settleOne(this.#all!, () => true);
    await this.#settleOne(this.#some, (each) => isUnder(each, FOLLOWED));
  }

  async #settleOne(follower: Follower, wants: (key: KvKey) => boolean): Promise<void> {
    const expected = this.#model.changes.filter((change) => wants(change.key));
    const byKey = [...this.#model.changesByKey.values()].filter((changes) => wants(changes[0]!.key));
    const { heard } = follower;
    // The keys whose first change, a sweep that nobody may have heard, has been heard.
    const heardFirst = new Set<string>();
    const isHeard = () => {
      heardFirst.clear();
      for (const { key: each, cause } of heard) {
        const name = nameOf(each);
        const isFirst = !heardFirst.has(name) && !heardFirst.has(`${name} not`);
        if (isFirst) heardFirst.add(cause === "expired" ? name : `${name} not`);
      }
      return heard.length >= wanted().length;
    };
    const wanted = () =>
      byKey.flatMap((changes) => {
        const skipsFirst = changes[0]!.isOptional && !heardFirst.has(nameOf(changes[0]!.key));
        return skipsFirst ? changes.slice(1) : changes;
      });
    await until(
      isHeard,
      () => `${heard.length} of ${wanted().length} changes were heard: ${missing(heard, wanted())}`,
    );
    for (let index = 1; index < heard.length; index++) {
      expect(heard[index]!.position > heard[index - 1]!.position).toBe(true);
    }
    for (const { position, versionstamp } of heard) expect(position.slice(0, 20)).toBe(versionstamp);
    same(
      heard.filter(({ cause }) => cause !== "expired").map(({ position: _, ...change }) => change),
      expected.map(({ isOptional: _, ...change }) => change),
    );
    for (const [name, changes] of groupByKey(wanted())) {
      const ofKey = heard.filter((change) => nameOf(change.key) === name);
      expect(ofKey.map(spelled)).toEqual(changes.map(spelled));
    }
    expect(heard).toHaveLength(wanted().length);
  }
}

function groupByKey<T extends { readonly key: KvKey }>(changes: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const change of changes) {
    const name = nameOf(change.key);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [change]);
    else group.push(change);
  }
  return groups;
}

function entryOf(target: KvKey, entries: ReadonlyMap<string, ModelEntry>) {
  const found = entries.get(nameOf(target));
  return found === undefined ? { key: target, value: null, versionstamp: null } : shown(found);
}

function shown({ key: found, value: to, versionstamp }: ModelEntry) {
  return { key: found, value: to, versionstamp };
}

function spelled({ type, cause }: { readonly type: string; readonly cause: string }): string {
  return `${type} ${cause}`;
}

function missing(
  heard: readonly KvChange[],
  wanted: readonly { readonly type: string; readonly cause: string; readonly key: KvKey }[],
): string {
  const names = heard.map((change) => `${spelled(change)} ${nameOf(change.key)}`);
  return wanted
    .map((change) => `${spelled(change)} ${nameOf(change.key)}`)
    .filter((name) => {
      const index = names.indexOf(name);
      if (index >= 0) names.splice(index, 1);
      return index < 0;
    })
    .join(", ");
}

/** Strict, and -0 is not 0. */
function same(found: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(found, expected)) expect(found).toStrictEqual(expected);
  expect(isDeepStrictEqual(found, expected)).toBe(true);
}

/** The text of the versionstamp just below. */
function previousStamp(versionstamp: string): string {
  return (BigInt(`0x${versionstamp}`) - 1n).toString(16).padStart(20, "0");
}

async function until(holds: () => boolean, otherwise: string | (() => string)): Promise<void> {
  const deadlineMs = Date.now() + SETTLE_MS_MAX;
  while (!holds()) {
    if (Date.now() > deadlineMs) throw new Error(typeof otherwise === "string" ? otherwise : otherwise());
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test.each([
  { shards: 1, partitionDepth: 2, durability: "sync" as const },
  { shards: 2, partitionDepth: 2, durability: "sync" as const },
  { shards: 5, partitionDepth: 2, durability: "relaxed" as const },
  { shards: 2, partitionDepth: 1, durability: "relaxed" as const },
  { shards: 5, partitionDepth: 3, durability: "sync" as const },
])(
  "a store does what a sorted map with a clock does, to readers and to followers: %o",
  { timeout: 300_000 },
  async (options) => {
    const commands = fc.array(command, { minLength: COMMANDS, maxLength: COMMANDS });
    await fc.assert(
      fc.asyncProperty(commands, async (given) => {
        const worlds = new Worlds(tempPath(), options);
        await worlds.open();
        let isDone = false;
        try {
          for (const each of given) await worlds.run(each);
          await worlds.close();
          isDone = true;
        } finally {
          if (!isDone) await worlds.abandon();
        }
      }),
      { seed: SEED, numRuns: RUNS, endOnFailure: process.env["BELFRY_SHRINK"] !== "1" },
    );
  },
);
