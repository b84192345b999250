/** Owns a hand in the queue's rows of a store that nobody has open. */
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
