/**
 * Owns consistent reads over several shards: a cut is one read snapshot of each, such that all of them were the newest at one and
 * the same moment, and none holds a part of a commit that another lacks. Runs on the caller's thread.
 *
 * How: hold a snapshot of every shard; then look again. If no shard has a newer versionstamp than its snapshot, then between the two
 * looks there was a moment at which all snapshots were the newest. If `finishedRound`, loaded before the first look, is not behind any
 * shard's `roundEntered`, loaded after the second, no snapshot has entered a round that was unfinished at the first look, so every
 * round that any of them holds was committed by all before. And no shard may have ended a transaction meanwhile: see fresh-snapshot.ts.
 * Otherwise: let go, and once more.
 *
 * Writers never wait for that, with one exception: after many tries the gate is closed, and shards pause before their next commit,
 * for a bounded time.
 */
import { compareVersionstampBytes } from "../codec/versionstamp.js";
import { KvError } from "../errors.js";
import { CUT_TRIES_MAX, ROUND_WAIT_MS_MAX } from "../limits.js";
import { type Control, ROUND_WORDS } from "../ring/control.js";
import { isLaterRound } from "../ring/round-ring.js";
import type { HeldSnapshot, ShardStore } from "../store/shard-store.js";

/** Snapshots of some shards, by shard. Whoever takes one calls `done`, and does not keep it longer than it must. */
export class Cut {
  readonly #snapshots: ReadonlyMap<number, HeldSnapshot>;
  #done = false;
  #onDone: (() => void) | null = null;

  constructor(snapshots: ReadonlyMap<number, HeldSnapshot>) {
    this.#snapshots = snapshots;
  }

  snapshot(shard: number): HeldSnapshot {
    const snapshot = this.#snapshots.get(shard);
    if (snapshot === undefined) throw new RangeError(`shard ${shard} is not part of this cut`);
    return snapshot;
  }

  /** Calls `listener` when it is let go. */
  whenDone(listener: () => void): void {
    this.#onDone = listener;
  }

  /** Lets go of the snapshots. Idempotent. */
  done(): void {
    if (this.#done) return;
    this.#done = true;
    for (const snapshot of this.#snapshots.values()) snapshot.done();
    this.#onDone?.();
  }
}

export class Cuts {
  readonly #control: Control;
  readonly #caller: number;
  readonly #stores: readonly ShardStore[];

  constructor(control: Control, caller: number, stores: readonly ShardStore[]) {
    this.#control = control;
    this.#caller = caller;
    this.#stores = stores;
  }

  /** A cut of these shards. Waits, off the event loop's back, for a round that is being committed. */
  async take(shards: readonly number[]): Promise<Cut> {
    for (let tries = 0; tries < CUT_TRIES_MAX; tries++) {
      const cut = this.#try(shards);
      if (cut !== null) return cut;
      await this.settled(shards);
    }
    return this.#takeGated(shards);
  }

  /** A cut of these shards now; blocks the thread for a round that is being committed. */
  takeSync(shards: readonly number[]): Cut {
    for (let tries = 0; tries < CUT_TRIES_MAX; tries++) {
      const cut = this.#try(shards);
      if (cut !== null) return cut;
      this.settledSync(shards);
    }
    return this.#takeGated(shards);
  }

  /** Whether the newest snapshot of a shard may hold a round that another participant has not committed. A shard alone is in no rounds. */
  isUnsettled(shard: number): boolean {
    return (
      this.#stores.length > 1 && isLaterRound(this.#control.roundEntered(shard), this.#control.finishedRound)
    );
  }

  /** Resolves when no round is unfinished in these shards. */
  async settled(shards: readonly number[]): Promise<void> {
    const deadlineMs = Date.now() + ROUND_WAIT_MS_MAX;
    while (shards.some((shard) => this.isUnsettled(shard))) {
      const finished = this.#control.finishedRound;
      if (!shards.some((shard) => isLaterRound(this.#control.roundEntered(shard), finished))) return;
      // A wait alone keeps no process alive, and the read is pending.
      const keepAlive = setTimeout(() => {}, ROUND_WAIT_MS_MAX);
      const wait = Atomics.waitAsync(this.#control.words, ROUND_WORDS.finished, finished, ROUND_WAIT_MS_MAX);
      if (wait.async) await wait.value;
      clearTimeout(keepAlive);
      if (Date.now() > deadlineMs) throw unfinished(finished);
    }
  }

  /** Returns when no round is unfinished in these shards. */
  settledSync(shards: readonly number[]): void {
    const deadlineMs = Date.now() + ROUND_WAIT_MS_MAX;
    while (shards.some((shard) => this.isUnsettled(shard))) {
      const finished = this.#control.finishedRound;
      if (!shards.some((shard) => isLaterRound(this.#control.roundEntered(shard), finished))) return;
      Atomics.wait(this.#control.words, ROUND_WORDS.finished, finished, ROUND_WAIT_MS_MAX);
      if (Date.now() > deadlineMs) throw unfinished(finished);
    }
  }

  /** With the gate closed, so that shards pause before their next commit. Blocks the thread, for milliseconds. */
  #takeGated(shards: readonly number[]): Cut {
    this.#control.closeCutGate(this.#caller);
    try {
      const deadlineMs = Date.now() + ROUND_WAIT_MS_MAX;
      for (;;) {
        const cut = this.#try(shards);
        if (cut !== null) return cut;
        this.settledSync(shards);
        if (Date.now() > deadlineMs) throw unfinished(this.#control.finishedRound);
      }
    } finally {
      this.#control.openCutGate(this.#caller);
    }
  }

  #try(shards: readonly number[]): Cut | null {
    const control = this.#control;
    const finished = control.finishedRound;
    const commits = shards.map((shard) => control.commits(shard));
    const snapshots = new Map<number, HeldSnapshot>();
    for (const shard of shards) snapshots.set(shard, this.#stores[shard]!.hold());
    const cut = new Cut(snapshots);
    const isNewest = shards.length === 1 || this.#allNewest(snapshots);
    const isStill = shards.every((shard, index) => control.commits(shard) === commits[index]);
    const holdsUnfinished = shards.some((shard) => isLaterRound(control.roundEntered(shard), finished));
    if (isNewest && isStill && !holdsUnfinished) return cut;
    cut.done();
    return null;
  }

  /** The second look. It comes after every snapshot is held. */
  #allNewest(snapshots: ReadonlyMap<number, HeldSnapshot>): boolean {
    for (const [shard, snapshot] of snapshots) {
      const store = this.#stores[shard]!;
      const held = store.lastVersionstamp(snapshot);
      store.renew();
      const newest = store.lastVersionstamp();
      if (held === undefined || newest === undefined) {
        if (held !== newest) return false;
      } else if (compareVersionstampBytes(held, 0, newest, 0) !== 0) return false;
    }
    return true;
  }
}

function unfinished(round: number): KvError {
  return new KvError(
    "KV_SHARD_FAILED",
    `a commit over several shards has not finished for ${ROUND_WAIT_MS_MAX} ms (the last finished round is ${round}): is a shard stuck?`,
  );
}
