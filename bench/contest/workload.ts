/**
 * Owns what a workload of the contest is: one file in workloads/, one line in workloads/registry.ts.
 */
import type { LatencyHistogram } from "./latency.js";
import type { DurabilityClass, PeerStore } from "./peer.js";

/** What one round has measured. */
export interface Round {
  readonly operations: number;
  readonly elapsedMs: number;
  /** Time of each operation, where it was measured. */
  readonly latency?: LatencyHistogram;
}

/** Numbers beside the rounds, by what they are called, with their unit in the name: "registrations a second". */
export type Facts = Readonly<Record<string, number>>;

export interface RoundContext {
  readonly seconds: number;
  /** Number of the round, from 0; the warm-up is -1. */
  readonly round: number;
}

export interface Workload {
  readonly name: string;
  /** The heading under which it stands in the report. */
  readonly group: string;
  /** One line on what is measured, and how. */
  readonly about: string;
  /** What one operation is, in the plural. */
  readonly unit: string;
  /** What a store has to have. */
  readonly needs: readonly (keyof PeerStore)[];
  readonly durabilities: readonly DurabilityClass[];
  /** Whether its latencies are of interest, or its throughput. */
  readonly shows: "throughput" | "latency";
  /** Only these peers take part. Default: all that have what it needs. */
  readonly peers?: readonly string[];
  /** The number on the axis along which the work grows, where it belongs to a series: workloads of one series share a chart. */
  readonly series?: { readonly name: string; readonly at: number };
  /** Workloads that take minutes or gigabytes are run only when they are named. Default: false. */
  readonly isLarge?: boolean;
  /** Makes an instance for one store: state lives in it. */
  start(store: PeerStore): RunningWorkload;
}

/** A workload on one store, from the first round to the last. */
export interface RunningWorkload {
  prepare?(): Promise<Facts | undefined>;
  round(context: RoundContext): Promise<Round>;
  /** After the last round, before the store is closed. */
  finish?(): Promise<Facts | undefined>;
}

export const BOTH: readonly DurabilityClass[] = ["relaxed", "sync"];
/** For reads, which durability does not touch. */
export const RELAXED: readonly DurabilityClass[] = ["relaxed"];
