/**
 * Owns those who watch while the flights are written, and what they hear. They only write down; verification.ts judges.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ChangeFeed, FeedState, Kv, KvChange, KvEntryMaybe, KvKey } from "../../src/index.js";
import { airportKey, arrivedKey, countAirports, departedKey, type Flight } from "./flight.js";

/** The selectors that this job uses. */
export type FlightSelector = { readonly key: KvKey } | { readonly prefix: KvKey };

/** What one change feed was asked for and what it delivered. */
export interface FeedObservation {
  readonly name: string;
  readonly selectors: readonly FlightSelector[];
  readonly changes: readonly KvChange[];
  /** Why it ended, if it did not end with the store. */
  readonly error: unknown;
}

/** What one `watch(keys)` emitted. */
export interface LevelObservation {
  readonly name: string;
  readonly keys: readonly KvKey[];
  readonly items: readonly (readonly KvEntryMaybe<unknown>[])[];
  readonly error: unknown;
}

interface FeedPlan {
  readonly name: string;
  readonly selectors: readonly FlightSelector[];
  /** A reader that sleeps now and then, with a small buffer, so that it falls behind and has to catch up. */
  readonly isSlow?: boolean;
}

const BUSY_AIRPORTS = 8;
const SLOW_BUFFER_COUNT_MAX = 64;
const SLOW_CHANGES_PER_SLEEP = 100;

export class FeedObserver implements FeedObservation {
  readonly name: string;
  readonly selectors: readonly FlightSelector[];
  readonly changes: KvChange[] = [];
  /** Resolves when the feed has ended, whatever the reason. */
  readonly ended: Promise<void>;
  error: unknown;
  readonly #feed: ChangeFeed;
  readonly #isSlow: boolean;
  readonly #onChange: (change: KvChange) => void;

  constructor(kv: Kv, plan: FeedPlan, onChange: (change: KvChange) => void) {
    this.name = plan.name;
    this.selectors = plan.selectors;
    this.#isSlow = plan.isSlow === true;
    this.#onChange = onChange;
    this.#feed = kv.changes(plan.selectors, this.#isSlow ? { bufferCountMax: SLOW_BUFFER_COUNT_MAX } : {});
    this.ended = this.#follow();
  }

  get state(): FeedState {
    return this.#feed.state;
  }

  async #follow(): Promise<void> {
    try {
      for await (const change of this.#feed) {
        this.changes.push(change);
        this.#onChange(change);
        if (this.#isSlow && this.changes.length % SLOW_CHANGES_PER_SLEEP === 0) await sleep(1);
      }
    } catch (error) {
      this.error = error;
    }
  }
}

export class LevelObserver implements LevelObservation {
  readonly name: string;
  readonly keys: readonly KvKey[];
  readonly items: (readonly KvEntryMaybe<unknown>[])[] = [];
  readonly ended: Promise<void>;
  error: unknown;

  constructor(kv: Kv, name: string, keys: readonly KvKey[]) {
    this.name = name;
    this.keys = keys;
    this.ended = this.#follow(kv);
  }

  async #follow(kv: Kv): Promise<void> {
    try {
      for await (const item of kv.watch<unknown[]>([...this.keys])) this.items.push(item);
    } catch (error) {
      this.error = error;
    }
  }
}

/** All who watch. */
export class Observers {
  readonly everything: FeedObserver;
  readonly slow: FeedObserver;
  readonly feeds: readonly FeedObserver[];
  readonly level: LevelObserver;
  #heardCount = 0;

  /** @param onHeard Called with what the watcher of everything hears, as it hears it. */
  constructor(kv: Kv, flights: readonly Flight[], onHeard: (change: KvChange) => void) {
    const count = (): void => {
      this.#heardCount++;
    };
    const open = (plan: FeedPlan): FeedObserver => new FeedObserver(kv, plan, count);
    const everything = [{ prefix: [] }];
    this.everything = new FeedObserver(kv, { name: "everything", selectors: everything }, (change) => {
      onHeard(change);
      count();
    });
    this.slow = open({ name: "everything, slow reader", selectors: everything, isSlow: true });
    this.feeds = [this.everything, this.slow, ...airportPlans(flights).map(open)];
    // Both counters of each: a flight from one busy airport to another touches two of the keys, mostly in two shards.
    const keys = busyAirports(flights, "origin").flatMap((airport) => [
      departedKey(airport),
      arrivedKey(airport),
    ]);
    this.level = new LevelObserver(kv, "watch(keys)", keys);
  }

  /** Changes that all feeds together have delivered. */
  get heardCount(): number {
    return this.#heardCount;
  }

  /** Resolves when both watchers of everything have delivered `count` changes (or have ended), or after `deadlineMs` milliseconds. */
  async settled(count: number, deadlineMs: number): Promise<void> {
    const giveUpAtMs = performance.now() + deadlineMs;
    const isAwaited = ({ changes, state }: FeedObserver): boolean =>
      changes.length < count && state !== "closed";
    while ((isAwaited(this.everything) || isAwaited(this.slow)) && performance.now() < giveUpAtMs)
      await sleep(5);
  }

  /** Resolves when all have ended: once the store is closed. */
  async ended(): Promise<void> {
    await Promise.all([...this.feeds, this.level].map((observer) => observer.ended));
  }
}

function airportPlans(flights: readonly Flight[]): FeedPlan[] {
  const busy = busyAirports(flights, "origin");
  return [
    ...busy.map((airport) => ({ name: `${airport} departed`, selectors: [{ key: departedKey(airport) }] })),
    ...busy.map((airport) => ({
      name: `${airport}, all of it`,
      selectors: [{ prefix: airportKey(airport) }],
    })),
    {
      name: "arrived, several airports",
      selectors: busyAirports(flights, "destination").map((airport) => ({ key: arrivedKey(airport) })),
    },
  ];
}

function busyAirports(flights: readonly Flight[], column: "origin" | "destination"): string[] {
  return [...countAirports(flights, column).keys()].slice(0, BUSY_AIRPORTS);
}
