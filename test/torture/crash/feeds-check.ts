/**
 * Owns what must be true of the consumers after a kill. The changes that they follow create keys that nobody writes again: so what there was to
 * hear, and in which order, is in the entries of the store, and needs no change log.
 *
 * In the order of commits, each change was handled once, as the next of them all; a state holds everything up to its position, and the
 * changes go on behind it. In the order of the shards, everything before the position that is kept was handled, nothing twice in one life,
 * each shard's in order; and in a new life nothing from before that position comes again.
 */
import { encodeKey, partitionOf } from "../../../src/codec/key.js";
import { KvU64 } from "../../../src/index.js";
import { PARTITION_DEPTH_DEFAULT } from "../../../src/limits.js";
import { nameOf } from "../../life/ledger.js";
import { type Consumer, consumerPath, FILE_CONSUMERS, PLACE } from "./feeds.js";
import type { Entries, Found } from "./found.js";
import { type JournalLine, readJournal } from "./journal.js";

/** One thing that there was to hear. */
interface Happened {
  readonly stamp: string;
  readonly name: string;
}

/** The versionstamp of a position: 20 of its 24 digits. */
function stampOf(position: string): string {
  return position.slice(0, 20);
}

/** What there was to hear, in order. Within a commit the marks are set in the order of their names. */
function historyOf(entries: Entries): Happened[] {
  const history = Array.from(entries, ([name, { versionstamp }]) => ({ stamp: versionstamp, name }));
  return history.sort((a, b) => compare(a.stamp, b.stamp) || compare(a.name, b.name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What is known of all consumers of one store, over all its lives. */
export class FeedsCheck {
  readonly #consumers: readonly ConsumerCheck[];

  constructor(home: string, shards: number) {
    this.#consumers = FILE_CONSUMERS.map((consumer) => new ConsumerCheck(consumer, home, shards));
  }

  get counts(): FeedCounts {
    const sum = (what: keyof FeedCounts) =>
      this.#consumers.reduce((total, { counts }) => total + counts[what], 0);
    return { changes: sum("changes"), resumes: sum("resumes"), states: sum("states") };
  }

  /** What is wrong with what the consumers have handled. @param isDrained They must have handled everything. */
  faults(found: Found, isDrained: boolean): string[] {
    return [
      ...this.#consumers.flatMap((consumer) => consumer.faults(found, isDrained)),
      ...storeConsumerFaults(found, isDrained),
    ];
  }
}

export interface FeedCounts {
  readonly changes: number;
  /** Lives that went on from a position. */
  readonly resumes: number;
  /** States that stood in for what the log had lost. */
  readonly states: number;
}

/** What a consumer with a file has handled, over all lives. */
class ConsumerCheck {
  readonly #consumer: Consumer;
  readonly #path: string;
  readonly #rule: Rule;
  readonly counts = { changes: 0, resumes: 0, states: 0 };
  #linesTaken = 0;
  #hasPlace = false;
  /** The state that is being told. */
  #state: Happened[] | null = null;

  constructor(consumer: Consumer, home: string, shards: number) {
    this.#consumer = consumer;
    this.#path = consumerPath(home, consumer);
    this.#rule = consumer.options.order === "shard" ? new ShardRule(shards) : new CommitRule();
  }

  faults(found: Found, isDrained: boolean): string[] {
    const history = historyOf(found.ofAll(this.#consumer.tables));
    const lines = readJournal(this.#path);
    const faults = lines.slice(this.#linesTaken).flatMap((line) => this.#take(line, history));
    this.#linesTaken = lines.length;
    if (isDrained) faults.push(...this.#rule.at(history.at(-1)?.stamp ?? "", history));
    return faults.map((sentence) => `consumer ${this.#consumer.name}: ${sentence}`);
  }

  #take([what, first, second, third]: JournalLine, history: readonly Happened[]): string[] {
    switch (what) {
      case "begin":
        this.#state = this.#hasPlace ? null : [];
        if (this.#hasPlace) this.counts.resumes++;
        this.#rule.begin();
        return [];
      case "lagged":
        this.#state = [];
        return [];
      case "state":
        this.#state?.push({ stamp: first!, name: second! });
        return [];
      case "change":
        this.counts.changes++;
        return this.#rule.change({ stamp: second!, name: third! }, stampOf(first!), history);
      default:
        this.#hasPlace = true;
        return this.#state === null
          ? this.#rule.at(stampOf(first!), history)
          : this.#endState(this.#state, stampOf(first!), history);
    }
  }

  #endState(state: readonly Happened[], stamp: string, history: readonly Happened[]): string[] {
    this.#state = null;
    this.counts.states++;
    const expected = new Set(history.slice(0, countThrough(history, stamp)).map(({ name }) => name));
    const told = new Set(state.map(({ name }) => name));
    const missing = [...expected].find((name) => !told.has(name));
    const extra = [...told].find((name) => !expected.has(name));
    const faults = this.#rule.jump(stamp, history);
    if (told.size !== state.length) faults.push(`the state at ${stamp} has a key twice`);
    if (missing !== undefined) faults.push(`the state at ${stamp} is without ${missing}`);
    if (extra !== undefined) faults.push(`the state at ${stamp} has ${extra}, which is not of then`);
    return faults;
  }
}

/** How many of them are not later than `stamp`. */
function countThrough(history: readonly Happened[], stamp: string): number {
  let count = history.length;
  while (count > 0 && history[count - 1]!.stamp > stamp) count--;
  return count;
}

/** What an order of changes must be like; each method says what is wrong. */
interface Rule {
  /** A new life begins. */
  begin(): void;
  /** A change was handled; the position that is kept with it is of the commit at `place`. */
  change(happened: Happened, place: string, history: readonly Happened[]): string[];
  /** Everything up to `stamp` is said to be handled. */
  at(stamp: string, history: readonly Happened[]): string[];
  /** A whole state of `stamp` was handled. */
  jump(stamp: string, history: readonly Happened[]): string[];
}

class CommitRule implements Rule {
  /** What has been handled: the first so many. */
  #handled = 0;

  begin(): void {}

  change({ name, stamp }: Happened, _place: string, history: readonly Happened[]): string[] {
    const expected = history[this.#handled++];
    if (expected?.name === name && expected.stamp === stamp) return [];
    const index = history.findIndex((other) => other.name === name);
    if (index >= 0) this.#handled = index + 1;
    return [`${name} at ${stamp} was handled in the place of ${expected?.name} at ${expected?.stamp}`];
  }

  at(stamp: string, history: readonly Happened[]): string[] {
    const next = history[this.#handled];
    if (next === undefined || next.stamp > stamp) return [];
    return [`everything up to ${stamp} is said to be handled, and ${next.name} at ${next.stamp} was not`];
  }

  jump(stamp: string, history: readonly Happened[]): string[] {
    const handledBefore = this.#handled;
    this.#handled = countThrough(history, stamp);
    return this.#handled >= handledBefore ? [] : [`the state at ${stamp} is older than what was handled`];
  }
}

class ShardRule implements Rule {
  readonly #shards: number;
  readonly #handled = new Set<string>();
  #handledInLife = new Set<string>();
  /** By shard: the versionstamp that was handled last in this life. */
  #last = new Map<number, string>();
  /** The first so many are certainly handled. */
  #sure = 0;
  /** Nothing of before comes again. */
  #place = "";

  constructor(shards: number) {
    this.#shards = shards;
  }

  begin(): void {
    this.#handledInLife = new Set();
    this.#last = new Map();
  }

  change({ name, stamp }: Happened, place: string, history: readonly Happened[]): string[] {
    const faults: string[] = [];
    const shard = partitionOf(encodeKey(JSON.parse(name)), PARTITION_DEPTH_DEFAULT, this.#shards);
    if (stamp < this.#place) faults.push(`${name} at ${stamp} comes behind the position ${this.#place}`);
    if (this.#handledInLife.has(name)) faults.push(`${name} was handled twice in one life`);
    if (stamp < (this.#last.get(shard) ?? ""))
      faults.push(`${name} at ${stamp} comes after ${this.#last.get(shard)} of its shard`);
    this.#handledInLife.add(name);
    this.#handled.add(name);
    this.#last.set(shard, stamp);
    // Of the commit at the position itself there may be more to come.
    return [...faults, ...this.#settle(place, history, ({ stamp: other }) => other < place)];
  }

  at(stamp: string, history: readonly Happened[]): string[] {
    return this.#settle(stamp, history, ({ stamp: other }) => other <= stamp);
  }

  jump(stamp: string, history: readonly Happened[]): string[] {
    this.#sure = countThrough(history, stamp);
    for (const { name } of history.slice(0, this.#sure)) this.#handled.add(name);
    this.begin();
    this.#place = stamp;
    return [];
  }

  /** Everything that `isBefore` has been handled. */
  #settle(place: string, history: readonly Happened[], isBefore: (happened: Happened) => boolean): string[] {
    const faults: string[] = [];
    this.#place = place;
    for (; this.#sure < history.length && isBefore(history[this.#sure]!); this.#sure++) {
      const { name, stamp } = history[this.#sure]!;
      if (!this.#handled.has(name))
        faults.push(`the position is ${place}, and ${name} at ${stamp} was not handled`);
    }
    return faults;
  }
}

/** What is wrong with what the consumer has handled that keeps its position in the store. */
function storeConsumerFaults(found: Found, isDrained: boolean): string[] {
  const faults: string[] = [];
  const heard = found.of("heard");
  const place = found.of(PLACE[0]!).get(nameOf(PLACE))?.value as string | undefined;
  for (const [name, { versionstamp, value }] of found.of("counter")) {
    // Tallies are numbers, counters are sums.
    if (value instanceof KvU64) continue;
    const count = heard.get(name.replace("counter", "heard"))?.value;
    const isDue = isDrained || (place !== undefined && versionstamp <= stampOf(place));
    if (count === undefined ? isDue : !(count instanceof KvU64 && count.value === 1n))
      faults.push(
        `the consumer in the store at ${place} has handled ${name} at ${versionstamp} ${shown(count)} times`,
      );
  }
  for (const name of heard.keys())
    if (!found.of("counter").has(name.replace("heard", "counter")))
      faults.push(`the consumer in the store has handled ${name}, which is not there`);
  return faults;
}

function shown(count: unknown): string {
  return count instanceof KvU64 ? String(count.value) : "0";
}
