/**
 * Owns whether one feed wants a record, or a key, that did not come through the dispatcher's matcher: from the log or from a snapshot.
 */
import { readLatin1 } from "../codec/byte-text.js";
import type { ChangeRecord, ChangeType } from "../codec/change-record.js";
import { hashPrefixes } from "../codec/key.js";
import { PREFIX_DEPTH_MAX } from "../limits.js";
import { type EncodedSelector, type MatchableRecord, Matcher, type MatcherSeat } from "./matcher.js";

/** The matcher has one watcher: who is visited does not matter. */
interface OnlySeat extends MatcherSeat<OnlySeat> {}

const hashes = new Uint32Array(PREFIX_DEPTH_MAX);

export class RecordFilter {
  readonly #matcher = new Matcher<OnlySeat>();
  readonly #types: ReadonlySet<ChangeType> | undefined;

  /** @param types `undefined`: all. */
  constructor(selectors: readonly EncodedSelector[], types: ReadonlySet<ChangeType> | undefined) {
    this.#matcher.add({ visit: 0, place: undefined }, selectors);
    this.#types = types;
  }

  wants(record: ChangeRecord): boolean {
    return (this.#types?.has(record.type) ?? true) && this.#matches(record);
  }

  /** Whether the selectors want the key. */
  wantsKey(key: Uint8Array): boolean {
    const hashCount = hashPrefixes(key, hashes);
    return this.#matches({
      key,
      hashCount,
      hash: (index) => hashes[index]!,
      hasKeyText: (text) => readLatin1(key, 0, key.length) === text,
    });
  }

  #matches(record: MatchableRecord): boolean {
    let isWanted = false;
    this.#matcher.match(record, () => {
      isWanted = true;
    });
    return isWanted;
  }
}
