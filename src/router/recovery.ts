/**
 * Owns what is found out when a store is opened: where the counter and the rounds go on, and which shards miss the last round.
 *
 * A round is either finished or the last one (shard/round-member.ts, invariant 4), and whoever has committed it holds all of it. So
 * the newest redo record of any shard is the only one that may have to be applied, to those of its participants that are behind it.
 */
import { readCounter } from "../codec/versionstamp.js";
import { COUNTERS_LEFT_OUT } from "../limits.js";
import { isLaterRound } from "../ring/round-ring.js";
import { decodeRedo } from "../shard/redo.js";
import type { ShardStore } from "../store/shard-store.js";

export interface Recovery {
  /** The counter value to go on after: above all that were ever given out. */
  readonly counter: number;
  /** The last round that any shard has committed. */
  readonly round: number;
  /** By shard: the redo record that it has to apply first, `null` where nothing is missing. */
  readonly redos: readonly (Uint8Array | null)[];
}

/**
 * @param isNew Whether nobody has opened the store before. Otherwise counter values may have been given out that the store does not know of: by
 * transactions that changed nothing, and by commits that a power cut has taken. Who keeps such a versionstamp or position must not find it below one
 * that is given out now, or he would pass over what it stands for.
 */
export function recover(stores: readonly ShardStore[], isNew: boolean): Recovery {
  const found = find(stores);
  return isNew ? found : { ...found, counter: found.counter + COUNTERS_LEFT_OUT };
}

function find(stores: readonly ShardStore[]): Recovery {
  let counter = 0;
  let round = 0;
  let newest: Uint8Array | null = null;
  for (const store of stores) {
    const last = store.lastVersionstamp();
    if (last !== undefined) counter = Math.max(counter, readCounter(last, 0));
    const redo = store.redo();
    if (redo === undefined || !isLaterRound(store.appliedRound(), round)) continue;
    round = store.appliedRound();
    newest = redo;
  }
  if (newest === null) return { counter, round, redos: stores.map(() => null) };
  const { participants, counter: roundCounter } = decodeRedo(newest);
  const redo = newest;
  const redos = stores.map((store, shard) => {
    const isBehind = ((participants >>> shard) & 1) === 1 && isLaterRound(round, store.appliedRound());
    return isBehind ? redo : null;
  });
  return { counter: Math.max(counter, roundCounter), round, redos };
}
