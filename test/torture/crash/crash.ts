/**
 * Kills a process with SIGKILL at random moments, also while it opens its store, while it writes as fast as it can over one shard and over many,
 * with times to live that run out, messages that are enqueued and handled, a log that is trimmed and consumers that keep their positions; then
 * opens the store, and looks for what is lost, half there, out of order or done twice.
 */
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Durability, openKv, verifyStore } from "../../../src/index.js";
import { type QueuedValues, queuedValues } from "../../kv/queue-rows.js";
import { Child } from "../../life/child-process.js";
import { BROKEN_MAX, Ticker, type Torture, type TortureContext, type TortureResult } from "../torture.js";
import { EntriesCheck, FLEETING_MS_MAX, loseCommit } from "./entries.js";
import { drainFeeds } from "./feeds.js";
import { FeedsCheck } from "./feeds-check.js";
import { Found } from "./found.js";
import { Journal, readJournal } from "./journal.js";
import { journalPath, LIFE_BREAKS, type LifeBreak, type LifeOptions, openOptions } from "./life.js";
import { deadLetterFaults, drainMessages, MessagesCheck } from "./messages.js";

/** A kill comes when the journal of the entries has grown to a random size below this: about a thousand commits. */
const JOURNAL_BYTES_MAX = 30_000;
/** Or after this time, on a busy machine. */
const KILL_MS_MAX = 2000;
const LOOK_MS = 5;
/** So that something is gone on with, however short the run. */
const KILLS_MIN = 2;
/** One kill of so many comes while the process starts. */
const EARLY_KILLS = 8;
/** About the time that starting takes. */
const START_MS = 100;
/** A store is begun anew after so many lives, so that reading it stays cheap. */
const LIVES_MAX = 10;

export const crash: Torture = {
  name: "crash",
  about:
    "kill -9 at random moments under full load, in both durabilities, then everything acknowledged must be there, and nothing half",
  breaks: {
    "lost-commit": "one acknowledged commit is taken out of the store after the crash",
    ...LIFE_BREAKS,
  },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const tried = { kills: 0, "kills while opening": 0, "stores drained": 0 };
  const totals = new Totals();
  const broken: string[] = [];
  const ticker = new Ticker(context);
  let store = new CrashStore(context, 0);
  for (
    let round = 0;
    (round < KILLS_MIN || Date.now() < context.deadlineMs) && broken.length === 0;
    round++
  ) {
    if (round > 0 && round % LIVES_MAX === 0) {
      totals.add(store.counts);
      store.remove();
      store = new CrashStore(context, round);
    }
    const isEarly = await store.live();
    tried.kills++;
    if (isEarly) tried["kills while opening"]++;
    const isLast =
      round % LIVES_MAX === LIVES_MAX - 1 || (round + 1 >= KILLS_MIN && Date.now() >= context.deadlineMs);
    const faults = await store.look();
    if (faults.length === 0 && (isLast || context.random(4) === 0)) {
      faults.push(...(await store.drain()));
      tried["stores drained"]++;
    }
    broken.push(...faults.slice(0, BROKEN_MAX).map((sentence) => `kill ${round}: ${sentence}`));
    ticker.tick({ ...tried, ...totals.with(store.counts) });
  }
  return { tried: { ...tried, ...totals.with(store.counts) }, broken };
}

type Counts = Readonly<Record<string, number>>;

/** Counts of all stores. */
class Totals {
  #sums: Counts = {};

  add(counts: Counts): void {
    this.#sums = this.with(counts);
  }

  with(counts: Counts): Counts {
    return Object.fromEntries(
      Object.entries(counts).map(([what, count]) => [what, count + (this.#sums[what] ?? 0)]),
    );
  }
}

/** One store, over all its lives. */
class CrashStore {
  readonly #context: TortureContext;
  readonly #home: string;
  readonly #shards: number;
  readonly #historyBytes: number;
  readonly #entries = new EntriesCheck();
  readonly #messages = new MessagesCheck();
  readonly #feeds: FeedsCheck;
  #lives = 0;
  #options: LifeOptions;
  #killedAtMs = 0;

  constructor(context: TortureContext, number: number) {
    const { random, directory } = context;
    this.#context = context;
    this.#home = join(directory, `crash-${number}`);
    this.#shards = [1, 3, 5][random(3)]!;
    // Some trim all the time, some hardly ever.
    this.#historyBytes = [100_000, 1_000_000, 10_000_000][random(3)]!;
    this.#feeds = new FeedsCheck(this.#home, this.#shards);
    this.#options = this.#nextLife();
    mkdirSync(this.#home);
  }

  get counts(): Counts {
    const messages = this.#messages.counts;
    const feeds = this.#feeds.counts;
    return {
      "acknowledged commits": this.#entries.acknowledgedCount,
      "times to live set, renewed, taken away": this.#entries.ttlCount,
      "acknowledged messages": messages.enqueued,
      "messages handled": messages.handled,
      "leases cut off by a kill": messages.interrupted,
      "dead letters": messages.dead,
      "changes handled by consumers": feeds.changes,
      "resumes at a kept position": feeds.resumes,
      "states behind a trimmed log": feeds.states,
    };
  }

  /** One life of the process. Says whether it was killed before it had begun its work. */
  async live(): Promise<boolean> {
    const { random, breakage } = this.#context;
    this.#options = this.#nextLife();
    this.#lives++;
    const child = new Child("../torture/crash/crash-program.js", [JSON.stringify(this.#options)]);
    const isEarly = breakage === null && random(EARLY_KILLS) === 0;
    if (isEarly) await child.livesFor(START_MS + random(2 * START_MS));
    else {
      await child.saysLine("loaded");
      await this.#worked(child, random(JOURNAL_BYTES_MAX));
    }
    child.kill("SIGKILL");
    const end = await child.end();
    this.#killedAtMs = Date.now();
    if (end.how !== "SIGKILL") throw new Error(`the writing process ended with ${end.how}: ${end.errors}`);
    return isEarly;
  }

  /** Opens the store, and says what is wrong with it. */
  async look(): Promise<string[]> {
    const options = this.#options;
    const isStore = existsSync(join(options.path, "manifest.json"));
    const { leased } = isStore ? await this.#queued() : { leased: [] };
    const kv = await openKv(options.path, openOptions(options));
    const written = readJournal(journalPath(options, "entries"));
    if (this.#context.breakage === "lost-commit") await loseCommit(kv, written);
    await sleep(Math.max(0, this.#killedAtMs + 2 * FLEETING_MS_MAX - Date.now()));
    const found = await Found.in(kv);
    const faults = [
      ...this.#entries.faults(written, found, options),
      ...this.#feeds.faults(found, false),
      ...(await deadLetterFaults(kv)),
    ];
    const { versionstamp } = await kv.set(["after"], 1);
    faults.push(...this.#entries.noteNewest(versionstamp));
    await kv.close();
    const handled = readJournal(journalPath(options, "messages"));
    faults.push(...this.#messages.faults(handled, leased, await this.#queued(), found));
    const report = await verifyStore(options.path);
    faults.push(...report.problems.map(({ where, what }) => `${where}: ${what}`));
    return faults.map((sentence) => this.#named(sentence));
  }

  /** Lets all messages and changes that are left be handled, and says what is wrong then. */
  async drain(): Promise<string[]> {
    const options = this.#options;
    const path = journalPath(options, "drain");
    const kv = await openKv(options.path, openOptions(options));
    const journal = new Journal(path);
    await Promise.all([drainMessages(kv, journal), drainFeeds(kv, this.#home)]);
    const found = await Found.in(kv);
    const faults = [...this.#feeds.faults(found, true), ...(await deadLetterFaults(kv))];
    await kv.close();
    journal.close();
    faults.push(...this.#messages.faults(readJournal(path), [], await this.#queued(), found));
    return faults.map((sentence) => this.#named(`after all was handled: ${sentence}`));
  }

  remove(): void {
    rmSync(this.#home, { recursive: true });
  }

  /** Resolves when the process has written so much of its journal, or has had its time, or has ended. */
  async #worked(child: Child, bytes: number): Promise<void> {
    const path = journalPath(this.#options, "entries");
    const deadlineMs = Date.now() + KILL_MS_MAX;
    while (statSync(path).size < bytes && Date.now() < deadlineMs && (await child.livesFor(LOOK_MS)));
  }

  #queued(): Promise<QueuedValues> {
    return queuedValues(this.#options.path, this.#shards);
  }

  #named(sentence: string): string {
    return `${this.#options.durability}, ${this.#shards} shards: ${sentence}`;
  }

  #nextLife(): LifeOptions {
    const { random, breakage } = this.#context;
    return {
      path: join(this.#home, "store"),
      home: this.#home,
      life: this.#lives,
      shards: this.#shards,
      durability: (["sync", "relaxed"] as const satisfies Durability[])[random(2)]!,
      historyBytes: this.#historyBytes,
      breakage: breakage !== null && Object.hasOwn(LIFE_BREAKS, breakage) ? (breakage as LifeBreak) : null,
    };
  }
}
