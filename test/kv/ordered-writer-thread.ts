/** A thread that joins a store and writes numbers to one key after the other, each write when the one before is acknowledged. */
import { workerData } from "node:worker_threads";
import { attachKv, type KvHandle, type KvKey } from "../../src/index.js";

const { handle, keys, count } = workerData as { handle: KvHandle; keys: KvKey[]; count: number };
const kv = attachKv(handle);
for (let n = 1; n <= count; n++) {
  for (const key of keys) await kv.set(key, n);
}
await kv.close();
