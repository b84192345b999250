/**
 * Owns the verdict on a history: whether there is one order of all calls, agreeing with real time, in which a store of one thread would
 * have answered the same, and in which the commits of each shard stand in the order of their versionstamps. Pure.
 *
 * How. The commits of each shard are replayed on a model in the order of their versionstamps. A state is a vector: of each shard, how many
 * of its commits are in it. Whoever has seen a commit has seen all that it stands on: the other shards' parts of it, what was in its own
 * shards before it, and everything that had ended before it began. Going through the calls as they began, each is given the least state that
 * agrees with what it saw and is not below that of any call that ended before it began; the least is always best for those that come
 * after. If there is none below the commits that began after it had ended, no order explains what was seen.
 *
 * Of two commits that are under way at once in different shards, either may be seen without the other: their versionstamps have an
 * order, and it binds who comes after both, but not those who look meanwhile.
 */
import { BROKEN_MAX } from "../torture.js";
import type { Operation, Seen } from "./operation.js";

/** A commit that was made, in the change log. */
export interface LoggedCommit {
  readonly id: string;
  readonly versionstamp: string;
}

interface Commit {
  readonly operation: Operation;
  readonly versionstamp: string;
  /** What is in a state that has it. */
  vector: number[];
}

/** What a key was, from some place in its shard's order on. */
interface Version {
  readonly from: number;
  readonly seen: Seen;
}

/** What a refused commit has seen of a key: its versionstamp alone. */
type SeenOrStamp = Seen | readonly [versionstamp: string];

export interface Verdict {
  readonly broken: readonly string[];
  readonly commits: number;
  readonly reads: number;
  readonly refusals: number;
  /** Commits of which their caller did not know, and that were made. */
  readonly settled: number;
}

export interface Partition {
  readonly shards: number;
  readonly shardOf: (key: number) => number;
}

export function checkHistory(
  operations: readonly Operation[],
  logged: readonly LoggedCommit[],
  partition: Partition,
): Verdict {
  return new Checker(operations, logged, partition).run();
}

class Checker {
  readonly #operations: readonly Operation[];
  readonly #partition: Partition;
  readonly #broken: string[] = [];
  readonly #commits: readonly Commit[];
  readonly #made = new Map<string, Commit>();
  /** By key: its versions, in order. */
  readonly #versions = new Map<number, Version[]>();
  /** By shard: its commits, in order. */
  readonly #orders: Commit[][];
  /** By shard: of its first n commits, when the latest began. */
  readonly #latestBegin: number[][];
  #reads = 0;
  #refusals = 0;
  #settled = 0;

  constructor(operations: readonly Operation[], logged: readonly LoggedCommit[], partition: Partition) {
    this.#operations = operations;
    this.#partition = partition;
    this.#commits = this.#order(new Map(logged.map(({ id, versionstamp }) => [id, versionstamp])));
    this.#orders = Array.from({ length: partition.shards }, () => []);
    this.#latestBegin = this.#orders.map(() => []);
  }

  run(): Verdict {
    this.#checkRealTime();
    this.#replay();
    this.#placeCommits();
    this.#placeReads();
    return {
      broken: this.#broken.slice(0, BROKEN_MAX),
      commits: this.#commits.length,
      reads: this.#reads,
      refusals: this.#refusals,
      settled: this.#settled,
    };
  }

  /** The commits that were made. What the log says and what their callers were told must agree. */
  #order(logged: Map<string, string>): Commit[] {
    const commits: Commit[] = [];
    for (const operation of this.#operations) {
      if (operation.begin.commit === undefined) continue;
      const versionstamp = logged.get(operation.id);
      const told = operation.end?.versionstamp;
      if (told !== undefined && told !== versionstamp)
        this.#break(`commit ${operation.id} was acknowledged at ${told}, the log has it at ${versionstamp}`);
      if (versionstamp === undefined) continue;
      if (told === undefined) {
        if (operation.end !== null && operation.end.error !== "unknown")
          this.#break(
            `commit ${operation.id} is in the log, and its caller was told that it changed nothing`,
          );
        this.#settled++;
      }
      const commit = { operation, versionstamp, vector: [] };
      this.#made.set(operation.id, commit);
      commits.push(commit);
    }
    return commits.sort((a, b) => (a.versionstamp < b.versionstamp ? -1 : 1));
  }

  /** A commit that ended before another began has the smaller versionstamp. */
  #checkRealTime(): void {
    let latest: Commit | null = null;
    for (const commit of this.#commits) {
      if (latest !== null && latest.operation.begunAt > commit.operation.endedAt)
        this.#break(
          `commit ${commit.operation.id} ended before ${latest.operation.id} began, and has the later versionstamp`,
        );
      if (latest === null || commit.operation.begunAt > latest.operation.begunAt) latest = commit;
    }
  }

  #replay(): void {
    for (const commit of this.#commits) {
      const { operation } = commit;
      const { checks, sets, deletes, sums } = operation.begin.commit!;
      for (const [key, expected] of checks) {
        const actual = this.#newest(key)?.[0] ?? null;
        if (actual !== expected)
          this.#break(`commit ${operation.id} was made though ${key} is at ${actual}, not ${expected}`);
      }
      // A shard of which it only checks, or deletes what is not there, has no trace of it: it stands at what it found there.
      commit.vector = this.#orders.map(() => 0);
      for (const shard of new Set([...sets, ...sums].map((key) => this.#partition.shardOf(key))))
        commit.vector[shard] = this.#append(shard, commit);
      for (const key of deletes) {
        const shard = this.#partition.shardOf(key);
        if (this.#newest(key) === null) continue;
        commit.vector[shard] ||= this.#append(shard, commit);
        this.#note(key, { from: commit.vector[shard]!, seen: null });
      }
      for (const key of sums)
        this.#note(key, this.#written(commit, key, Number(this.#newest(key)?.[1] ?? 0) + 1));
      for (const key of sets) this.#note(key, this.#written(commit, key, operation.id));
    }
  }

  #written({ vector, versionstamp }: Commit, key: number, value: unknown): Version {
    return { from: vector[this.#partition.shardOf(key)]!, seen: [versionstamp, value] };
  }

  #append(shard: number, commit: Commit): number {
    const order = this.#orders[shard]!;
    const latest = this.#latestBegin[shard]!;
    latest.push(Math.max(latest.at(-1) ?? 0, commit.operation.begunAt));
    return order.push(commit);
  }

  /** Gives each commit everything that it stands on. */
  #placeCommits(): void {
    const calls = this.#commits.map(({ operation }) => operation);
    inOrderOfTime(calls, this.#orders.length, (operation, floor) => {
      const commit = this.#made.get(operation.id)!;
      commit.vector = maximum(commit.vector, floor);
      return commit.vector;
    });
    for (const order of this.#orders) {
      for (let index = 1; index < order.length; index++)
        order[index]!.vector = maximum(order[index]!.vector, order[index - 1]!.vector);
    }
  }

  #placeReads(): void {
    inOrderOfTime(this.#operations, this.#orders.length, (operation, floor) => {
      const commit = this.#made.get(operation.id);
      if (commit !== undefined) return maximum(commit.vector, floor);
      const wanted = seenBy(operation);
      return wanted === null ? null : this.#placeRead(operation, wanted, floor);
    });
  }

  /** The least state that agrees with what the call saw, from `floor` on. */
  #placeRead(
    operation: Operation,
    wanted: readonly (readonly [number, SeenOrStamp])[],
    floor: readonly number[],
  ): number[] | null {
    if (operation.begin.read === undefined) this.#refusals++;
    else this.#reads++;
    // It can't have seen a commit that began after it had ended.
    const ceiling = this.#latestBegin.map((latest) => firstAbove(latest, operation.endedAt));
    let state = this.#closed(floor);
    for (;;) {
      const next = [...state];
      for (const [key, seen] of wanted) {
        const shard = this.#partition.shardOf(key);
        next[shard] = this.#nextAgreeing(key, seen, next[shard]!);
      }
      if (next.some((place, shard) => place > ceiling[shard]!)) break;
      const closed = this.#closed(next);
      if (closed.every((place, shard) => place === state[shard])) return state;
      state = closed;
    }
    const what = wanted.map(([key, seen]) => `${key} at ${seen === null ? "nothing" : seen[0]}`).join(", ");
    this.#break(
      `${operation.id} (${operation.begin.by ?? "a refused commit"}) saw ${what}: no state from ${state} (${floor}) to ${ceiling}, which it could see, is like that; ${this.#explain(operation, wanted, state)}`,
    );
    return null;
  }

  /** What the keys are at a state, and which commits made them so. */
  #explain(
    call: Operation,
    wanted: readonly (readonly [number, SeenOrStamp])[],
    state: readonly number[],
  ): string {
    return wanted
      .map(([key, seen]) => {
        const shard = this.#partition.shardOf(key);
        const versions = this.#versions.get(key) ?? [];
        const version = versions[lastAtOrBelow(versions, state[shard]!)];
        if (agrees(version?.seen ?? null, seen)) return "";
        const { operation } = this.#orders[shard]![(version?.from ?? 1) - 1] ?? {};
        return `${key} of shard ${shard} is at ${version?.seen?.[0]} by ${operation?.id}, from ${version?.from} on${this.#witness(call, shard, version?.seen?.[0])}`;
      })
      .filter((text) => text !== "")
      .join(", ");
  }

  /** Who had seen so much of the shard first, and how long before the call began. */
  #witness({ begunAt }: Operation, shard: number, stamp: string | undefined): string {
    if (stamp === undefined) return "";
    const before = this.#operations.filter(
      (operation) => operation.endedAt < begunAt && this.#newestSeen(operation, shard) >= stamp,
    );
    const [first] = before.sort((a, b) => a.endedAt - b.endedAt);
    if (first === undefined) return "";
    const us = Math.round((begunAt - first.endedAt) / 1000);
    return ` (${first.id}, ${first.begin.by ?? "a commit"}, had seen that or more ${us} µs before)`;
  }

  /** The newest versionstamp of a shard that a call was told of. */
  #newestSeen(operation: Operation, shard: number): string {
    const told = (seenBy(operation) ?? []).filter(([key]) => this.#partition.shardOf(key) === shard);
    const made = (this.#made.get(operation.id)?.vector[shard] ?? 0) > 0 ? operation.end?.versionstamp : "";
    return told.reduce(
      (newest, [, seen]) => (seen !== null && seen[0] > newest ? seen[0] : newest),
      made ?? "",
    );
  }

  /** The state with all that its commits stand on. */
  #closed(state: readonly number[]): number[] {
    let closed = [...state];
    for (;;) {
      let next = closed;
      closed.forEach((place, shard) => {
        const last = this.#orders[shard]![place - 1];
        if (last !== undefined) next = maximum(next, last.vector);
      });
      if (next.every((place, shard) => place === closed[shard])) return next;
      closed = next;
    }
  }

  /** The least place from `place` on at which the key is as it was seen. */
  #nextAgreeing(key: number, seen: SeenOrStamp, place: number): number {
    const versions = this.#versions.get(key) ?? [];
    for (let index = lastAtOrBelow(versions, place); index < versions.length; index++) {
      const version = index < 0 ? null : versions[index]!;
      if (agrees(version?.seen ?? null, seen)) return Math.max(place, version?.from ?? 0);
    }
    return Number.POSITIVE_INFINITY;
  }

  #newest(key: number): Seen {
    return this.#versions.get(key)?.at(-1)?.seen ?? null;
  }

  #note(key: number, version: Version): void {
    const versions = this.#versions.get(key) ?? [];
    versions.push(version);
    this.#versions.set(key, versions);
  }

  #break(sentence: string): void {
    this.#broken.push(sentence);
  }
}

/** Goes through calls as they began, with the floor of what had ended by then. `place` says where a call stands; `null`: nowhere. */
function inOrderOfTime(
  operations: readonly Operation[],
  shards: number,
  place: (operation: Operation, floor: readonly number[]) => readonly number[] | null,
): void {
  const byBeginning = [...operations].sort((a, b) => a.begunAt - b.begunAt);
  const byEnd = operations.filter(({ end }) => end !== null).sort((a, b) => a.endedAt - b.endedAt);
  const places = new Map<string, readonly number[] | null>();
  let floor = new Array<number>(shards).fill(0);
  let ended = 0;
  for (const operation of byBeginning) {
    for (; ended < byEnd.length && byEnd[ended]!.endedAt < operation.begunAt; ended++)
      floor = maximum(floor, places.get(byEnd[ended]!.id) ?? []);
    places.set(operation.id, place(operation, floor));
  }
}

function maximum(a: readonly number[], b: readonly number[]): number[] {
  return a.map((place, shard) => Math.max(place, b[shard] ?? 0));
}

/** What a call has seen, key for key; a refused commit has seen versionstamps only. `null`: it has seen nothing. */
function seenBy({ begin, end }: Operation): (readonly [number, SeenOrStamp])[] | null {
  if (begin.read !== undefined)
    return end?.seen === undefined ? null : begin.read.map((key, index) => [key, end.seen![index]!]);
  if (begin.commit === undefined || end?.failed === undefined) return null;
  const failed = new Map(end.failed);
  return begin.commit.checks.map(([key, expected], index) => {
    const actual = failed.has(index) ? failed.get(index)! : expected;
    return [key, actual === null ? null : ([actual] as const)];
  });
}

function agrees(version: Seen, seen: SeenOrStamp): boolean {
  if (version === null || seen === null) return version === seen;
  return version[0] === seen[0] && (seen.length === 1 || version[1] === seen[1]);
}

/** Index of the version that holds in a state, -1 before the first. */
function lastAtOrBelow(versions: readonly Version[], state: number): number {
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (versions[middle]!.from <= state) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Index of the first value above `bound`; the length where there is none. */
function firstAbove(ascending: readonly number[], bound: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! > bound) high = middle;
    else low = middle + 1;
  }
  return low;
}
