/**
 * Owns what a commit does: its checks, its mutations, and their net effect on each key. Pure; runs on shard threads.
 *
 * Planning reads and never writes, so a commit that fails half-way has changed nothing. One key has one effect, however many
 * mutations named it: later ones see earlier ones, and watchers hear the outcome.
 *
 * An entry that has expired and is not swept yet counts as absent. A commit that touches one first lets it be swept, so that its
 * expiry is heard before what comes in its place.
 */
import { readLatin1 } from "../codec/byte-text.js";
import { type CommitFields, type MutationFields, MutationType } from "../codec/commit-frame.js";
import { entryEncoding, entryExpiresAtMs, entryValue, isExpired } from "../codec/entry.js";
import { appendVersionstampPart, compareBytes } from "../codec/key.js";
import { type FailedCheckFields, type Reply, ReplyStatus } from "../codec/reply-frame.js";
import { readCounter, readOrder, VERSIONSTAMP_BYTES, writeVersionstamp } from "../codec/versionstamp.js";
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
  /** Who has the lease of a message of a shard; `undefined`: nobody, as it is where this is left out. */
  readonly holderOf?: (shard: number, id: Uint8Array) => number | undefined;
  /** Plan this shard's part alone. */
  readonly onlyShard?: number;
  /** The checks are known to hold. */
  readonly checked?: boolean;
  /** Whether effects carry the values that were there before. Default: false. */
  readonly withPrevious?: boolean;
}

export interface NewValue extends StoredValue {
  readonly expiresAtMs: number;
}

/** The entry that stood under a key before a commit. */
export interface Before {
  /** When it would have expired; 0: never. */
  readonly expiresAtMs: number;
  /** Its versionstamp, 10 private bytes, where the commit's answer may need it; else `null`. */
  readonly versionstamp: Uint8Array | null;
  /** Its value, where somebody wants to know; else `null`. */
  readonly previous: StoredValue | null;
}

/** What a commit does to one key. At least one of `before` and `after` is not `null`. */
export interface Effect {
  readonly shard: number;
  readonly key: Uint8Array;
  /** Index of the last mutation of the key: the change's place within its commit. */
  readonly place: number;
  /** The entry that was there; `null` when there was none. */
  readonly before: Before | null;
  /** What is there now; `null` when it is deleted. */
  readonly after: NewValue | null;
}

/** An entry that has expired and must be swept before the commit. */
export interface ExpiredEntry {
  readonly shard: number;
  readonly key: Uint8Array;
  readonly expiresAtMs: number;
  /** Its place among the changes of its versionstamp, over all shards. */
  readonly place: number;
  /** Its value, where somebody wants to know; else `null`. */
  readonly previous: StoredValue | null;
}

export type Plan =
  | {
      readonly verdict: "apply";
      readonly expired: readonly ExpiredEntry[];
      readonly effects: readonly Effect[];
      /** Where the only mutation is an `ifChanged` that found what it would have set: the versionstamp of that entry. */
      readonly unchanged: Uint8Array | null;
    }
  | { readonly verdict: "refuse"; readonly failedChecks: readonly FailedCheckFields[] }
  | { readonly verdict: "misuse"; readonly message: string };

/** State of one key while its commit is planned. */
interface Draft {
  readonly shard: number;
  readonly key: Uint8Array;
  readonly before: Before | null;
  place: number;
  value: NewValue | null;
  /** Whether any mutation did something. */
  isTouched: boolean;
}

/** Plans a commit. Bytes in the plan are private or belong to the commit's own frame. */
export function planCommit(commit: CommitFields, context: PlanContext): Plan {
  if (context.checked !== true && commit.checks.length > 0) {
    const failedChecks = failingChecks(commit, context);
    if (failedChecks.length > 0 || hasLostLease(commit, context)) return { verdict: "refuse", failedChecks };
  }
  const expired: ExpiredEntry[] = [];
  try {
    const drafts = draftAll(commit.mutations, context, expired);
    return {
      verdict: "apply",
      expired,
      effects: effectsOf(drafts),
      unchanged: loneUnchanged(commit, drafts),
    };
  } catch (error) {
    if (error instanceof MutationRefusal) return { verdict: "misuse", message: error.message };
    throw error;
  }
}

/** The answer to a commit that was applied. One that left everything as it was has the versionstamp of what is there. */
export function committedReply(
  plan: Extract<Plan, { verdict: "apply" }>,
  counter: number,
  order: number,
): Reply {
  const versionstamp = new Uint8Array(VERSIONSTAMP_BYTES);
  writeVersionstamp(versionstamp, 0, counter, order);
  const changed = plan.effects.length > 0;
  return { status: ReplyStatus.committed, versionstamp: plan.unchanged ?? versionstamp, changed };
}

function loneUnchanged(commit: CommitFields, drafts: readonly Draft[]): Uint8Array | null {
  const isLone =
    commit.mutations.length === 1 &&
    commit.queue === undefined &&
    drafts.length === 1 &&
    !drafts[0]!.isTouched;
  return isLone ? (drafts[0]!.before?.versionstamp ?? null) : null;
}

/** The key of a mutation that asks for the commit's versionstamp behind its key. */
export function resolveKey(mutation: MutationFields, versionstamp: string): Uint8Array {
  return appendVersionstampPart(mutation.key, versionstamp);
}

/** By place, as the parts of a commit over several shards are put together: watchers hear the same on any number of shards. */
function effectsOf(drafts: readonly Draft[]): Effect[] {
  const effects: Effect[] = [];
  let isInOrder = true;
  for (const { shard, key, place, before, value, isTouched } of drafts) {
    if (!isTouched || (before === null && value === null)) continue;
    if (effects.length > 0 && effects.at(-1)!.place > place) isInOrder = false;
    effects.push({ shard, key, place, before, after: value });
  }
  return isInOrder ? effects : effects.sort((a, b) => a.place - b.place);
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

/** Whether the commit buries a message that its holder has no lease of any more. It then fails like a check, and names none. */
function hasLostLease({ queue }: CommitFields, { holderOf }: PlanContext): boolean {
  return queue?.burials.some(({ id, holder }) => holderOf?.(queue.shard, id) !== holder) ?? false;
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
  for (let place = 0; place < mutations.length; place++) {
    const mutation = mutations[place]!;
    const key = mutation.keyKind === 0 ? mutation.key : resolveKey(mutation, context.versionstamp());
    const shard = mutation.keyKind === 0 ? mutation.shard : context.shardOf(key);
    if (context.onlyShard !== undefined && shard !== context.onlyShard) continue;
    const name = byKey && readLatin1(key, 0, key.length);
    let draft = byKey?.get(name!);
    if (draft === undefined) {
      draft = startDraft({ shard, key, place }, mutation, context, expired);
      drafts.push(draft);
      byKey?.set(name!, draft);
    }
    if (mutation.ifChanged === true && isSame(draft.value, mutation)) continue;
    draft.isTouched = true;
    draft.place = place;
    draft.value = mutate(draft.value, mutation);
  }
  return drafts;
}

function startDraft(
  target: { readonly shard: number; readonly key: Uint8Array; readonly place: number },
  mutation: MutationFields,
  context: PlanContext,
  expired: ExpiredEntry[],
): Draft {
  const { shard, key, place } = target;
  const entry = context.read(shard, key);
  if (entry === undefined) return { shard, key, before: null, place, value: null, isTouched: false };
  const expiresAtMs = entryExpiresAtMs(entry);
  const isLive = expiresAtMs === 0 || expiresAtMs > context.nowMs;
  const isRead = context.withPrevious === true || (isLive && needsValue(mutation));
  const stored = isRead ? { encoding: entryEncoding(entry), value: entryValue(entry).slice() } : null;
  const previous = context.withPrevious === true ? stored : null;
  if (!isLive) {
    expired.push({ shard, key, expiresAtMs, place, previous });
    return { shard, key, before: null, place, value: null, isTouched: false };
  }
  // Only a set that may change nothing answers with it.
  const versionstamp =
    mutation.ifChanged === true ? entry.slice(STAMP_OFFSET, STAMP_OFFSET + VERSIONSTAMP_BYTES) : null;
  const { encoding, value } = stored ?? UNREAD;
  return {
    shard,
    key,
    before: { expiresAtMs, versionstamp, previous },
    place,
    value: { encoding, value, expiresAtMs },
    isTouched: false,
  };
}

/** Stands for a value that no mutation looks at. */
const UNREAD: StoredValue = { encoding: 0, value: new Uint8Array(0) };

/** Whether the first mutation of a key looks at the value that is there. */
function needsValue(mutation: MutationFields): boolean {
  return (
    (mutation.type !== MutationType.SET && mutation.type !== MutationType.DELETE) ||
    mutation.ifChanged === true
  );
}

/** Whether a set would leave everything as it is. A time to live always begins anew, so an entry with one is never the same. */
function isSame(before: NewValue | null, mutation: MutationFields): boolean {
  if (before === null || before.expiresAtMs !== 0 || mutation.expiresAtMs !== 0) return false;
  return before.encoding === mutation.encoding && compareBytes(before.value, mutation.value) === 0;
}

function mutate(before: NewValue | null, mutation: MutationFields): NewValue | null {
  switch (mutation.type) {
    case MutationType.SET:
      return { encoding: mutation.encoding, value: mutation.value, expiresAtMs: mutation.expiresAtMs };
    case MutationType.DELETE:
      return null;
    default:
      // As in Deno KV, arithmetic clears a time to live.
      return { ...combine(mutation.type, before, mutation), expiresAtMs: 0 };
  }
}
