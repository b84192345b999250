/**
 * Owns what a commit does: its checks, its mutations, and their net effect on each key. Pure; runs on shard threads.
 *
 * Planning reads and never writes, so a commit that fails half-way has changed nothing. One key has one effect, however many
 * mutations named it: later ones see earlier ones, and watchers hear the outcome.
 *
 * An entry that has expired and is not swept yet counts as absent. A commit that touches one first lets it be swept, so that its
 * expiry is heard before what comes in its place.
 */
import { type CommitFields, type MutationFields, MutationType } from "../codec/commit-frame.js";
import { entryEncoding, entryExpiresAtMs, entryValue, isExpired } from "../codec/entry.js";
import { appendVersionstampPart } from "../codec/key.js";
import type { FailedCheckFields } from "../codec/reply-frame.js";
import { Encoding } from "../codec/value.js";
import { readCounter, readOrder, VERSIONSTAMP_BYTES } from "../codec/versionstamp.js";
import { combine, MutationRefusal, type StoredValue } from "./combine.js";

/** Bytes of the entry under a key of a shard; borrowed until the next read. */
export type EntryReader = (shard: number, key: Uint8Array) => Uint8Array | undefined;

/** What planning needs to know of its surroundings. */
export interface PlanContext {
  readonly read: EntryReader;
  readonly nowMs: number;
  /** The commit's versionstamp in hex, for keys that end in it. */
  readonly versionstamp: () => string;
  /** The shard of a key. */
  readonly shardOf: (key: Uint8Array) => number;
  /** Plan this shard's part alone. */
  readonly onlyShard?: number;
  /** The checks are known to hold. */
  readonly checked?: boolean;
}

export interface NewValue extends StoredValue {
  readonly expiresAtMs: number;
}

/** What a commit does to one key. At least one of `before` and `after` is not `null`. */
export interface Effect {
  readonly shard: number;
  readonly key: Uint8Array;
  /** Index of the last mutation of the key: the change's place within its commit. */
  readonly place: number;
  /** When the entry that was there would have expired (0: never); `null` when there was none. */
  readonly before: { readonly expiresAtMs: number } | null;
  /** What is there now; `null` when it is deleted. */
  readonly after: NewValue | null;
}

/** An entry that has expired and must be swept before the commit. */
export interface ExpiredEntry {
  readonly shard: number;
  readonly key: Uint8Array;
  readonly expiresAtMs: number;
}

export type Plan =
  | {
      readonly verdict: "apply";
      readonly expired: readonly ExpiredEntry[];
      readonly effects: readonly Effect[];
    }
  | { readonly verdict: "refuse"; readonly failedChecks: readonly FailedCheckFields[] }
  | { readonly verdict: "misuse"; readonly message: string };

/** State of one key while its commit is planned. */
interface Draft {
  readonly shard: number;
  readonly key: Uint8Array;
  readonly before: { readonly expiresAtMs: number } | null;
  place: number;
  value: NewValue | null;
}

/** Plans a commit. Bytes in the plan are private or belong to the commit's own frame. */
export function planCommit(commit: CommitFields, context: PlanContext): Plan {
  if (context.checked !== true) {
    const failedChecks = failingChecks(commit, context);
    if (failedChecks.length > 0) return { verdict: "refuse", failedChecks };
  }
  const expired: ExpiredEntry[] = [];
  try {
    const drafts = draftAll(commit.mutations, context, expired);
    return {
      verdict: "apply",
      expired,
      effects: inOrder(drafts.filter((draft) => draft.before || draft.value).map(effectOf)),
    };
  } catch (error) {
    if (error instanceof MutationRefusal) return { verdict: "misuse", message: error.message };
    throw error;
  }
}

/** The key of a mutation that asks for the commit's versionstamp behind its key. */
export function resolveKey(mutation: MutationFields, versionstamp: string): Uint8Array {
  return appendVersionstampPart(mutation.key, versionstamp);
}

/** By place, as the parts of a commit over several shards are put together: watchers hear the same on any number of shards. */
function inOrder(effects: Effect[]): Effect[] {
  return effects.sort((a, b) => a.place - b.place);
}

function effectOf(draft: Draft): Effect {
  return { shard: draft.shard, key: draft.key, place: draft.place, before: draft.before, after: draft.value };
}

function failingChecks(commit: CommitFields, context: PlanContext): FailedCheckFields[] {
  const failed: FailedCheckFields[] = [];
  commit.checks.forEach((check, index) => {
    const entry = context.read(check.shard, check.key);
    const live = entry !== undefined && !isExpired(entry, context.nowMs) ? entry : null;
    const expected = check.versionstamp;
    const holds =
      live === null || expected === null
        ? live === null && expected === null
        : readCounter(live, STAMP_OFFSET) === expected.counter &&
          readOrder(live, STAMP_OFFSET) === expected.order;
    if (holds) return;
    const actual = live?.slice(STAMP_OFFSET, STAMP_OFFSET + VERSIONSTAMP_BYTES) ?? null;
    failed.push({ index, actual });
  });
  return failed;
}

/** Where the versionstamp stands in an entry (codec/entry.ts). */
const STAMP_OFFSET = 2;

function draftAll(
  mutations: readonly MutationFields[],
  context: PlanContext,
  expired: ExpiredEntry[],
): Draft[] {
  const drafts: Draft[] = [];
  const byKey = mutations.length > 1 ? new Map<string, Draft>() : null;
  mutations.forEach((mutation, place) => {
    const key = mutation.keyKind === 0 ? mutation.key : resolveKey(mutation, context.versionstamp());
    const shard = mutation.keyKind === 0 ? mutation.shard : context.shardOf(key);
    if (context.onlyShard !== undefined && shard !== context.onlyShard) return;
    const name = byKey && Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
    let draft = byKey?.get(name!);
    if (draft === undefined) {
      const started = startDraft(shard, key, mutation, context, expired);
      draft = started;
      drafts.push(draft);
      byKey?.set(name!, draft);
    }
    draft.place = place;
    draft.value = mutate(draft.value, mutation);
  });
  return drafts;
}

function startDraft(
  shard: number,
  key: Uint8Array,
  mutation: MutationFields,
  context: PlanContext,
  expired: ExpiredEntry[],
): Draft {
  const entry = context.read(shard, key);
  if (entry === undefined) return { shard, key, before: null, place: 0, value: null };
  const expiresAtMs = entryExpiresAtMs(entry);
  if (isExpired(entry, context.nowMs)) {
    expired.push({ shard, key, expiresAtMs });
    return { shard, key, before: null, place: 0, value: null };
  }
  const value = needsValue(mutation)
    ? { encoding: entryEncoding(entry), value: entryValue(entry).slice(), expiresAtMs }
    : { encoding: 0, value: NOTHING, expiresAtMs };
  return { shard, key, before: { expiresAtMs }, place: 0, value };
}

const NOTHING = new Uint8Array(0);

/** Whether the first mutation of a key looks at the value that is there: setting and deleting do not. */
function needsValue(mutation: MutationFields): boolean {
  return mutation.type !== MutationType.SET && mutation.type !== MutationType.DELETE;
}

function mutate(before: NewValue | null, mutation: MutationFields): NewValue | null {
  switch (mutation.type) {
    case MutationType.SET:
      return { encoding: mutation.encoding, value: mutation.value, expiresAtMs: mutation.expiresAtMs };
    case MutationType.DELETE:
      return null;
    default:
      // As in Deno KV, arithmetic clears a time to live.
      return { encoding: Encoding.LE64, value: combine(mutation.type, before, mutation), expiresAtMs: 0 };
  }
}
