/**
 * Owns the world of the delivery models: shards, rounds and deaths whose steps a test takes in any order, one instruction at a time, and
 * the feeds and watches that must come to what the logs say.
 */
import fc from "fast-check";
import { expect } from "vitest";
import { encodeKey, type KvKey } from "../../src/codec/key.js";
import { openChangeFeed } from "../../src/watch/change-feed.js";
import type { ChangeSelector } from "../../src/watch/kv-change.js";
import { watchKeys } from "../../src/watch/level-watch.js";
import { type Batch, FakeEngine, type SeenChange, seenOf, turns, type Write } from "./fake-engine.js";

export const SHARDS = 3;

/** Where a shard stands within a batch or a round. */
type Phase = "idle" | "taken" | "logged" | "published";

interface ShardState {
  phase: Phase;
  batch: Batch | undefined;
  inRound: boolean;
}

export const SELECTORS: readonly {
  selector: ChangeSelector | ChangeSelector[];
  wants: (key: KvKey) => boolean;
}[] = [
  { selector: { prefix: [] }, wants: () => true },
  { selector: { prefix: ["k", 1] }, wants: (key) => key[1] === 1 },
  {
    selector: [{ key: ["k", 0, 0] }, { prefix: ["k", 2] }],
    wants: (key) => key[1] === 2 || (key[1] === 0 && key[2] === 0),
  },
  { selector: { key: ["nothing"] }, wants: () => false },
];

const WATCHED: KvKey[] = [
  ["k", 0, 0],
  ["k", 1, 1],
  ["k", 2, 0],
];

export class World {
  readonly engine: FakeEngine;
  readonly shards: ShardState[];
  readonly checks: (() => Promise<void>)[] = [];
  readonly permits: { count: number; wake: (() => void) | undefined }[] = [];
  readonly visible = new Map<string, number>();
  /** Steps that shards take in the midst of the dispatcher's. */
  readonly interleaved: (() => void)[] = [];
  #round: number | undefined;
  #serial = 0;

  constructor(ringBytes: number) {
    this.engine = new FakeEngine({ shardCount: SHARDS, ringBytes });
    this.engine.interleave = () => this.interleaved.shift()?.();
    this.engine.roundsSettled = async () => {
      while (this.#round !== undefined) await turns(1);
    };
    this.shards = Array.from({ length: SHARDS }, () => ({ phase: "idle", batch: undefined, inRound: false }));
  }

  /** One step of one shard's life. A shard in a round is let go by the round's last step. */
  step(shard: number, commitSizes: readonly number[], valueBytes: number): void {
    const state = this.shards[shard]!;
    const fake = this.engine.shards[shard]!;
    if (state.phase === "idle") {
      const counter = this.engine.control.takeCounter(shard);
      const commits = commitSizes.map((size) => this.#writes(shard, size, valueBytes));
      state.batch = this.engine.batch(shard, counter, commits, false);
      state.phase = "taken";
    } else if (state.phase === "taken") {
      fake.appendLog(state.batch!);
      if (!state.inRound) this.#show(state.batch!);
      state.phase = "logged";
    } else if (state.phase === "logged") {
      fake.publish(state.batch!);
      if (state.inRound) this.engine.control.clearInFlight(shard);
      state.phase = "published";
    } else if (!state.inRound) {
      this.engine.control.clearInFlight(shard);
      state.phase = "idle";
    }
    if (state.inRound) this.#finishRound();
  }

  /** At the next gap in the dispatcher's work the shard takes so many steps; a gap may be filled several times. */
  interleave(shard: number, times: number, sizes: readonly number[], valueBytes: number): void {
    this.interleaved.push(() => {
      for (let time = 0; time < times; time++) this.step(shard, sizes, valueBytes);
    });
  }

  /** Begins a round of `sizes.length` commits over the shards that are idle, if there are two of them and no round runs. */
  beginRound(sizes: readonly number[], valueBytes: number): void {
    const members = this.shards
      .map((_, shard) => shard)
      .filter((shard) => this.shards[shard]!.phase === "idle");
    if (this.#round !== undefined || members.length < 2) return;
    for (const shard of members) this.engine.control.announceInFlight(shard);
    this.#round = this.engine.control.takeRoundCounter(0);
    for (const [index, shard] of members.entries()) {
      const commits = sizes.map((size) =>
        this.#writes(shard, size, valueBytes).map((write, at) => ({
          ...write,
          place: at * members.length + index,
        })),
      );
      const batch = this.engine.batch(shard, this.#round, commits, true);
      this.shards[shard] = { phase: "taken", batch, inRound: true };
    }
  }

  /** The shard's thread dies where it stands, perhaps within a publication, and another takes over. */
  die(shard: number, isWithinPublish: boolean): void {
    const state = this.shards[shard]!;
    const fake = this.engine.shards[shard]!;
    // What a round has decided is redone from its redo record before anything else.
    if (state.inRound && state.phase === "taken") this.step(shard, [], 0);
    if (state.phase === "logged" && isWithinPublish) fake.publishHalf(state.batch!);
    fake.restart();
    if (!state.inRound) state.phase = "idle";
    else if (state.phase === "logged") state.phase = "published";
    if (state.inRound) this.#finishRound();
  }

  open(which: number, bufferCountMax: number, bufferBytesMax: number): void {
    const { selector, wants } = SELECTORS[which]!;
    const feed = openChangeFeed(this.engine.dispatcher, selector, { bufferCountMax, bufferBytesMax });
    const from = this.engine.counterSeen + 1;
    const permit = { count: 0, wake: undefined as (() => void) | undefined };
    this.permits.push(permit);
    const seen: SeenChange[] = [];
    const reading = (async () => {
      for await (const change of feed) {
        seen.push(seenOf(change));
        while (permit.count <= 0) await new Promise<void>((resolve) => (permit.wake = resolve));
        permit.count--;
      }
    })();
    this.checks.push(async () => {
      const expected = this.engine.expected(from, wants);
      await this.#settle(() => seen.length >= expected.length && feed.state === "live");
      expect(seen).toEqual(expected);
      expect(feed.state).toBe("live");
      feed.close();
      await reading;
    });
  }

  openWatch(): void {
    const encoded = WATCHED.map(encodeKey);
    const read = async () => {
      // As a cut does: what a shard has of a round is read when all have it.
      while (this.shards.some(({ inRound, phase }) => inRound && phase !== "taken")) await turns(1);
      const cut = WATCHED.map((key) => this.visible.get(JSON.stringify(key)) ?? null);
      await null;
      return cut;
    };
    const stream = watchKeys({
      dispatcher: this.engine.dispatcher,
      keys: encoded,
      read,
      versionstampOf: (serial) => (serial === null ? null : String(serial)),
    });
    const reader = stream.getReader();
    let latest: readonly (number | null)[] | undefined;
    const reading = (async () => {
      for (let item = await reader.read(); !item.done; item = await reader.read()) latest = item.value;
    })();
    this.checks.push(async () => {
      const last = await read();
      await this.#settle(() => JSON.stringify(latest) === JSON.stringify(last));
      expect(latest).toEqual(last);
      await reader.cancel();
      await reading;
    });
  }

  allow(feed: number, count: number): void {
    const permit = this.permits[feed % Math.max(1, this.permits.length)];
    if (permit === undefined) return;
    permit.count += count;
    permit.wake?.();
  }

  /** Ends what the shards have begun. */
  settleShards(): void {
    this.interleaved.length = 0;
    for (let times = 0; times < 4; times++) {
      for (let shard = 0; shard < SHARDS; shard++)
        if (this.shards[shard]!.phase !== "idle") this.step(shard, [1], 1);
    }
  }

  async finish(): Promise<void> {
    this.settleShards();
    this.permits.forEach((_, feed) => {
      this.allow(feed, Number.POSITIVE_INFINITY);
    });
    for (const check of this.checks) await check();
    expect(this.engine.dispatcher.state).toBe("idle");
  }

  #finishRound(): void {
    const members = this.shards.filter((state) => state.inRound);
    if (members.some((state) => state.phase !== "published")) return;
    for (const state of members) {
      this.#show(state.batch!);
      state.inRound = false;
      state.phase = "idle";
    }
    this.engine.control.clearRoundFloor();
    this.#round = undefined;
  }

  #show(batch: Batch): void {
    for (const { key, counter, order, place } of batch.seen) {
      this.visible.set(JSON.stringify(key), (counter * 1000 + order) * 1000 + place);
    }
  }

  #writes(shard: number, size: number, valueBytes: number): Write[] {
    return Array.from({ length: size }, (_, at) => {
      const serial = this.#serial++;
      // A shard has one change of a key in one commit; every seventh deletes.
      const value = serial % 7 === 6 ? undefined : `${serial}`.padEnd(at === 0 ? valueBytes : 1, ".");
      return { key: ["k", shard, at], value };
    });
  }

  async #settle(isSettled: () => boolean): Promise<void> {
    for (let times = 0; times < 300 && !isSettled(); times++) {
      this.engine.pollAll();
      await turns(1);
    }
    this.engine.pollAll();
    await turns(3);
  }
}

export const shard = fc.nat(SHARDS - 1);
export const sizes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
export const valueBytes = fc.oneof(
  { weight: 5, arbitrary: fc.nat(20) },
  { weight: 1, arbitrary: fc.constant(700) },
);
