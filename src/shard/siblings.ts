/**
 * Owns a shard's view of the other shards' stores: opened when a round is first decided here, and only read. Shard thread only.
 */
import type { Durability } from "../store/shard-store.js";
import { ShardStore } from "../store/shard-store.js";
import type { EntryReader } from "./commit-plan.js";
import { type DecidedRound, decodeRedo } from "./redo.js";

export class Siblings {
  readonly #stores: (ShardStore | undefined)[];
  readonly #shard: number;
  readonly #directories: readonly string[];
  readonly #durability: Durability;

  constructor(own: ShardStore, shard: number, directories: readonly string[], durability: Durability) {
    this.#stores = directories.map((_, index) => (index === shard ? own : undefined));
    this.#shard = shard;
    this.#directories = directories;
    this.#durability = durability;
  }

  /** Lets the next reads see what has been committed until now. */
  renew(): void {
    for (const store of this.#stores) store?.renew();
  }

  /** Reads of any shard; the bytes are borrowed until the next read. */
  readonly read: EntryReader = (shard, key) => this.#store(shard).readEntry(key);

  /** Who has the lease of a message of any shard. */
  readonly holderOf = (shard: number, id: Uint8Array): number | undefined =>
    this.#store(shard).queue.lease(id)?.holder;

  /** The redo record of `round` from another participant that has committed it; `null` when none has. */
  redoOf(round: number, participants: number): DecidedRound | null {
    this.renew();
    for (let shard = 0; shard < this.#stores.length; shard++) {
      if (shard === this.#shard || ((participants >>> shard) & 1) === 0) continue;
      const bytes = this.#store(shard).redo();
      const redo = bytes && decodeRedo(bytes);
      if (redo?.round === round) return redo;
    }
    return null;
  }

  /** Closes the stores that were opened here; the shard's own is its owner's. */
  async close(): Promise<void> {
    await Promise.all(
      this.#stores.map((store, index) => (index === this.#shard ? undefined : store?.close())),
    );
  }

  #store(shard: number): ShardStore {
    let store = this.#stores[shard];
    if (store === undefined) {
      store = ShardStore.open(this.#directories[shard]!, this.#durability);
      this.#stores[shard] = store;
    }
    return store;
  }
}
