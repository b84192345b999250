/**
 * Owns the entries of the crash torture: commits of the ledger on one shard and on several, and keys whose time to live is set, renewed and
 * taken away; and what must be there of them after a kill.
 *
 * The journal of a life:  `commit <n> <versionstamp>`  and  `ttl <key> <n>`, for each that was acknowledged.
 */
import type { Kv } from "../../../src/index.js";
import {
  foundCommits,
  ledgerCommit,
  ledgerFaults,
  nameOf,
  type Outcome,
  ownKeys,
} from "../../life/ledger.js";
import type { Found } from "./found.js";
import type { Journal, JournalLine } from "./journal.js";
import { firstNumber, type LifeOptions } from "./life.js";

const WRITERS = 32;
const LEDGER_TABLES = ["account", "counter", "note", "mark-a", "mark-b", "mark-c"];
/** Keys with a time to live, each of which is written by one writer, one write after the other. */
const TTL_KEYS = 8;
/** The longest of the short times to live. */
export const FLEETING_MS_MAX = 40;
const LONG_MS = 3_600_000;

type TtlKind = "fleeting" | "for good" | "for long";

/** What write `n` of a key does to its time to live. */
function ttlKindOf(key: number, n: number): TtlKind {
  return (["fleeting", "for good", "for long"] as const)[(n + key) % 3]!;
}

/** Writes for ever. */
export async function loadEntries(kv: Kv, journal: Journal, options: LifeOptions): Promise<void> {
  let next = firstNumber(options);
  const write = async () => {
    for (;;) {
      const n = next++;
      const result = await ledgerCommit(kv, n, "mixed").commit();
      if (!result.ok) throw new Error(`commit ${n} was refused without a check`);
      journal.note("commit", n, result.versionstamp);
    }
  };
  const writeTtl = async (key: number) => {
    for (let n = firstNumber(options); ; n++) {
      const kind = ttlKindOf(key, n);
      if (kind === "for good" || options.breakage === "immortal") await kv.set(["ttl", key], n);
      else {
        const expireIn = kind === "fleeting" ? 1 + (n % FLEETING_MS_MAX) : LONG_MS;
        await kv.set(["ttl", key], n, { expireIn });
      }
      journal.note("ttl", key, n);
      // Some live long enough to be swept, not overwritten.
      if ((n + key) % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 2 * FLEETING_MS_MAX));
    }
  };
  const writing = Array.from({ length: WRITERS }, write);
  await Promise.all([...writing, ...Array.from({ length: TTL_KEYS }, (_, key) => writeTtl(key))]);
}

/** Takes the last acknowledged commit of a life out of the store. */
export async function loseCommit(kv: Kv, lines: readonly JournalLine[]): Promise<void> {
  const last = lines.findLast(([what]) => what === "commit");
  if (last === undefined) return;
  for (const key of ownKeys(Number(last[1]), "mixed")) await kv.delete(key);
}

/** What is known of the entries of one store, over all its lives. */
export class EntriesCheck {
  readonly #outcomes = new Map<number, Outcome>();
  /** By key: numbers of the writes of which one is the last that was made; `null`: none at all. */
  readonly #ttl = Array.from({ length: TTL_KEYS }, () => new Set<number | null>([null]));
  /** The newest versionstamp before the life that is looked at. */
  #newest = "";
  /** Acknowledged writes of keys with a time to live. */
  ttlCount = 0;

  get acknowledgedCount(): number {
    return this.#outcomes.size;
  }

  /**
   * What is wrong after a life with this journal. Whatever lives for no longer than {@link FLEETING_MS_MAX} must have run out.
   */
  faults(lines: readonly JournalLine[], found: Found, options: LifeOptions): string[] {
    const faults = this.#take(lines, options);
    const entries = found.ofAll(LEDGER_TABLES);
    for (const n of foundCommits(entries)) if (!this.#outcomes.has(n)) this.#outcomes.set(n, "unknown");
    faults.push(...ledgerFaults(entries, this.#outcomes, "mixed"));
    this.#ttl.forEach((candidates, key) => {
      const value = (found.of("ttl").get(nameOf(["ttl", key]))?.value ?? null) as number | null;
      faults.push(...this.#settleTtl(key, candidates, value));
    });
    this.#newest = found.newest;
    return faults;
  }

  /** The store has given out a versionstamp since. */
  noteNewest(versionstamp: string): string[] {
    const before = this.#newest;
    this.#newest = versionstamp;
    return versionstamp > before ? [] : [`${versionstamp} is given out, ${before} was there before`];
  }

  #take(lines: readonly JournalLine[], options: LifeOptions): string[] {
    const faults: string[] = [];
    const last = new Map<number, number>();
    for (const [what, first, second] of lines) {
      if (what === "ttl") {
        last.set(Number(first), Number(second));
        this.ttlCount++;
      } else {
        this.#outcomes.set(Number(first), second!);
        if (second! <= this.#newest)
          faults.push(`commit ${first} has ${second}, ${this.#newest} was given out before the crash`);
      }
    }
    for (const [key, candidates] of this.#ttl.entries()) {
      const n = last.get(key);
      // The write behind the last that was acknowledged may have been made.
      if (n === undefined) candidates.add(firstNumber(options));
      else this.#ttl[key] = new Set([n, n + 1]);
    }
    return faults;
  }

  #settleTtl(key: number, candidates: ReadonlySet<number | null>, value: number | null): string[] {
    const shown = [...candidates].join(" or ");
    if (value === null) {
      const gone = [...candidates].filter((n) => n === null || ttlKindOf(key, n) === "fleeting");
      this.#ttl[key] = new Set(gone);
      return gone.length > 0 ? [] : [`["ttl",${key}] is gone, and ${shown} had time to live`];
    }
    this.#ttl[key] = new Set([value]);
    if (!candidates.has(value)) return [`["ttl",${key}] is ${value}, expected ${shown}`];
    return ttlKindOf(key, value) === "fleeting" ? [`["ttl",${key}] is ${value}, whose time has run out`] : [];
  }
}
