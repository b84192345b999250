/**
 * Owns the naive model of a store: one sorted map of entries, a clock, and what a follower of all changes must hear.
 *
 * It knows no shards, rounds, transactions or logs. A commit is planned on the map as it is and applied at once; an entry whose time
 * is up leaves the map at once. What the engine may choose freely (the versionstamps, the moment of a sweep) is taken from
 * the engine and checked for what it must satisfy.
 */
import { encodeKey } from "../../src/codec/key.js";
import type { KvEntry, KvFailedCheck, KvKey, KvKeyPart } from "../../src/index.js";
import { KvU64 } from "../../src/index.js";

export interface ModelCheck {
  readonly key: KvKey;
  readonly versionstamp: string | null;
}

export type ModelMutation = { readonly key: KvKey } & (
  | { readonly type: "set"; readonly value: unknown; readonly expireIn?: number; readonly suffixed: boolean }
  | { readonly type: "delete" }
  | { readonly type: "sum" | "min" | "max"; readonly operand: bigint }
);

export interface ModelCommit {
  readonly checks: readonly ModelCheck[];
  readonly mutations: readonly ModelMutation[];
}

export interface ModelEntry extends KvEntry<unknown> {
  /** 0: never. */
  readonly expiresAtMs: number;
}

/** What a commit comes to. */
export type ModelOutcome =
  | { readonly verdict: "apply" }
  | { readonly verdict: "refuse"; readonly failedChecks: readonly KvFailedCheck[] }
  | { readonly verdict: "misuse"; readonly message: string };

/** A change that must be heard. The versionstamp of a sweep is the engine's choice. */
export interface ModelChange {
  readonly type: "create" | "update" | "delete";
  readonly cause: "set" | "delete" | "expired";
  readonly key: KvKey;
  readonly value: unknown;
  readonly versionstamp: string | null;
  /** It may have been swept before anybody listened. */
  readonly isOptional: boolean;
}

export interface ModelList {
  readonly prefix?: KvKey;
  readonly start?: KvKey;
  readonly end?: KvKey;
}

interface Draft {
  readonly key: KvKey;
  readonly wasThere: boolean;
  place: number;
  after: { readonly value: unknown; readonly expiresAtMs: number } | null;
}

const U64_SIZE = 2n ** 64n;

/** The name of a key: names sort as keys do. */
export function nameOf(key: KvKey): string {
  return Buffer.from(encodeKey(key)).toString("hex");
}

export class StoreModel {
  /** Live entries by name. */
  readonly entries = new Map<string, ModelEntry>();
  /** Every change in order, without the sweeps, whose place among the others is free. */
  changes: ModelChange[] = [];
  /** Every change of each key in order, with the sweeps. */
  changesByKey = new Map<string, ModelChange[]>();
  lastVersionstamp = "";
  nowMs: number;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  copyOfEntries(): Map<string, ModelEntry> {
    return new Map(this.entries);
  }

  /** A new follower begins here. A sweep that the last one needed not hear, and did not, may have been left for this one. */
  forgetChanges(wasHeard: (key: KvKey) => boolean): void {
    this.changes = [];
    const left = [...this.changesByKey].filter(
      ([, [first, ...rest]]) => first!.isOptional && rest.length === 0 && !wasHeard(first!.key),
    );
    this.changesByKey = new Map(left);
  }

  advance(ms: number, isHeard = true): void {
    this.nowMs += ms;
    this.#expire(isHeard);
  }

  /** What the commit comes to on the state as it is. Changes nothing. */
  judge(commit: ModelCommit): ModelOutcome {
    const failedChecks: KvFailedCheck[] = [];
    commit.checks.forEach(({ key, versionstamp }, index) => {
      const actual = this.entries.get(nameOf(key))?.versionstamp ?? null;
      if (actual !== versionstamp) failedChecks.push({ index, key, expected: versionstamp, actual });
    });
    if (failedChecks.length > 0) return { verdict: "refuse", failedChecks };
    const drafts = this.#draft(commit, "f".repeat(20));
    return typeof drafts === "string" ? { verdict: "misuse", message: drafts } : { verdict: "apply" };
  }

  /** Applies a commit that was judged so, with the versionstamp that the engine gave it. */
  apply(commit: ModelCommit, versionstamp: string): void {
    if (versionstamp <= this.lastVersionstamp)
      throw new Error(`versionstamp ${versionstamp} after ${this.lastVersionstamp}`);
    this.lastVersionstamp = versionstamp;
    const drafts = this.#draft(commit, versionstamp);
    if (typeof drafts === "string") throw new Error(drafts);
    for (const [name, { key, wasThere, after }] of [...drafts].sort(([, a], [, b]) => a.place - b.place)) {
      if (after === null) {
        if (!wasThere) continue;
        this.entries.delete(name);
        this.#note(name, { type: "delete", cause: "delete", key, value: null, versionstamp });
      } else {
        this.entries.set(name, { key, versionstamp, ...after });
        const type = wasThere ? "update" : "create";
        this.#note(name, { type, cause: "set", key, value: after.value, versionstamp });
      }
    }
    this.#expire(true);
  }

  /** Entries of a selector in key order; or the word that the engine's error must contain. */
  list(selector: ModelList): ModelEntry[] | string {
    const { prefix, start, end } = selector;
    if (prefix !== undefined) {
      if (start !== undefined && !isUnder(start, prefix)) return "Start key is not in the keyspace";
      if (end !== undefined && !isUnder(end, prefix)) return "End key is not in the keyspace";
    } else if (nameOf(start!) > nameOf(end!)) return "Start key is greater than end key";
    const from = start === undefined ? "" : nameOf(start);
    const to = end === undefined ? "~" : nameOf(end);
    return [...this.entries]
      .filter(([name, { key }]) => name >= from && name < to && (!prefix || isUnder(key, prefix)))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, entry]) => entry);
  }

  /** The state of every key that the commit names, or the message of the mutation that can't be. */
  #draft(commit: ModelCommit, versionstamp: string): Map<string, Draft> | string {
    const drafts = new Map<string, Draft>();
    for (const [place, mutation] of commit.mutations.entries()) {
      const isSuffixed = mutation.type === "set" && mutation.suffixed;
      const key = isSuffixed ? [...mutation.key, versionstamp] : mutation.key;
      const name = nameOf(key);
      const there = this.entries.get(name);
      const draft = drafts.get(name) ?? { key, wasThere: there !== undefined, place, after: there ?? null };
      drafts.set(name, draft);
      draft.place = place;
      const { after } = draft;
      if (mutation.type === "set") {
        const expiresAtMs = mutation.expireIn === undefined ? 0 : this.nowMs + mutation.expireIn;
        draft.after = { value: mutation.value, expiresAtMs };
      } else if (mutation.type === "delete") {
        draft.after = null;
      } else if (after !== null && !(after.value instanceof KvU64)) {
        return `Failed to perform '${mutation.type}' mutation on a non-U64 value in the database`;
      } else {
        const before = after === null ? null : (after.value as KvU64).value;
        draft.after = { value: new KvU64(combine(mutation.type, before, mutation.operand)), expiresAtMs: 0 };
      }
    }
    return drafts;
  }

  #expire(isHeard: boolean): void {
    for (const [name, { key, expiresAtMs }] of this.entries) {
      if (expiresAtMs === 0 || expiresAtMs > this.nowMs) continue;
      this.entries.delete(name);
      const change = { type: "delete", cause: "expired", key, value: null, versionstamp: null } as const;
      this.#note(name, change, !isHeard);
    }
  }

  #note(name: string, fields: Omit<ModelChange, "isOptional">, isOptional = false): void {
    const change = { ...fields, isOptional };
    if (fields.cause !== "expired") this.changes.push(change);
    const ofKey = this.changesByKey.get(name) ?? [];
    ofKey.push(change);
    this.changesByKey.set(name, ofKey);
  }
}

function combine(type: "sum" | "min" | "max", before: bigint | null, operand: bigint): bigint {
  if (before === null) return operand;
  if (type === "sum") return (before + operand) % U64_SIZE;
  return (type === "min") === before < operand ? before : operand;
}

/** Whether a key is strictly below a prefix, part for part. */
export function isUnder(key: KvKey, prefix: KvKey): boolean {
  return key.length > prefix.length && prefix.every((part, index) => isSamePart(part, key[index]!));
}

function isSamePart(a: KvKeyPart, b: KvKeyPart): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return Object.is(a, b);
}
