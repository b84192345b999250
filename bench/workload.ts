/**
 * Owns what a workload of the bench is. A new one is a file in workloads/ and a line in registry.ts.
 */
import type { Durability, Kv, KvOpenOptions } from "../src/index.js";

/** One line of the results. */
export interface Measurement {
  readonly name: string;
  /** What one operation of `perSecond` is. */
  readonly unit: string;
  /** `null` where nothing is stored. */
  readonly durability: Durability | null;
  readonly perSecond: number;
  /** Times of single operations, or of what the name says, in microseconds; `null` where only the whole was timed. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
}

/** What a workload may use. */
export interface WorkloadContext {
  /** Time that each measurement may take. */
  readonly seconds: number;
  readonly shards: number;
  /** Calls `use` with a new store in a temporary directory, and closes and removes it afterwards. */
  withStore<T>(options: KvOpenOptions, use: (kv: Kv) => Promise<T>): Promise<T>;
}

export interface Workload {
  /** What `--only` selects it by. */
  readonly name: string;
  /** One line on what is measured, and how. */
  readonly about: string;
  run(context: WorkloadContext): Promise<Measurement[]>;
}

/** Both modes, for workloads where they may differ. */
export const DURABILITIES: readonly Durability[] = ["relaxed", "sync"];
