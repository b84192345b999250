/**
 * Owns the adapter of every store that has Deno KV's interface: Belfry, Deno, @deno/kv, Valkeyrie. No import of any of them.
 */
import type { BenchKey, PeerStore } from "../peer.js";

interface Entry {
  readonly key: BenchKey;
  readonly value: unknown;
  readonly versionstamp: string | null;
}

interface Atomic {
  check(entry: { key: BenchKey; versionstamp: string | null }): Atomic;
  set(key: BenchKey, value: unknown): Atomic;
  sum(key: BenchKey, operand: bigint): Atomic;
  commit(): Promise<{ ok: boolean }>;
}

/** What the adapter uses of Deno KV's interface. */
export interface DenoLikeKv {
  get(key: BenchKey): Promise<Entry>;
  set(key: BenchKey, value: unknown): Promise<unknown>;
  list(selector: { prefix: BenchKey }, options: { limit: number; batchSize: number }): AsyncIterable<Entry>;
  atomic(): Atomic;
  watch(keys: readonly BenchKey[]): ReadableStream<readonly Entry[]>;
  listenQueue(handler: (message: unknown) => void): Promise<void>;
  enqueue(message: unknown): Promise<unknown>;
  close(): unknown;
}

interface ReadableStream<T> {
  getReader(): { read(): Promise<{ done: boolean; value?: T | undefined }>; cancel(): Promise<void> };
}

const BATCH_SIZE = 1000;

export function kvStore(kv: DenoLikeKv): PeerStore {
  return {
    set: (key, value) => kv.set(key, value),
    setAll: (entries) => {
      const operation = kv.atomic();
      for (const [key, value] of entries) operation.set(key, value);
      return operation.commit();
    },
    get: async (key) => (await kv.get(key)).value,
    list: async (prefix, limit) => {
      let count = 0;
      for await (const _ of kv.list({ prefix }, { limit, batchSize: Math.min(limit, BATCH_SIZE) })) count++;
      return count;
    },
    sum: (key, operand) => kv.atomic().sum(key, BigInt(operand)).commit(),
    increment: (key) => increment(kv, key),
    watch: (key, heard) => watch(kv, key, heard),
    listen: (handle) => {
      // It resolves when the store is closed.
      kv.listenQueue(handle).catch(() => {});
    },
    enqueue: (message) => kv.enqueue(message),
    close: () => kv.close(),
  };
}

async function increment(kv: DenoLikeKv, key: BenchKey): Promise<void> {
  for (;;) {
    const { value, versionstamp } = await kv.get(key);
    const operation = kv.atomic().check({ key, versionstamp });
    const result = await operation.set(key, ((value as number | null) ?? 0) + 1).commit();
    if (result.ok) return;
  }
}

/** The stream begins with the present state; from then on it is followed. */
async function watch(kv: DenoLikeKv, key: BenchKey, heard: (value: unknown) => void): Promise<() => unknown> {
  const reader = kv.watch([key]).getReader();
  await reader.read();
  const follow = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard(value![0]!.value);
    }
  };
  // A store that is closed ends its streams, some with an error; nothing is measured any more then.
  follow().catch(() => {});
  return () => reader.cancel();
}
