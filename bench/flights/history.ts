/**
 * Owns what must have happened: the naive model of the store, made from the flights and the versionstamps that were acknowledged. Pure.
 *
 * It knows nothing of shards, rings or logs. Commits are sorted by versionstamp and applied one by one to a map; what each did to each key is
 * the list of changes that a watcher of everything must have heard.
 */
import { type KvChange, type KvEntry, type KvKey, KvU64 } from "../../src/index.js";
import { arrivedKey, departedKey, type Flight, flightKey } from "./flight.js";

export interface History {
  /** All changes, in the order of the store. */
  readonly changes: readonly KvChange[];
  /** What must stand in the store afterwards, by `keyText`. */
  readonly entries: ReadonlyMap<string, KvEntry<unknown>>;
}

/** Changes that each flight makes. */
export const CHANGES_PER_FLIGHT = 3;

/** @param versionstamps Of the commit of each flight. */
export function historyOf(flights: readonly Flight[], versionstamps: readonly string[]): History {
  const entries = new Map<string, KvEntry<unknown>>();
  const changes: KvChange[] = [];
  const apply = (place: number, key: KvKey, value: unknown, versionstamp: string): void => {
    const type = entries.has(keyText(key)) ? "update" : "create";
    entries.set(keyText(key), { key, value, versionstamp });
    const position = versionstamp + place.toString(16).padStart(4, "0");
    changes.push({ type, cause: "set", key, value, versionstamp, position });
  };
  const addOne = (place: number, key: KvKey, versionstamp: string): void => {
    const before = entries.get(keyText(key))?.value as KvU64 | undefined;
    apply(place, key, new KvU64((before?.value ?? 0n) + 1n), versionstamp);
  };
  for (const number of inCommitOrder(versionstamps)) {
    const flight = flights[number]!;
    const versionstamp = versionstamps[number]!;
    apply(0, flightKey(flight, number), flight, versionstamp);
    addOne(1, departedKey(flight.origin), versionstamp);
    addOne(2, arrivedKey(flight.destination), versionstamp);
  }
  return { changes, entries };
}

/** One text for equal keys. The keys of this job hold strings and numbers only. */
export function keyText(key: KvKey): string {
  return JSON.stringify(key);
}

function inCommitOrder(versionstamps: readonly string[]): number[] {
  const numbers = versionstamps.map((_, number) => number);
  return numbers.sort((a, b) => (versionstamps[a]! < versionstamps[b]! ? -1 : 1));
}
