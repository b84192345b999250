/**
 * Owns the load of these tests, and the knowledge of what must have come of it. A ledger is a sequence of numbered commits; what
 * commit n does follows from n alone, so whoever finds a trace of it in a store knows all that must be there.
 *
 *   transfer  sums on two accounts, and three marks that carry its number: five keys that are spread over the shards
 *   note      one key
 *   tally     a sum on a counter and an entry under it: one shard, two keys
 *
 * The state has every commit wholly or not at all exactly when: all keys of a commit are there with one versionstamp or none is, and
 * each account and counter is what the commits that are there make of it. (A sum that is applied twice shows in the second.)
 */
import { type AtomicOperation, type Kv, type KvKey, KvU64 } from "../../src/index.js";
import { randomOf } from "./random.js";

const ACCOUNTS = 24;
const COUNTERS = 6;
const MARKS = ["mark-a", "mark-b", "mark-c"] as const;
const TWO_64 = 2n ** 64n;

/** What a commit came to: its versionstamp; its failure, which changed nothing; or nobody knows. */
export type Outcome = string | "failed" | "unknown";

/** A sum of one key. */
interface Sum {
  readonly key: KvKey;
  readonly by: bigint;
}

interface Plan {
  readonly kind: "transfer" | "note" | "tally";
  readonly sums: readonly Sum[];
  /** Keys that belong to this commit alone. */
  readonly own: readonly KvKey[];
}

/** Which commits a ledger makes. */
export type LedgerKind = "single" | "multi" | "mixed";

/** An entry of a store as the ledger looks at it. */
export interface LedgerEntry {
  readonly value: unknown;
  readonly versionstamp: string;
}

function planOf(n: number, kind: LedgerKind): Plan {
  const random = randomOf(n * 7919 + 17);
  const dice = random(10);
  if (kind === "multi" || (kind === "mixed" && dice < 5)) {
    const from = random(ACCOUNTS);
    const to = (from + 1 + random(ACCOUNTS - 1)) % ACCOUNTS;
    const by = BigInt(1 + random(1000));
    const sums = [
      { key: ["account", from], by: TWO_64 - by },
      { key: ["account", to], by },
    ];
    return { kind: "transfer", sums, own: MARKS.map((mark) => [mark, n]) };
  }
  if (dice < 8) return { kind: "note", sums: [], own: [["note", n]] };
  const counter = random(COUNTERS);
  return { kind: "tally", sums: [{ key: ["counter", counter], by: 1n }], own: [["counter", counter, n]] };
}

/** Puts commit `n` together. `bulk` makes it too large for a ring. */
export function ledgerCommit(kv: Kv, n: number, kind: LedgerKind, bulk?: Uint8Array): AtomicOperation {
  const plan = planOf(n, kind);
  let operation = kv.atomic();
  for (const { key, by } of plan.sums) operation = operation.sum(key, by);
  for (const key of plan.own) operation = operation.set(key, n);
  if (bulk !== undefined) operation = operation.set(["bulk", n % 8], bulk);
  return operation;
}

/** Keys of commit `n` that no other commit touches. */
export function ownKeys(n: number, kind: LedgerKind): readonly KvKey[] {
  return planOf(n, kind).own;
}

/** Everything in the store, by {@link nameOf} of its key. */
export async function readAll(kv: Kv): Promise<Map<string, LedgerEntry>> {
  const entries = new Map<string, LedgerEntry>();
  for await (const { key, value, versionstamp } of kv.list({ prefix: [] }, { batchSize: 1000 }))
    entries.set(nameOf(key), { value, versionstamp });
  return entries;
}

export function nameOf(key: KvKey): string {
  return JSON.stringify(key);
}

/** What is wrong with a store in which the commits of `outcomes` were made; empty when nothing is. */
export function ledgerFaults(
  entries: ReadonlyMap<string, LedgerEntry>,
  outcomes: ReadonlyMap<number, Outcome>,
  kind: LedgerKind,
): string[] {
  const faults: string[] = [];
  const totals = new Map<string, bigint>();
  for (const [n, outcome] of outcomes) {
    const plan = planOf(n, kind);
    const stamps = new Set(plan.own.map((key) => entries.get(nameOf(key))?.versionstamp ?? "absent"));
    const [stamp] = stamps;
    if (stamps.size !== 1) faults.push(`commit ${n} (${plan.kind}) is half there: ${[...stamps].join(", ")}`);
    else if (outcome === "failed" && stamp !== "absent") faults.push(`commit ${n} failed and is there`);
    else if (outcome !== "failed" && outcome !== "unknown" && outcome !== stamp)
      faults.push(`commit ${n} was acknowledged with ${outcome}, found ${stamp}`);
    if (stamp === "absent") continue;
    for (const { key, by } of plan.sums)
      totals.set(nameOf(key), BigInt.asUintN(64, (totals.get(nameOf(key)) ?? 0n) + by));
  }
  for (const [name, { value }] of entries) {
    if (!(value instanceof KvU64)) continue;
    if (value.value !== totals.get(name))
      faults.push(`${name} is ${value.value}, expected ${totals.get(name)}`);
    totals.delete(name);
  }
  for (const name of totals.keys()) faults.push(`${name} is not there`);
  return faults;
}

/** Numbers of the commits of which the store holds something. */
export function foundCommits(entries: ReadonlyMap<string, LedgerEntry>): Set<number> {
  const found = new Set<number>();
  for (const [name, { value }] of entries) {
    if (typeof value === "number" && !name.startsWith('["bulk"')) found.add(value);
  }
  return found;
}
