/** The decision of a round: commit after commit, each on what those before it have done, against one that has a store for all. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { CommitFields } from "../../src/codec/commit-frame.js";
import { type Reply, ReplyStatus } from "../../src/codec/reply-frame.js";
import { Encoding } from "../../src/codec/value.js";
import { formatVersionstamp, readVersionstamp } from "../../src/codec/versionstamp.js";
import { Verdict } from "../../src/ring/round-ring.js";
import { planCommit } from "../../src/shard/commit-plan.js";
import { decideRound, roundOrder } from "../../src/shard/round-plan.js";
import {
  checking,
  combining,
  commitOf,
  deleting,
  keyOf,
  StoredEntries,
  setting,
  shardOf,
  u64,
} from "./stored-entries.js";

const COUNTER = 40;
const NOW_MS = 1_000;
const A = Uint8Array.of(65);

function decide(stored: StoredEntries, commits: readonly (CommitFields | null)[]) {
  return decideRound({ counter: COUNTER, nowMs: NOW_MS, commits, read: stored.read, shardOf });
}

test("a commit sees what those before it in the round have done, on whichever shard", () => {
  const stored = new StoredEntries();
  const first = commitOf([setting(0, "a", A), setting(1, "b", A)], [checking(0, "a", null)]);
  const again = commitOf([setting(1, "c", A)], [checking(0, "a", null)]);
  const upon = commitOf(
    [deleting(0, "a"), setting(2, "c", A)],
    [checking(1, "b", { counter: COUNTER, order: roundOrder(0) })],
  );
  const last = commitOf([setting(0, "a", A)], [checking(0, "a", null), checking(1, "c", null)]);
  const { verdicts, replies } = decide(stored, [first, again, upon, last]);
  expect([...verdicts]).toEqual([Verdict.apply, Verdict.refuse, Verdict.apply, Verdict.apply]);
  expect(replies[1]).toMatchObject({ status: ReplyStatus.refused, failedChecks: [{ index: 0 }] });
  expect(stored.shown).toEqual([]);
});

test("a commit that can't be costs the round nothing, and leaves nothing behind for those after it", () => {
  const stored = new StoredEntries();
  stored.put(keyOf(1, "text"), A);
  const { verdicts, replies } = decide(stored, [
    commitOf([setting(0, "a", A), combining("SUM", 1, "text", 1n)]),
    commitOf([combining("SUM", 0, "a", 1n)], [checking(0, "a", null)]),
  ]);
  expect([...verdicts]).toEqual([Verdict.refuse, Verdict.apply]);
  expect(replies[0]).toMatchObject({ status: ReplyStatus.misuse, message: expect.stringContaining("'sum'") });
});

test("a commit whose bytes were lost is not applied, and nobody claims to know", () => {
  const { verdicts, replies } = decide(new StoredEntries(), [null, commitOf([setting(0, "a", A)])]);
  expect([...verdicts]).toEqual([Verdict.refuse, Verdict.apply]);
  expect(replies[0]).toEqual({ status: ReplyStatus.unknown });
});

test("versionstamps grow within the round, with room for a sweep below each", () => {
  const commits = Array.from({ length: 1024 }, (_, n) => commitOf([setting(n % 3, `${n}`, A)]));
  const { replies } = decide(new StoredEntries(), commits);
  const stamps = replies.map((reply) =>
    readVersionstamp((reply as { versionstamp: Uint8Array }).versionstamp, 0),
  );
  expect(stamps[0]).toBe(formatVersionstamp(COUNTER, 1));
  for (let index = 1; index < stamps.length; index++) {
    expect(roundOrder(index) - 1).toBeGreaterThan(roundOrder(index - 1));
    expect(stamps[index]! > stamps[index - 1]!).toBe(true);
  }
});

const name = fc.constantFrom("a", "b");
const shard = fc.nat(2);
const mutation = fc.oneof(
  fc
    .tuple(shard, name, fc.constantFrom(0, 0, NOW_MS, NOW_MS + 9))
    .map(([at, called, expiresAtMs]) => setting(at, called, A, expiresAtMs)),
  fc.tuple(shard, name).map(([at, called]) => ({ ...setting(at, called, u64(3n)), encoding: Encoding.LE64 })),
  fc.tuple(shard, name).map(([at, called]) => deleting(at, called)),
  fc.tuple(shard, name).map(([at, called]) => combining("SUM", at, called, 5n)),
);
const check = fc
  .tuple(shard, name, fc.constantFrom(null, 0, 1, 2, 3))
  .map(([at, called, index]) =>
    checking(at, called, index === null ? null : { counter: COUNTER, order: roundOrder(index) }),
  );
const commit = fc
  .tuple(fc.array(mutation, { maxLength: 4 }), fc.oneof(fc.constant([]), fc.array(check, { maxLength: 2 })))
  .map(([mutations, checks]) => commitOf(mutations, checks));

test("a round decides what one store that applied each commit at once would, and each shard then does its part of that", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(shard, name, fc.constantFrom(0, NOW_MS, NOW_MS + 9)), { maxLength: 4 }),
      fc.array(commit, { maxLength: 10 }),
      (before, commits) => {
        const [fixed, atOnce, inParts] = [new StoredEntries(), new StoredEntries(), new StoredEntries()];
        for (const [at, called, expiresAtMs] of before) {
          for (const stored of [fixed, atOnce, inParts]) stored.put(keyOf(at, called), A, { expiresAtMs });
        }
        const { verdicts, replies } = decide(fixed, commits);
        const contextAt = (stored: StoredEntries, index: number) => ({
          read: stored.read,
          nowMs: NOW_MS,
          versionstamp: () => formatVersionstamp(COUNTER, roundOrder(index)),
          shardOf,
        });
        commits.forEach((each, index) => {
          const plan = planCommit(each, contextAt(atOnce, index));
          const reply: Reply = replies[index]!;
          if (plan.verdict !== "apply") {
            expect(verdicts[index]).toBe(Verdict.refuse);
            if (plan.verdict === "refuse") {
              expect(reply).toEqual({ status: ReplyStatus.refused, failedChecks: plan.failedChecks });
            } else expect(reply).toEqual({ status: ReplyStatus.misuse, message: plan.message });
            return;
          }
          expect([verdicts[index], reply.status]).toEqual([Verdict.apply, ReplyStatus.committed]);
          atOnce.apply(plan.effects, plan.expired, COUNTER, roundOrder(index));
        });
        for (const onlyShard of [2, 0, 1]) {
          commits.forEach((each, index) => {
            if (verdicts[index] !== Verdict.apply) return;
            const plan = planCommit(each, { ...contextAt(inParts, index), onlyShard, checked: true });
            if (plan.verdict !== "apply") throw new Error(`commit ${index} was decided and can't be applied`);
            inParts.apply(plan.effects, plan.expired, COUNTER, roundOrder(index));
          });
        }
        expect(inParts.shown).toEqual(atOnce.shown);
      },
    ),
    { numRuns: 1000 },
  );
});
