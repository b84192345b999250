/**
 * Owns the judgement on what a `watch(keys)` has emitted: each item is one moment of the store. Pure functions.
 *
 * An item says for each key which commit it saw there last, and so which commits it contains. It is one moment if
 * 1. a commit that touched several of the keys is in it for all of them or for none;
 * 2. no commit is missing that was acknowledged before one that it contains was called.
 *
 * Two commits that were under way together may become visible in either order. That is why an item need not contain every commit up to its
 * largest versionstamp.
 */
import { isDeepStrictEqual } from "node:util";
import type { KvEntryMaybe, KvKey } from "../../src/index.js";
import { type Check, checkOf } from "./check.js";
import { type History, keyText } from "./history.js";
import type { LevelObservation } from "./observers.js";
import type { CommitSpan } from "./timings.js";

type Item = readonly KvEntryMaybe<unknown>[];

/** @param spans Of every commit, by its versionstamp. */
export function verifyLevelWatch(
  observation: LevelObservation,
  history: History,
  spans: ReadonlyMap<string, CommitSpan>,
): Check {
  const { items, keys, error } = observation;
  const versions = keys.map((key) => versionsOf(key, history));
  const failures = error === undefined ? [] : [`ended with ${String(error)}`];
  items.forEach((item, index) => {
    const found = [
      ...findStaleness(item, items[index - 1]),
      ...findTornCommits(item, versions),
      ...findMissing(item, versions, spans),
    ];
    failures.push(...found.map((failure) => `item ${index} ${failure}`));
  });
  const newest = keys.map((key) => history.entries.get(keyText(key))?.value ?? null);
  const last = items.at(-1)?.map(({ value }) => value);
  if (!isDeepStrictEqual(last, newest)) failures.push("the last item is not the newest state");
  return checkOf(
    "watch(keys) saw moments of the store, the newest last",
    `${keys.length} keys, ${items.length} moments`,
    failures,
  );
}

/** The versionstamps that a key has had, in order. */
function versionsOf(key: KvKey, history: History): string[] {
  const text = keyText(key);
  return history.changes
    .filter((change) => keyText(change.key) === text)
    .map(({ versionstamp }) => versionstamp);
}

function findStaleness(item: Item, before: Item | undefined): string[] {
  if (before === undefined) return [];
  const isBack = item.some(
    ({ versionstamp }, place) => stampOf(versionstamp) < stampOf(before[place]!.versionstamp),
  );
  if (isBack) return ["goes back behind the one before it"];
  const isSame = item.every(({ versionstamp }, place) => versionstamp === before[place]!.versionstamp);
  return isSame ? ["is the same as the one before it"] : [];
}

function findTornCommits(item: Item, versions: readonly (readonly string[])[]): string[] {
  const failures: string[] = [];
  for (const [place, others] of versions.entries()) {
    const known = new Set(others);
    for (const { versionstamp, key } of item) {
      // The newest commit seen elsewhere that touched this key too must be seen here.
      if (versionstamp === null || !known.has(versionstamp)) continue;
      const isTorn = stampOf(item[place]!.versionstamp) < versionstamp;
      if (isTorn)
        failures.push(
          `has commit ${versionstamp} under ${keyText(key)} but not under ${keyText(item[place]!.key)}`,
        );
    }
  }
  return failures;
}

function findMissing(
  item: Item,
  versions: readonly (readonly string[])[],
  spans: ReadonlyMap<string, CommitSpan>,
): string[] {
  const called = item.map(({ versionstamp }) => spans.get(stampOf(versionstamp))?.calledAtMs ?? 0);
  const lastCalledMs = Math.max(...called);
  return item.flatMap(({ key, versionstamp }, place) => {
    const next = versions[place]!.find((candidate) => candidate > stampOf(versionstamp));
    const isMissing = next !== undefined && spans.get(next)!.acknowledgedAtMs < lastCalledMs;
    return isMissing
      ? [
          `lacks commit ${next} of ${keyText(key)}, which was acknowledged before another one that it has was called`,
        ]
      : [];
  });
}

/** Less than every versionstamp where there is none. */
function stampOf(versionstamp: string | null): string {
  return versionstamp ?? "";
}
