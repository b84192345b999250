/**
 * Owns what a life of the crash torture's process is told: where things are, how its store is opened, and which promise it breaks on purpose.
 */
import { join } from "node:path";
import type { Durability, KvOpenOptions } from "../../../src/index.js";

/** Numbers that one life may use. */
export const LIFE_NUMBERS = 1_000_000;

/** For handling all that a life has left, in milliseconds. Generous: what takes longer hangs. */
export const DRAIN_MS_MAX = 60_000;

/** Promises that the process breaks on purpose, and what it does. */
export const LIFE_BREAKS = {
  immortal: "entries are written without their time to live",
  "lost-message": "some messages are said to be enqueued, and are not",
  "second-handling": "some messages are handled twice",
  "split-message": "messages are enqueued ahead of the keys of their commit",
  "skipped-change": "consumers keep the position of some changes that they have not handled",
  "repeated-change": "consumers that are started anew begin one change too early",
} as const;

export type LifeBreak = keyof typeof LIFE_BREAKS;

export interface LifeOptions {
  readonly path: string;
  /** Holds the journals. */
  readonly home: string;
  /** Counts the lives of a store, from 0. */
  readonly life: number;
  readonly shards: number;
  readonly durability: Durability;
  /** How much of the change log is kept. */
  readonly historyBytes: number;
  readonly breakage: LifeBreak | null;
}

export function openOptions({ shards, durability, historyBytes }: LifeOptions): KvOpenOptions {
  return { shards, durability, history: { bytesMax: historyBytes } };
}

/** The number that a life begins with. */
export function firstNumber({ life }: LifeOptions): number {
  return life * LIFE_NUMBERS;
}

export function journalPath({ home, life }: LifeOptions, concern: "entries" | "messages" | "drain"): string {
  return join(home, `${concern}-${life}`);
}
