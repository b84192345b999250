/**
 * Owns the judgement on what change feeds have heard, against the history that must have been. Pure functions.
 *
 * The four promises are judged apart, so that a failure says which one is broken.
 */
import { isDeepStrictEqual } from "node:util";
import type { KvChange, KvKey } from "../../src/index.js";
import { type Check, checkOf } from "./check.js";
import { type History, keyText } from "./history.js";
import type { FeedObservation, FlightSelector } from "./observers.js";

/** Judges all feeds. */
export function verifyFeeds(observations: readonly FeedObservation[], history: History): Check[] {
  const count = observations.reduce((sum, { changes }) => sum + changes.length, 0);
  const looked = `${observations.length} watchers, ${count} changes`;
  const judge = (name: string, find: (observation: FeedObservation, history: History) => string[]): Check =>
    checkOf(
      name,
      looked,
      observations.flatMap((feed) => find(feed, history).map((failure) => `${feed.name}: ${failure}`)),
    );
  return [
    judge("every watcher heard every change exactly once", findLossAndRepetition),
    judge("in the order of the store", findDisorder),
    judge("all changes of a commit together", findTornCommits),
    judge("with the values that were written", findWrongContent),
  ];
}

function findLossAndRepetition({ selectors, changes, error }: FeedObservation, history: History): string[] {
  const failures = error === undefined ? [] : [`ended with ${String(error)}`];
  const heard = new Map<string, number>();
  for (const change of changes) heard.set(identity(change), (heard.get(identity(change)) ?? 0) + 1);
  for (const expected of history.changes) {
    if (!isSelected(selectors, expected.key)) continue;
    const times = heard.get(identity(expected)) ?? 0;
    if (times !== 1) failures.push(`heard ${times} times of ${identity(expected)}`);
    heard.delete(identity(expected));
  }
  for (const stray of heard.keys())
    failures.push(`heard of ${stray}, which it did not ask for or was never written`);
  return failures;
}

function findDisorder({ changes }: FeedObservation): string[] {
  const failures: string[] = [];
  for (let index = 1; index < changes.length; index++) {
    const before = changes[index - 1]!;
    const change = changes[index]!;
    if (change.versionstamp < before.versionstamp) {
      failures.push(`heard of ${identity(change)} after ${identity(before)}`);
    }
  }
  return failures;
}

function findTornCommits({ changes }: FeedObservation): string[] {
  const finished = new Set<string>();
  const failures: string[] = [];
  changes.forEach(({ versionstamp }, index) => {
    if (finished.has(versionstamp)) failures.push(`the changes of commit ${versionstamp} came apart`);
    if (changes[index + 1]?.versionstamp !== versionstamp) finished.add(versionstamp);
  });
  return failures;
}

function findWrongContent({ changes }: FeedObservation, history: History): string[] {
  const written = new Map(history.changes.map((change) => [identity(change), change]));
  return changes
    .filter((change) => {
      const expected = written.get(identity(change));
      return expected !== undefined && !isDeepStrictEqual(change, expected);
    })
    .map((change) => `heard another type, cause or value of ${identity(change)}`);
}

/** No commit of this job changes a key twice. */
function identity({ key, versionstamp }: KvChange): string {
  return `${keyText(key)} at ${versionstamp}`;
}

/** What a selector means, told again in the plainest way. */
function isSelected(selectors: readonly FlightSelector[], key: KvKey): boolean {
  const begins = (prefix: KvKey): boolean => prefix.every((part, index) => part === key[index]);
  return selectors.some((selector) =>
    "key" in selector
      ? selector.key.length === key.length && begins(selector.key)
      : selector.prefix.length < key.length && begins(selector.prefix),
  );
}
