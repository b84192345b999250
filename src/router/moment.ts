/**
 * Owns the taking of one moment of a store as its files have it: of each shard the newest state, pinned, such that all of them were the
 * newest at one and the same time and none has a half of a commit over several shards. For checkpoints and backups, which copy files
 * and read no entries. Runs on a caller's thread.
 *
 * How: pin the newest state of every shard, load `finishedRound`, read all metas, read them again, and look at every shard's
 * `roundEntered`. If no meta has moved between the two readings there was a moment at which all were the newest, and if none had entered a
 * round that was unfinished, no commit is half in them. Otherwise let go, and once more. A pin is never newer than the meta that is read
 * after it, and so protects its pages.
 */
import { CUT_TRIES_MAX } from "../limits.js";
import type { Control } from "../ring/control.js";
import { isLaterRound } from "../ring/round-ring.js";
import type { ShardState, StateReader } from "../store/checkpoint.js";
import type { HeldSnapshot, ShardStore } from "../store/shard-store.js";

/** The gate is held for no longer than this, in milliseconds: shards pause before their next commit meanwhile. */
const GATED_MS_MAX = 4;

/** The shards as they were at one time. Whoever takes it calls `letGo`. */
export interface Moment {
  readonly states: readonly ShardState[];
  /** Ends the pins: from then on the pages may be used for something else. */
  letGo(): void;
}

export interface MomentSource {
  readonly stores: readonly ShardStore[];
  readonly readers: readonly StateReader[];
  readonly control: Control;
  /** This thread's number, for the gate. */
  readonly caller: number;
}

/** The newest moment; `null` when the shards do not stand still for long enough: a little later they will. */
export function takeMoment(source: MomentSource): Moment | null {
  for (let tries = 0; tries < CUT_TRIES_MAX; tries++) {
    const moment = tryMoment(source);
    if (moment !== null) return moment;
  }
  source.control.closeCutGate(source.caller);
  try {
    const deadlineMs = Date.now() + GATED_MS_MAX;
    for (;;) {
      const moment = tryMoment(source);
      if (moment !== null || Date.now() > deadlineMs) return moment;
    }
  } finally {
    source.control.openCutGate(source.caller);
  }
}

/** Which states these are, to be compared. */
export function nameOfStates(states: readonly ShardState[]): string {
  return states.map(({ meta }) => Buffer.from(meta).toString("latin1")).join();
}

function tryMoment({ control, stores, readers }: MomentSource): Moment | null {
  const pins = stores.map((store) => store.hold());
  const letGo = (): void => release(pins);
  const finished = control.finishedRound;
  const states = readers.map((reader) => reader.read());
  const again = readers.map((reader) => reader.read());
  const isStill = nameOfStates(states) === nameOfStates(again);
  const holdsUnfinished = stores.some((_, shard) => isLaterRound(control.roundEntered(shard), finished));
  if (isStill && !holdsUnfinished) return { states, letGo };
  letGo();
  return null;
}

function release(pins: readonly HeldSnapshot[]): void {
  for (const pin of pins) pin.done();
}
