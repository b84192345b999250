/**
 * Owns one caller: call after call, each recorded with the times of its beginning and its end. Several of them run in a thread.
 */
import { KvError, KvUnknownOutcomeError } from "../../../src/errors.js";
import { type AtomicOperation, type Kv, type KvEntryMaybe, KvU64 } from "../../../src/index.js";
import { type Begin, type CommitPlan, type End, KEYS, keyOf, type Seen, SUMS } from "./operation.js";
import type { Recording } from "./recording.js";

/** How a run is made to break its promise. */
export type CallerBreak = "cached-read" | "split-read" | null;

export interface CallerOptions {
  readonly kv: Kv;
  /** Names its calls. */
  readonly name: string;
  readonly recording: Recording;
  readonly random: (below: number) => number;
  readonly deadlineMs: number;
  /** Stops after so many calls, so that a history fits into memory. */
  readonly callsMax: number;
  readonly breakage: CallerBreak;
}

const ALL_KEYS = Array.from({ length: KEYS + SUMS }, (_, key) => key);

export class TortureCaller {
  readonly #options: CallerOptions;
  /** What it has seen last, to check against. */
  readonly #known = new Map<number, string | null>();
  readonly #cached = new Map<number, Seen>();
  #calls = 0;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { deadlineMs, callsMax, random } = this.#options;
    while (Date.now() < deadlineMs && this.#calls < callsMax) {
      const dice = random(20);
      if (dice < 6) await this.#commit();
      else if (dice < 10) await this.#read("get", [this.#anyKey()], ([key]) => this.#get(key!));
      else if (dice < 12) await this.#read("getSync", [this.#anyKey()], ([key]) => this.#getSync(key!));
      else if (dice < 16) await this.#read("getMany", this.#someKeys(), (keys) => this.#getMany(keys));
      else if (dice < 19) await this.#read("snapshot", this.#someKeys(), (keys) => this.#snapshot(keys));
      else await this.#read("list", ALL_KEYS, () => this.#list());
    }
  }

  async #commit(): Promise<void> {
    const { kv } = this.#options;
    const plan = this.#planCommit();
    const id = this.#nextId();
    this.#options.recording.beginCommit({ id, at: nowNs(), commit: plan });
    let operation: AtomicOperation = kv.atomic();
    for (const [key, versionstamp] of plan.checks)
      operation = operation.check({ key: keyOf(key), versionstamp });
    for (const key of plan.sums) operation = operation.sum(keyOf(key), 1n);
    for (const key of plan.sets) operation = operation.set(keyOf(key), id);
    for (const key of plan.deletes) operation = operation.delete(keyOf(key));
    try {
      const result = await operation.commit();
      if (result.ok) {
        this.#end({ id, versionstamp: result.versionstamp });
        for (const key of [...plan.sets, ...plan.sums]) this.#known.set(key, result.versionstamp);
      } else {
        this.#end({ id, failed: result.failedChecks.map(({ index, actual }) => [index, actual]) });
        for (const { index, actual } of result.failedChecks) this.#known.set(plan.checks[index]![0], actual);
      }
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      const isUnknown = error instanceof KvUnknownOutcomeError || error.code === "KV_CLOSED";
      this.#end({ id, error: isUnknown ? "unknown" : "nothing changed" });
    }
  }

  #planCommit(): CommitPlan {
    const { random } = this.#options;
    const [first, ...others] = this.#someKeys().filter((key) => key < KEYS);
    const deletes = others.filter(() => random(4) === 0);
    const sets = [first ?? random(KEYS), ...others.filter((key) => !deletes.includes(key))];
    const checked = random(3) === 0 ? this.#someKeys() : [];
    const checks = checked
      .filter((key) => this.#known.has(key))
      .map((key) => [key, this.#known.get(key)!] as const);
    return { checks, sets, deletes, sums: random(3) === 0 ? [KEYS + random(SUMS)] : [] };
  }

  async #read(
    by: NonNullable<Begin["by"]>,
    keys: readonly number[],
    read: (keys: readonly number[]) => Promise<Seen[]>,
  ): Promise<void> {
    const id = this.#nextId();
    const at = nowNs();
    try {
      const seen = await read(keys);
      this.#options.recording.read({ id, at, by, read: keys, seen, end: nowNs() });
      keys.forEach((key, index) => {
        this.#known.set(key, seen[index]?.[0] ?? null);
        this.#cached.set(key, seen[index] ?? null);
      });
    } catch (error) {
      // It has seen nothing.
      if (!(error instanceof KvError)) throw error;
    }
  }

  async #get(key: number): Promise<Seen[]> {
    const { kv, breakage, random } = this.#options;
    const cached = this.#cached.get(key);
    if (breakage === "cached-read" && cached !== undefined && random(2) === 0) return [cached];
    return [seenOf(await kv.get(keyOf(key)))];
  }

  async #getSync(key: number): Promise<Seen[]> {
    return [seenOf(this.#options.kv.getSync(keyOf(key)))];
  }

  async #getMany(keys: readonly number[]): Promise<Seen[]> {
    const { kv, breakage } = this.#options;
    if (breakage !== "split-read") return (await kv.getMany(keys.map(keyOf))).map(seenOf);
    const seen: Seen[] = [];
    for (const key of keys) {
      seen.push(seenOf(await kv.get(keyOf(key))));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return seen;
  }

  async #list(): Promise<Seen[]> {
    const found = new Map<string, Seen>();
    const options = { batchSize: 1000, reverse: this.#options.random(2) === 0 };
    for await (const entry of this.#options.kv.list({ prefix: [] }, options))
      found.set(entry.key.join(), seenOf(entry));
    return ALL_KEYS.map((key) => found.get(keyOf(key).join()) ?? null);
  }

  async #snapshot(keys: readonly number[]): Promise<Seen[]> {
    using snapshot = await this.#options.kv.snapshot();
    const seen: Seen[] = [];
    for (const key of keys) {
      seen.push(seenOf(snapshot.get(keyOf(key))));
      if (this.#options.random(4) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return seen;
  }

  #anyKey(): number {
    return this.#options.random(KEYS + SUMS);
  }

  #someKeys(): number[] {
    return [...new Set(Array.from({ length: 1 + this.#options.random(5) }, () => this.#anyKey()))];
  }

  #nextId(): string {
    return `${this.#options.name}.${this.#calls++}`;
  }

  #end(fields: Omit<End, "end">): void {
    this.#options.recording.endCommit({ ...fields, end: nowNs() });
  }
}

function seenOf({ versionstamp, value }: KvEntryMaybe<unknown>): Seen {
  if (versionstamp === null) return null;
  return [versionstamp, value instanceof KvU64 ? Number(value.value) : value];
}

/** Of one clock for all threads and processes of the machine. */
function nowNs(): number {
  return Number(process.hrtime.bigint());
}
