/** Owns a look at, and a hand in, the queue's rows of a store that nobody has open. */
import { decodeMessage } from "../../src/codec/queue-message.js";
import { decodeValue } from "../../src/codec/value.js";
import { shardDirectory } from "../../src/store/manifest.js";
import { ShardStore } from "../../src/store/shard-store.js";

/** Lets the only message of a store with one shard look as if so many processes had ended while they handled it. */
export async function pretendInterrupted(path: string, interruptions: number): Promise<void> {
  const store = ShardStore.open(shardDirectory(path, 0), "relaxed");
  store.transaction(() => {
    const [row] = store.queue.firstWaiting("ready", 1);
    store.queue.putWaiting("ready", { ...row!, interruptions });
  });
  await store.flush();
  await store.close();
}

/** The values of the messages of a store that nobody has open, by their state. */
export async function queuedValues(path: string, shards: number): Promise<QueuedValues> {
  const found = { waiting: [] as unknown[], leased: [] as unknown[], dead: [] as unknown[] };
  for (let shard = 0; shard < shards; shard++) {
    const store = ShardStore.open(shardDirectory(path, shard), "relaxed");
    const { queue } = store;
    const contentOf = ({ id }: { readonly id: Uint8Array }) => {
      const { encoding, value } = decodeMessage(queue.message(id)!);
      return decodeValue(encoding, value);
    };
    const waiting = [...queue.firstWaiting("ready", ALL), ...queue.firstWaiting("delayed", ALL)];
    found.waiting.push(...waiting.map(contentOf));
    found.leased.push(...queue.leases().map(contentOf));
    found.dead.push(...queue.deadAfter(null, ALL).map(contentOf));
    await store.close();
  }
  return found;
}

/** Values of messages that wait, that somebody had when it ended, that are dead. */
export interface QueuedValues {
  readonly waiting: readonly unknown[];
  readonly leased: readonly unknown[];
  readonly dead: readonly unknown[];
}

const ALL = 1_000_000;
