/**
 * Owns the messages of the crash torture: enqueuing and handling them, and the account of them after a kill. What message n is follows from n
 * alone: alone or with keys on one shard or several, due at once or later, and handled, handled at the second try, or never.
 *
 * The journal of a life:
 *
 *   enqueued <n>   its enqueue or commit was acknowledged
 *   begun <n>      a handler has it            alone <n>    the handler did not find the keys of its commit
 *   failed <n>     its handler throws          handled <n>  its handler is about to return
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Kv, KvKey } from "../../../src/index.js";
import { QUEUE_INTERRUPTIONS_MAX } from "../../../src/limits.js";
import type { QueuedValues } from "../../kv/queue-rows.js";
import { nameOf } from "../../life/ledger.js";
import type { Found } from "./found.js";
import type { Journal, JournalLine } from "./journal.js";
import { DRAIN_MS_MAX, firstNumber, type LifeBreak, type LifeOptions } from "./life.js";

const PRODUCERS = 8;
const LISTENERS = 2;
const CONCURRENCY = 20;
/** Messages that wait: beyond it producers pause, so that most are handled in the life that they are made in. */
const WAITING_MAX = 200;
/** Some handlers take so long that a kill finds them at it. */
const LONG_HANDLING_MS = 150;
const SENT_TABLES = ["sent-a", "sent-b", "sent-c"];
const UNDELIVERED_TABLES = ["undelivered", "undelivered-too"];

type Fate = "handled" | "handled later" | "dead";

interface MessagePlan {
  readonly keys: readonly KvKey[];
  readonly delay: number;
  readonly fate: Fate;
  readonly backoffSchedule: readonly number[];
  readonly keysIfUndelivered: readonly KvKey[];
}

function planOf(n: number): MessagePlan {
  const fate = n % 11 === 0 ? "dead" : n % 5 === 0 ? "handled later" : "handled";
  return {
    keys: SENT_TABLES.slice(0, [3, 1, 0, 0][n % 4]).map((name) => [name, n]),
    delay: n % 3 === 0 ? n % 20 : 0,
    fate,
    // Whoever fails once in a life fails once more in the next.
    backoffSchedule: fate === "dead" ? [2] : fate === "handled" ? [] : [1, 1, 1, 1, 1],
    keysIfUndelivered: fate === "dead" ? UNDELIVERED_TABLES.map((table) => [table, n]) : [],
  };
}

/** Enqueues and handles for ever. */
export async function loadMessages(kv: Kv, journal: Journal, options: LifeOptions): Promise<void> {
  let next = firstNumber(options);
  listen(kv, journal, options.breakage);
  const produce = async () => {
    for (;;) {
      const { ready, delayed } = kv.queueStats();
      if (ready + delayed > WAITING_MAX) {
        await sleep(1);
        continue;
      }
      const n = next++;
      if (options.breakage !== "lost-message" || n % 20 !== 3) await enqueue(kv, n, options.breakage);
      journal.note("enqueued", n);
    }
  };
  await Promise.all(Array.from({ length: PRODUCERS }, produce));
}

/** Handles what is left. Throws when that takes too long. */
export async function drainMessages(kv: Kv, journal: Journal): Promise<void> {
  listen(kv, journal, null);
  const deadlineMs = Date.now() + DRAIN_MS_MAX;
  for (;;) {
    const { ready, delayed, leased } = kv.queueStats();
    if (ready + delayed + leased === 0) return;
    if (Date.now() > deadlineMs) throw new Error(`${ready}, ${delayed} and ${leased} messages are left`);
    await sleep(2);
  }
}

async function enqueue(kv: Kv, n: number, breakage: LifeBreak | null): Promise<void> {
  const { keys, ...options } = planOf(n);
  if (keys.length === 0) {
    await kv.enqueue(n, options);
    return;
  }
  let commit = kv.atomic();
  for (const key of keys) commit = commit.set(key, n);
  if (breakage === "split-message") await kv.enqueue(n, options);
  else commit = commit.enqueue(n, options);
  await commit.commit();
}

function listen(kv: Kv, journal: Journal, breakage: LifeBreak | null): void {
  const failed = new Set<number>();
  const handle = async (n: number): Promise<void> => {
    const { keys, fate } = planOf(n);
    journal.note("begun", n);
    for (const key of keys) if (kv.getSync(key).versionstamp === null) journal.note("alone", n);
    if (n % 2 === 0) await sleep(n % 60 === 0 ? LONG_HANDLING_MS : n % 7);
    if (fate === "dead" || (fate === "handled later" && !failed.has(n))) {
      failed.add(n);
      journal.note("failed", n);
      throw new Error(`message ${n} fails`);
    }
    journal.note("handled", n);
    if (breakage === "second-handling" && n % 20 === 3) journal.note("handled", n);
  };
  for (let listener = 0; listener < LISTENERS; listener++)
    void kv.listenQueue(handle, { concurrency: CONCURRENCY, onError: () => {} });
}

export interface MessageCounts {
  readonly enqueued: number;
  readonly handled: number;
  readonly dead: number;
  /** Times that a message was leased when the process was killed. */
  readonly interrupted: number;
}

/** What is known of the messages of one store, over all its lives. */
export class MessagesCheck {
  readonly #enqueued = new Set<number>();
  readonly #handled = new Set<number>();
  /** Leased when a process was killed, and not handled since: nobody but that process could know whether they had been. */
  readonly #doubtful = new Set<number>();
  #dead: ReadonlySet<number> = new Set();
  #interrupted = 0;

  get counts(): MessageCounts {
    return {
      enqueued: this.#enqueued.size,
      handled: this.#handled.size,
      dead: this.#dead.size,
      interrupted: this.#interrupted,
    };
  }

  /**
   * What is wrong after a life with this journal.
   *
   * @param leased Messages that the process had when it was killed.
   * @param queued The messages of the store when it has been opened since: a commit over several shards that the kill cut off is whole then.
   */
  faults(
    lines: readonly JournalLine[],
    leased: readonly unknown[],
    queued: QueuedValues,
    found: Found,
  ): string[] {
    const faults = this.#take(lines);
    const waiting = [...queued.waiting, ...queued.leased] as number[];
    const dead = queued.dead as number[];
    const stored = new Set([...waiting, ...dead]);
    if (stored.size !== waiting.length + dead.length) faults.push("a message is in two states");
    for (const n of leased) this.#doubtful.add(n as number);
    this.#interrupted += leased.length;
    for (const n of [...waiting, ...dead])
      if (this.#handled.has(n) && !this.#doubtful.has(n))
        faults.push(`message ${n} was handled, and is there`);
    for (const n of this.#dead) if (!dead.includes(n)) faults.push(`dead letter ${n} is gone`);
    this.#dead = new Set(dead);
    const isThere = (n: number) => stored.has(n) || this.#handled.has(n);
    for (const n of this.#enqueued) if (!isThere(n)) faults.push(`message ${n} is lost`);
    faults.push(...keyFaults(new Set([...stored, ...this.#handled]), found));
    faults.push(...undeliveredFaults(this.#dead, found));
    return faults;
  }

  #take(lines: readonly JournalLine[]): string[] {
    const faults: string[] = [];
    const begun = new Map<number, number>();
    const handled = new Set<number>();
    for (const [what, text] of lines) {
      const n = Number(text);
      if (what === "enqueued") this.#enqueued.add(n);
      else if (what === "alone") faults.push(`message ${n} came without the keys of its commit`);
      else if (what === "begun") begun.set(n, (begun.get(n) ?? 0) + 1);
      else if (what === "handled") {
        if (handled.has(n)) faults.push(`message ${n} was handled twice in one life`);
        handled.add(n);
      }
    }
    for (const [n, count] of begun) {
      if (count > (planOf(n).fate === "handled" ? 1 : 2))
        faults.push(`message ${n} was begun ${count} times in one life`);
      if (this.#handled.has(n) && !this.#doubtful.has(n))
        faults.push(`message ${n} was handled, and came again`);
      if (this.#dead.has(n)) faults.push(`message ${n} was a dead letter, and came again`);
    }
    for (const n of handled) {
      this.#handled.add(n);
      this.#doubtful.delete(n);
    }
    return faults;
  }
}

/** A commit's keys and its message are there together. @param known Messages of which there is any trace. */
function keyFaults(known: ReadonlySet<number>, found: Found): string[] {
  const faults: string[] = [];
  const stampOf = (key: KvKey) => found.of(String(key[0])).get(nameOf(key))?.versionstamp ?? "absent";
  for (const n of known) {
    const stamps = new Set(planOf(n).keys.map(stampOf));
    if (stamps.size > 1 || stamps.has("absent"))
      faults.push(`message ${n} is there, its keys are at ${[...stamps]}`);
  }
  for (const { value } of found.of(SENT_TABLES[0]!).values())
    if (!known.has(value as number)) faults.push(`the keys of message ${value} are there, and it is not`);
  return faults;
}

/** A message dies, and is written under its keys, in one commit. */
function undeliveredFaults(dead: ReadonlySet<number>, found: Found): string[] {
  const faults: string[] = [];
  for (const table of UNDELIVERED_TABLES) {
    const written = found.of(table);
    for (const { value } of written.values())
      if (!dead.has(value as number))
        faults.push(`${value} is written under ${table}, and is no dead letter`);
    for (const n of dead)
      if (planOf(n).fate === "dead" && !written.has(nameOf([table, n])))
        faults.push(`${n} is a dead letter, and is not written under ${table}`);
  }
  return faults;
}

/** Dead letters that had no reason to die. */
export async function deadLetterFaults(kv: Kv): Promise<string[]> {
  const faults: string[] = [];
  for await (const { value, failures, interruptions } of kv.deadLetters.list<number>()) {
    const { fate, backoffSchedule } = planOf(value);
    const isUsedUp = fate !== "handled" && failures > backoffSchedule.length;
    if (!isUsedUp && interruptions <= QUEUE_INTERRUPTIONS_MAX)
      faults.push(`message ${value} died after ${failures} failures and ${interruptions} interruptions`);
  }
  return faults;
}
