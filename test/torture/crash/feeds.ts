/**
 * Owns the consumers of the crash torture: feeds of several kinds that are gone on with after each kill, where the position says that is kept
 * with each change that was handled; in a file, or in the store itself.
 *
 * A consumer's file, over all lives. One write makes a line, so a change is handled and its position is kept, or neither:
 *
 *   begin                              a life begins
 *   change <position> <stamp> <name>   the change is handled
 *   lagged                             the log has lost something, and the state follows
 *   state <stamp> <name>               an entry of the state
 *   at <position>                      everything up to here is handled; behind a state: the state is whole
 *
 * In the store: `["heard", <counter>, <n>]` is how often a change was handled, `["place"]` the position, both of one commit.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  anyPart,
  type ChangeSelector,
  type ChangesOptions,
  type Kv,
  type KvChange,
  type KvChangeEvent,
  KvHistoryTrimmedError,
} from "../../../src/index.js";
import { withBound } from "../../life/child-process.js";
import { nameOf } from "../../life/ledger.js";
import { Journal, type JournalLine, readJournal } from "./journal.js";
import { DRAIN_MS_MAX, type LifeBreak, type LifeOptions } from "./life.js";

export interface Consumer {
  readonly name: string;
  readonly tables: readonly string[];
  readonly selectors: readonly ChangeSelector[];
  readonly options: ChangesOptions;
  /** Lives in which it is there: every so many. */
  readonly everyLives: number;
  /** Waits for so long every few changes. */
  readonly pauseMs: number;
}

const PROGRESS_MS = 5;
const PAUSE_EVERY = 8;
/** Changes that the consumer in the store handles in one commit. */
const HANDLED_AT_ONCE = 500;
const MARKS = ["mark-a", "mark-b", "mark-c"];
/** Where the consumer in the store keeps its position. */
export const PLACE = ["place"];

function consumerOf(
  name: string,
  tables: readonly string[],
  options: ChangesOptions,
  { everyLives = 1, pauseMs = 0 } = {},
): Consumer {
  const selectors = tables.map((table) => ({ prefix: [table] }));
  return { name, tables, selectors, options, everyLives, pauseMs };
}

/** Those that keep their position in a file. */
export const FILE_CONSUMERS: readonly Consumer[] = [
  consumerOf("notes", ["note"], { onTrimmed: "error" }),
  consumerOf("marks", MARKS, { onTrimmed: "resync" }),
  consumerOf("marks-by-shard", MARKS, { onTrimmed: "resync", order: "shard" }),
  consumerOf("late", ["note"], { onTrimmed: "resync", bufferCountMax: 16 }, { everyLives: 3 }),
  consumerOf("slow", ["note"], { onTrimmed: "resync", bufferCountMax: 64 }, { pauseMs: 4 }),
];

/** The tallies of the ledger, and not their counters. */
const TALLIES: ChangeSelector = { pattern: ["counter", anyPart, anyPart] };

export function consumerPath(home: string, { name }: Consumer): string {
  return join(home, `feed-${name}`);
}

/** Follows for ever. */
export async function loadFeeds(kv: Kv, { home, life, breakage }: LifeOptions): Promise<void> {
  const present = FILE_CONSUMERS.filter(({ everyLives }) => life % everyLives === 0);
  await Promise.all([
    ...present.map((consumer) => new FileConsumer(kv, consumer, home, breakage).follow(null)),
    new StoreConsumer(kv).follow(null),
  ]);
}

/** Handles what the store has; resolves when all consumers have heard everything. Throws when that takes too long. */
export async function drainFeeds(kv: Kv, home: string): Promise<void> {
  // A commit of now, so that whoever is told of its place has heard all that is older.
  const { versionstamp } = await kv.set(["drain"], 1);
  const following = [
    ...FILE_CONSUMERS.map((consumer) =>
      new FileConsumer(kv, { ...consumer, pauseMs: 0 }, home, null).follow(versionstamp),
    ),
    new StoreConsumer(kv).follow(versionstamp),
  ];
  if ((await withBound(Promise.all(following), DRAIN_MS_MAX)) === "late")
    throw new Error(`consumers have not heard of ${versionstamp} after ${DRAIN_MS_MAX} ms`);
}

/** One life of a consumer that keeps its position in a file. */
class FileConsumer {
  readonly #kv: Kv;
  readonly #consumer: Consumer;
  readonly #journal: Journal;
  readonly #breakage: LifeBreak | null;
  /** `null`: it begins with the state. */
  #place: string | null;
  #handled = 0;

  constructor(kv: Kv, consumer: Consumer, home: string, breakage: LifeBreak | null) {
    const path = consumerPath(home, consumer);
    const places = placesIn(readJournal(path));
    this.#kv = kv;
    this.#consumer = consumer;
    this.#breakage = breakage;
    this.#place = (breakage === "repeated-change" ? places.changeBefore : null) ?? places.last;
    this.#journal = new Journal(path);
    this.#journal.note("begin");
  }

  /** Once. @param through Ends when everything up to this versionstamp is handled; `null`: never. */
  async follow(through: string | null): Promise<void> {
    try {
      while (!(await this.#reaches(through)));
    } finally {
      this.#journal.close();
    }
  }

  /** False: the log has lost what comes next, and the state is what to begin with. */
  async #reaches(through: string | null): Promise<boolean> {
    try {
      for await (const event of this.#open()) {
        this.#take(event);
        if (event.type === "progress" && through !== null && event.versionstamp >= through) break;
        if (this.#consumer.pauseMs > 0 && ++this.#handled % PAUSE_EVERY === 0)
          await sleep(this.#consumer.pauseMs);
      }
      return true;
    } catch (error) {
      if (!(error instanceof KvHistoryTrimmedError)) throw error;
      this.#journal.note("lagged");
      this.#place = null;
      return false;
    }
  }

  #open(): AsyncIterable<KvChangeEvent> {
    const { selectors, options } = this.#consumer;
    const from = this.#place === null ? { initial: true } : { since: this.#place };
    return this.#kv.changes(selectors, { ...options, ...from, progressMs: PROGRESS_MS });
  }

  #take(event: KvChangeEvent): void {
    if (event.type === "lagged") this.#journal.note("lagged");
    else if (event.type === "progress") this.#journal.note("at", event.position);
    else if (event.initial) this.#journal.note("state", event.versionstamp, nameOf(event.key));
    else if (this.#breakage !== "skipped-change" || ++this.#handled % 20 !== 3)
      this.#journal.note("change", event.position, event.versionstamp, nameOf(event.key));
  }
}

/** The last position that a file has, and that before its last change. */
function placesIn(lines: readonly JournalLine[]): {
  readonly last: string | null;
  readonly changeBefore: string | null;
} {
  const changes = lines.filter(([what]) => what === "change").slice(-2);
  const last = lines.findLast(([what]) => what === "change" || what === "at");
  return { last: last?.[1] ?? null, changeBefore: changes.length === 2 ? changes[0]![1]! : null };
}

/** One life of a consumer that keeps its position, and what it has handled, in the store that it follows. */
class StoreConsumer {
  readonly #kv: Kv;
  #waiting: KvChange[] = [];
  #isResync = false;

  constructor(kv: Kv) {
    this.#kv = kv;
  }

  async follow(through: string | null): Promise<void> {
    const { value: place } = await this.#kv.get<string>(PLACE);
    const from = place === null ? { initial: true } : { since: place };
    this.#isResync = place === null;
    const options = { ...from, onTrimmed: "resync", progressMs: PROGRESS_MS } as const;
    for await (const event of this.#kv.changes(TALLIES, options)) {
      if (event.type === "lagged") {
        await this.#handle(this.#isResync ? null : (this.#waiting.at(-1)?.position ?? null));
        this.#isResync = true;
      } else if (event.type === "progress") {
        await this.#handle(event.position);
        if (through !== null && event.versionstamp >= through) return;
      } else {
        this.#waiting.push(event);
        if (this.#waiting.length < HANDLED_AT_ONCE) continue;
        // The position of an entry of the state is that of the beginning: it is kept when the state is whole.
        await this.#handle(this.#isResync ? null : event.position);
      }
    }
  }

  /** Handles what waits, in one commit with the position where there is one. */
  async #handle(position: string | null): Promise<void> {
    const changes = this.#isResync ? this.#unheard(this.#waiting) : this.#waiting;
    this.#waiting = [];
    if (changes.length === 0 && position === null) return;
    let commit = this.#kv.atomic();
    for (const { key } of changes) commit = commit.sum(["heard", key[1]!, key[2]!], 1n);
    if (position !== null) {
      commit = commit.set(PLACE, position);
      this.#isResync = false;
    }
    await commit.commit();
  }

  /** What of a state has not been handled as a change before. */
  #unheard(changes: readonly KvChange[]): KvChange[] {
    return changes.filter(({ key }) => this.#kv.getSync(["heard", key[1]!, key[2]!]).versionstamp === null);
  }
}
