/** What one commit comes to: checks before mutations, mutations in order, one effect a key, and nothing at all when one can't be. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CheckFields,
  KeyKind,
  type MutationFields,
  MutationType,
} from "../../src/codec/commit-frame.js";
import { decodeKey } from "../../src/codec/key.js";
import { Encoding } from "../../src/codec/value.js";
import { formatVersionstamp } from "../../src/codec/versionstamp.js";
import { type Plan, type PlanContext, planCommit } from "../../src/shard/commit-plan.js";
import {
  checking,
  combining,
  commitOf,
  deleting,
  hexOf,
  keyOf,
  readU64,
  StoredEntries,
  setting,
  shardOf,
  u64,
} from "./stored-entries.js";

const NOW_MS = 1_000;
const A = Uint8Array.of(65);
const B = Uint8Array.of(66);

function contextOf(stored: StoredEntries, more: Partial<PlanContext> = {}): PlanContext {
  return { read: stored.read, nowMs: NOW_MS, versionstamp: () => formatVersionstamp(9, 1), shardOf, ...more };
}

function applied(plan: Plan): Extract<Plan, { verdict: "apply" }> {
  if (plan.verdict !== "apply") throw new Error(`the plan says ${plan.verdict}`);
  return plan;
}

describe("effects", () => {
  test("a key has one effect, however many mutations name it, at the place of the last one", () => {
    const stored = new StoredEntries();
    const commit = commitOf([
      setting(0, "a", A),
      setting(0, "b", A),
      setting(0, "a", B),
      combining("SUM", 0, "n", 1n),
      combining("SUM", 0, "n", 2n),
    ]);
    const { effects } = applied(planCommit(commit, contextOf(stored)));
    expect(effects.map(({ key, place }) => [decodeKey(key)[1], place])).toEqual([
      ["b", 1],
      ["a", 2],
      ["n", 4],
    ]);
    expect(readU64(effects[2]!.after!.value)).toBe(3n);
  });

  test("what is neither there before nor after has no effect", () => {
    const commit = commitOf([deleting(0, "none"), setting(0, "a", A), deleting(0, "a")]);
    expect(applied(planCommit(commit, contextOf(new StoredEntries()))).effects).toEqual([]);
  });

  test("an effect tells when the entry before it would have expired, and arithmetic never expires", () => {
    const stored = new StoredEntries();
    stored.put(keyOf(0, "n"), u64(5n), { encoding: Encoding.LE64, expiresAtMs: 2_000 });
    const [effect] = applied(planCommit(commitOf([combining("MAX", 0, "n", 9n)]), contextOf(stored))).effects;
    expect(effect).toMatchObject({ before: { expiresAtMs: 2_000 }, after: { expiresAtMs: 0 } });
    expect(readU64(effect!.after!.value)).toBe(9n);
  });

  test("an entry that has expired counts as absent, and is swept first", () => {
    const stored = new StoredEntries();
    stored.put(keyOf(0, "a"), A, { expiresAtMs: NOW_MS });
    stored.put(keyOf(0, "b"), A, { expiresAtMs: NOW_MS + 1 });
    const commit = commitOf([setting(0, "a", B), deleting(0, "b")], [checking(0, "a", null)]);
    const plan = applied(planCommit(commit, contextOf(stored)));
    expect(plan.expired).toMatchObject([{ shard: 0, key: keyOf(0, "a"), expiresAtMs: NOW_MS }]);
    expect(plan.effects.map(({ before, after }) => [before?.expiresAtMs, after === null])).toEqual([
      [undefined, false],
      [NOW_MS + 1, true],
    ]);
  });

  test("one shard's part is the part of that shard", () => {
    const commit = commitOf([setting(0, "a", A), setting(1, "b", A), setting(0, "c", A)]);
    for (const shard of [0, 1]) {
      const plan = applied(planCommit(commit, contextOf(new StoredEntries(), { onlyShard: shard })));
      expect(plan.effects.map(({ place }) => place)).toEqual(shard === 0 ? [0, 2] : [1]);
    }
  });

  test("a key that ends in the versionstamp is completed, and belongs to the shard of the whole", () => {
    const mutation: MutationFields = { ...setting(1, "log", A), shard: 0, keyKind: KeyKind.VERSIONSTAMPED };
    const [effect] = applied(planCommit(commitOf([mutation]), contextOf(new StoredEntries()))).effects;
    expect(decodeKey(effect!.key)).toEqual([Uint8Array.of(2), "log", "00000000000000090001"]);
    expect(effect!.shard).toBe(1);
  });
});

describe("refusals", () => {
  test("every check that does not hold is named with what is there, before any mutation is looked at", () => {
    const stored = new StoredEntries();
    stored.put(keyOf(0, "a"), A, { counter: 7, order: 3 });
    const commit = commitOf(
      [combining("SUM", 0, "a", 1n)],
      [
        checking(0, "a", { counter: 7, order: 3 }),
        checking(0, "a", { counter: 7, order: 1 }),
        checking(0, "a", null),
        checking(0, "none", { counter: 7, order: 3 }),
        checking(0, "none", null),
      ],
    );
    const actual = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 7, 0, 3);
    expect(planCommit(commit, contextOf(stored))).toEqual({
      verdict: "refuse",
      failedChecks: [
        { index: 1, actual },
        { index: 2, actual },
        { index: 3, actual: null },
      ],
    });
    expect(planCommit(commit, contextOf(stored, { checked: true })).verdict).toBe("misuse");
  });

  test("arithmetic on something else than a u64 is misuse, with a message, wherever it stands", () => {
    const plan = planCommit(
      commitOf([setting(0, "a", A), combining("MIN", 0, "a", 1n)]),
      contextOf(new StoredEntries()),
    );
    expect(plan).toEqual({
      verdict: "misuse",
      message: "Failed to perform 'min' mutation on a non-U64 value in the database",
    });
  });
});

// ── against a naive model ──────────────────────────────────────────────────────────────────────────

interface ModelEntry {
  readonly stamp: string;
  readonly encoding: number;
  readonly value: string;
  readonly expiresAtMs: number;
}

type Model = Map<string, ModelEntry>;

const names = fc.constantFrom("a", "b", "c");
const shards = fc.nat(1);
const operand = fc.constantFrom(0n, 1n, 2n ** 64n - 1n);
const mutation: fc.Arbitrary<MutationFields> = fc.oneof(
  fc
    .tuple(shards, names, fc.nat(3), fc.constantFrom(0, 0, NOW_MS - 1, NOW_MS + 50))
    .map(([shard, name, byte, expiresAtMs]) => setting(shard, name, Uint8Array.of(byte), expiresAtMs)),
  fc
    .tuple(shards, names, operand)
    .map(([shard, name, value]) => ({ ...setting(shard, name, u64(value)), encoding: Encoding.LE64 })),
  fc.tuple(shards, names).map(([shard, name]) => deleting(shard, name)),
  fc
    .tuple(fc.constantFrom("SUM" as const, "MIN" as const, "MAX" as const), shards, names, operand)
    .map(([type, shard, name, value]) => combining(type, shard, name, value)),
);
const check = fc
  .tuple(shards, names, fc.constantFrom(null, 1, 2, 3))
  .map(([shard, name, counter]) => checking(shard, name, counter === null ? null : { counter, order: 1 }));

function holds(model: Model, { key, versionstamp }: CheckFields): boolean {
  const stamp = model.get(hexOf(key))?.stamp;
  return versionstamp === null
    ? stamp === undefined
    : stamp === formatVersionstamp(versionstamp.counter, versionstamp.order);
}

/** `null` when a mutation can't be. Entries that expire within the commit stay until it ends. */
function mutated(model: Model, mutations: readonly MutationFields[], stamp: string): Model | null {
  const after = new Map(model);
  for (const { type, key, encoding, value, expiresAtMs } of mutations) {
    const name = hexOf(key);
    const before = after.get(name);
    if (type === MutationType.SET) after.set(name, { stamp, encoding, value: hexOf(value), expiresAtMs });
    else if (type === MutationType.DELETE) after.delete(name);
    else if (before !== undefined && before.encoding !== Encoding.LE64) return null;
    else {
      const there = before === undefined ? null : readU64(Buffer.from(before.value, "hex"));
      const given = readU64(value);
      const options = [there ?? given, given].sort((a, b) => (a < b ? -1 : 1));
      const result =
        type === MutationType.SUM
          ? ((there ?? 0n) + given) % 2n ** 64n
          : options[type === MutationType.MIN ? 0 : 1]!;
      after.set(name, { stamp, encoding: Encoding.LE64, value: hexOf(u64(result)), expiresAtMs: 0 });
    }
  }
  return after;
}

test("commit after commit, the plan does what a map does", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(check, { maxLength: 2 }), fc.array(mutation, { maxLength: 6 })), {
        maxLength: 12,
      }),
      (commits) => {
        const stored = new StoredEntries();
        let model: Model = new Map();
        for (const [index, [checks, mutations]] of commits.entries()) {
          const counter = index + 1;
          const stamp = formatVersionstamp(counter, 1);
          for (const [name, { expiresAtMs }] of model)
            if (expiresAtMs !== 0 && expiresAtMs <= NOW_MS) model.delete(name);
          const plan = planCommit(
            commitOf(mutations, checks),
            contextOf(stored, { versionstamp: () => stamp }),
          );
          const failed = checks.flatMap((each, at) => (holds(model, each) ? [] : [at]));
          const after = mutated(model, mutations, stamp);
          if (failed.length > 0) {
            expect(plan.verdict === "refuse" && plan.failedChecks.map((each) => each.index)).toEqual(failed);
          } else if (after === null) {
            expect(plan.verdict).toBe("misuse");
          } else {
            const { effects, expired } = applied(plan);
            for (const { key, before } of effects) expect(before !== null).toBe(model.has(hexOf(key)));
            stored.apply(effects, expired, counter, 1);
            model = after;
          }
        }
        const expected = [...model].map(
          ([name, each]) => `${name} ${each.stamp} ${each.encoding} ${each.value} ${each.expiresAtMs}`,
        );
        const isSwept = (shown: string) => {
          const expiresAtMs = Number(shown.split(" ").at(-1));
          return expiresAtMs !== 0 && expiresAtMs <= NOW_MS;
        };
        const live = (all: readonly string[]) => all.filter((each) => !isSwept(each)).sort();
        expect(live(stored.shown)).toEqual(live(expected));
      },
    ),
    { numRuns: 1000 },
  );
});
