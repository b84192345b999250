/**
 * Owns the keys and values that workloads use, so that their numbers can be compared. Pure.
 */
import type { KvKey } from "../../src/index.js";

/** Keys that a workload spreads its writes and reads over. */
export const KEY_COUNT = 10_000;

/** A key of three parts; numbers beyond {@link KEY_COUNT} come around again. */
export function sampleKey(number: number): KvKey {
  return ["users", number % KEY_COUNT, "profile"];
}

/** A plain object of about 100 bytes when it is stored. */
export function sampleValue(number: number): object {
  return { id: number, name: "Ada Lovelace", mail: "ada@example.org", active: true, score: number * 1.5 };
}

/** A plain array of 100 such objects. */
export function largeValue(): object[] {
  return Array.from({ length: 100 }, (_, number) => sampleValue(number));
}

/** What no hand-written path covers. */
export function mapValue(): Map<string, Date> {
  return new Map(Array.from({ length: 20 }, (_, number) => [`day ${number}`, new Date(number * 86_400_000)]));
}
