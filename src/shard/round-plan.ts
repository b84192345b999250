/**
 * Owns the decision of a round: which of its commits are applied. Runs on the one participant that decides, while all
 * participants stand still outside of their transactions, so their stores are a fixed state that any thread may read.
 *
 * The design's first idea was a vote of every participant on every commit. That costs two thread switches a commit; here they are
 * two a round, and what a decider needs of the other shards is a read.
 *
 * Commits are planned in order, each on what those before it have done: an overlay keeps the effects that no store has yet.
 */

import type { CommitFields } from "../codec/commit-frame.js";
import { encodeEntry } from "../codec/entry.js";
import { type Reply, ReplyStatus } from "../codec/reply-frame.js";
import { formatVersionstamp } from "../codec/versionstamp.js";
import { Verdict } from "../ring/round-ring.js";
import { committedReply, type Effect, type EntryReader, planCommit } from "./commit-plan.js";

/** Order of the commit with `index` in its round. The order below belongs to the expired entries that it sweeps. */
export function roundOrder(index: number): number {
  return 2 * index + 1;
}

export interface RoundDecision {
  readonly verdicts: Uint8Array;
  /** What to answer to each commit, once the round has finished. */
  readonly replies: readonly Reply[];
}

/** The facts that a decision rests on. `commits` has `null` for a commit whose parcel was lost. */
export interface RoundFacts {
  readonly counter: number;
  readonly nowMs: number;
  readonly commits: readonly (CommitFields | null)[];
  readonly read: EntryReader;
  readonly shardOf: (key: Uint8Array) => number;
  readonly holderOf?: (shard: number, id: Uint8Array) => number | undefined;
}

export function decideRound(facts: RoundFacts): RoundDecision {
  const overlay = new Overlay(facts.read);
  const verdicts = new Uint8Array(facts.commits.length).fill(Verdict.refuse);
  const replies = facts.commits.map((commit, index): Reply => {
    if (commit === null) return { status: ReplyStatus.unknown };
    const order = roundOrder(index);
    const plan = planCommit(commit, {
      read: overlay.read,
      nowMs: facts.nowMs,
      versionstamp: () => formatVersionstamp(facts.counter, order),
      shardOf: facts.shardOf,
      // A holder buries a message once and waits for the answer, so no earlier commit of the round can have ended the lease.
      ...(facts.holderOf && { holderOf: facts.holderOf }),
    });
    if (plan.verdict === "refuse") return { status: ReplyStatus.refused, failedChecks: plan.failedChecks };
    if (plan.verdict === "misuse") return { status: ReplyStatus.misuse, message: plan.message };
    overlay.apply(plan.effects, facts.counter, order);
    verdicts[index] = Verdict.apply;
    return committedReply(plan, facts.counter, order);
  });
  return { verdicts, replies };
}

/** The participants' stores with the effects of the round so far on top. */
class Overlay {
  readonly #entries = new Map<string, Uint8Array | undefined>();
  readonly #under: EntryReader;

  constructor(under: EntryReader) {
    this.#under = under;
  }

  readonly read: EntryReader = (shard, key) => {
    if (this.#entries.size === 0) return this.#under(shard, key);
    const name = nameOf(key);
    return this.#entries.has(name) ? this.#entries.get(name) : this.#under(shard, key);
  };

  apply(effects: readonly Effect[], counter: number, order: number): void {
    for (const { key, after } of effects) {
      const entry =
        after &&
        encodeEntry(
          { encoding: after.encoding, counter, order, expiresAtMs: after.expiresAtMs },
          after.value,
        );
      this.#entries.set(nameOf(key), entry ?? undefined);
    }
  }
}

/** A key lives in one shard only, so its bytes are name enough. */
function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}
