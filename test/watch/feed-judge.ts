/**
 * Owns the judgement on one feed of the model: whether what it has handed over is what the logs say it must, given its options. It walks
 * once over what was handed over, beside the list of all changes that were committed and are wanted.
 */
import type { KvChange, KvChangeEvent, KvLaggedEvent } from "../../src/watch/kv-change.js";

/** A change that was committed and that the feed selects. */
export interface Wanted {
  readonly position: string;
  readonly versionstamp: string;
  readonly shard: number;
  /** One text for equal keys. */
  readonly name: string;
  readonly type: KvChange["type"];
  readonly value: unknown;
}

export interface Judged {
  readonly events: readonly KvChangeEvent[];
  /** All that was ever committed, selected, and of the right type, in the one order. */
  readonly wanted: readonly Wanted[];
  /** All that was ever committed and selected. */
  readonly selected: readonly Wanted[];
  /** Where the feed begins; `"initial"`: with the state; `"earliest"`: somewhere up to the horizon. */
  readonly start: string;
  /** Changes up to it were trimmed at some time. */
  readonly horizon: string;
  readonly maySkip: boolean;
  /** It has ended by itself: the rest is not expected. */
  readonly hasEnded: boolean;
}

export function nameOf(key: readonly unknown[]): string {
  return JSON.stringify(key);
}

/** Says what is wrong with a feed in the one order; `undefined` when nothing is. */
export function judge(judged: Judged): string | undefined {
  const walk = new Walk(judged);
  for (const [index, event] of judged.events.entries()) {
    const fault = walk.see(event);
    if (fault !== undefined) return `event ${index}: ${fault}`;
  }
  return walk.end();
}

/** Says what is wrong with a feed in each shard's order. */
export function judgeByShard({ events, wanted, start, hasEnded }: Judged): string | undefined {
  const changes = events.filter(isChange);
  const handed = new Set<string>();
  for (const shard of new Set(wanted.map((change) => change.shard))) {
    const ofShard = wanted.filter((change) => change.shard === shard && change.position > start);
    const names = new Set(ofShard.map(({ name }) => name));
    const seen = changes.filter((change) => names.has(nameOf(change.key)));
    const expected = ofShard.map((change) => `${change.versionstamp} ${change.name}`);
    const found = seen.map((change) => `${change.versionstamp} ${nameOf(change.key)}`);
    for (const [index, text] of found.entries())
      if (text !== expected[index]) return `shard ${shard}: ${text} in place of ${expected[index]}`;
    if (!hasEnded && found.length < expected.length)
      return `shard ${shard}: ${found.length} of ${expected.length}`;
  }
  // Continuing from any position that was shown loses nothing: all up to it came before.
  for (const event of events) {
    if (isChange(event)) handed.add(`${event.versionstamp} ${nameOf(event.key)}`);
    const lost = wanted.find(
      ({ position, versionstamp, name }) =>
        position > start && position <= event.position && !handed.has(`${versionstamp} ${name}`),
    );
    if (lost !== undefined) return `position ${event.position} passes over ${lost.position}`;
  }
  return undefined;
}

class Walk {
  readonly #judged: Judged;
  /** Everything up to it was accounted for. */
  #line: string;
  /** The state that is being handed over; `undefined` when none is. */
  #state: Map<string, KvChange> | undefined;
  /** The start is not known exactly: it may be anywhere up to the horizon. */
  #isLoose: boolean;
  readonly #newest = new Map<string, string>();

  constructor(judged: Judged) {
    this.#judged = judged;
    const isInitial = judged.start === "initial";
    this.#isLoose = judged.start === "earliest";
    this.#line = isInitial || this.#isLoose ? "" : judged.start;
    if (isInitial) this.#state = new Map();
  }

  see(event: KvChangeEvent): string | undefined {
    if (event.type === "lagged") return event.count === null ? this.#resync(event) : this.#lose(event);
    if (event.type === "progress") return this.#progress(event.position);
    if ("initial" in event) return this.#initial(event);
    return this.#change(event);
  }

  end(): string | undefined {
    const { start, hasEnded, maySkip } = this.#judged;
    if (hasEnded || this.#state !== undefined) return undefined;
    if (maySkip) {
      const lost = this.#rest().find(
        (change) =>
          this.#newest.get(change.name) !== change.position &&
          this.#isNewest(change.name, change.position) &&
          !(start === "earliest" && this.#isTrimmed(change)),
      );
      return lost && `the newest change of ${lost.name}, ${lost.position}, did not come`;
    }
    const rest = this.#rest();
    if (rest.length === 0 || (this.#isLoose && rest.every((change) => this.#isTrimmed(change))))
      return undefined;
    return `${rest.length} changes did not come, the first at ${rest[0]!.position}`;
  }

  #change(change: KvChange): string | undefined {
    if (this.#state !== undefined) return `change ${change.position} in the midst of the state`;
    const rest = this.#rest();
    const index = rest.findIndex(({ position }) => position === change.position);
    if (index < 0) return `change ${change.position} came twice, or was never committed, or is not wanted`;
    const skipped = rest.slice(0, index);
    const isNewerWaiting = ({ name }: Wanted): boolean =>
      rest.some((later) => later.name === name && later.position >= change.position);
    const isAllowed = skipped.every(
      (each) => (this.#judged.maySkip && isNewerWaiting(each)) || (this.#isLoose && this.#isTrimmed(each)),
    );
    if (!isAllowed) return `${skipped.length} changes are missing before ${change.position}`;
    const expected = rest[index]!;
    if (
      expected.name !== nameOf(change.key) ||
      expected.type !== change.type ||
      expected.value !== change.value
    )
      return `change ${change.position} is not the one that was committed`;
    this.#isLoose = false;
    this.#line = change.position;
    this.#newest.set(expected.name, change.position);
    return undefined;
  }

  #progress(position: string): string | undefined {
    if (this.#state !== undefined) return this.#endState(position);
    if (position < this.#line) return `progress ${position} is behind ${this.#line}`;
    const passed = this.#rest().filter((change) => change.position <= position);
    const isAllowed =
      passed.length === 0 ||
      this.#judged.maySkip ||
      (this.#isLoose && passed.every((each) => this.#isTrimmed(each)));
    if (!isAllowed) return `progress ${position} has overtaken ${passed[0]!.position}`;
    if (!this.#judged.maySkip) this.#line = position;
    return undefined;
  }

  /** Drops are told exactly. */
  #lose({ count, from, to, position }: KvLaggedEvent): string | undefined {
    const rest = this.#rest();
    const first = this.#isLoose ? rest.findIndex(({ versionstamp }) => versionstamp === from) : 0;
    if (!rest.slice(0, first).every((each) => this.#isTrimmed(each)))
      return `changes are missing before ${from}`;
    const lost = rest.slice(first, first + count!);
    this.#isLoose = false;
    if (lost.length !== count) return `${count} were lost, of ${lost.length} that were left`;
    if (lost[0]!.versionstamp !== from || lost.at(-1)!.versionstamp !== to)
      return `lost ${from} to ${to}, but it is ${lost[0]!.versionstamp} to ${lost.at(-1)!.versionstamp}`;
    this.#line = position;
    return this.#rest()[0]?.versionstamp === to ? `half of commit ${to} was lost` : undefined;
  }

  #resync({ to, from }: KvLaggedEvent): string | undefined {
    if (to < from) return `resync from ${from} to ${to}`;
    if (this.#judged.horizon <= `${from}ffff` && !this.#isLoose) return "resync, and nothing was trimmed";
    this.#state = new Map();
    return undefined;
  }

  #initial(change: KvChange): string | undefined {
    if (this.#state === undefined) return "a part of the state, where none was due";
    if (this.#state.has(nameOf(change.key))) return `${nameOf(change.key)} is twice in the state`;
    this.#state.set(nameOf(change.key), change);
    return undefined;
  }

  #endState(position: string): string | undefined {
    const expected = new Map<string, Wanted>();
    for (const change of this.#judged.selected) {
      if (change.position > position) break;
      if (change.type === "delete") expected.delete(change.name);
      else expected.set(change.name, change);
    }
    const found = this.#state!;
    for (const [name, { versionstamp, value }] of expected) {
      const change = found.get(name);
      if (change?.versionstamp !== versionstamp || change.value !== value)
        return `the state at ${position} has ${change?.versionstamp} of ${name}, not ${versionstamp}`;
    }
    if (found.size !== expected.size) return `the state at ${position} has what was deleted`;
    this.#state = undefined;
    this.#isLoose = false;
    this.#line = position;
    return undefined;
  }

  #rest(): readonly Wanted[] {
    return this.#judged.wanted.filter(({ position }) => position > this.#line);
  }

  #isTrimmed({ versionstamp }: Wanted): boolean {
    return `${versionstamp}ffff` <= this.#judged.horizon;
  }

  #isNewest(name: string, position: string): boolean {
    return !this.#judged.wanted.some((change) => change.name === name && change.position > position);
  }
}

function isChange(event: KvChangeEvent): event is KvChange {
  return event.type !== "progress" && event.type !== "lagged";
}
