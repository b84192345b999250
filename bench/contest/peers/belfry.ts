/**
 * Belfry itself, with any number of shards. Others are measured beside it.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type Kv, type KvHandle, type KvKey, openKv } from "../../../src/index.js";
import {
  type BenchKey,
  type Peer,
  type PeerMode,
  type PeerStore,
  reopenable,
  type Writers,
} from "../peer.js";
import { type DenoLikeKv, kvStore } from "./kv-store.js";

const MODES: readonly PeerMode[] = [
  { durability: "relaxed", kept: "relaxed", setting: 'durability: "relaxed"' },
  { durability: "sync", kept: "sync", setting: 'durability: "sync"' },
];

/** @param shards Default: as the store chooses. */
export function belfry(name = "belfry", shards?: number): Peer {
  return {
    name,
    modes: MODES,
    find: async () => ({ version: version() }),
    open: async (directory, { durability }) => {
      const options = shards === undefined ? { durability } : { durability, shards };
      return reopenable(async () => belfryStore(await openKv(join(directory, "store"), options)));
    },
  };
}

/** An open store, or one that another thread has opened. */
export function belfryStore(kv: Kv): PeerStore {
  return {
    ...kvStore(kv as unknown as DenoLikeKv),
    getSync: (key) => kv.getSync(key).value,
    increment: (key) => increment(kv, key),
    watch: (key, heard) => follow(kv, key, heard),
    followUnread: () => kv.changes({ prefix: [] }),
    writers: (threads, inFlight) => startWriters(kv, threads, inFlight),
    close: () => kv.close(),
  };
}

async function increment(kv: Kv, key: KvKey): Promise<void> {
  for (;;) {
    const entry = kv.getSync<number>(key);
    const result = await kv
      .atomic()
      .check(entry)
      .set(key, (entry.value ?? 0) + 1)
      .commit();
    if (result.ok) return;
  }
}

function follow(kv: Kv, key: BenchKey, heard: (value: unknown) => void): () => unknown {
  const feed = kv.changes({ key });
  const run = (async () => {
    for await (const change of feed) heard("value" in change ? change.value : null);
  })();
  return async () => {
    feed.close();
    await run;
  };
}

async function startWriters(kv: Kv, threads: number, inFlight: number): Promise<Writers> {
  const workers = Array.from({ length: threads }, () => {
    const handle = kv.share();
    return new Worker(fileURLToPath(new URL("../writer-thread.js", import.meta.url)), {
      workerData: { handle, inFlight } satisfies WriterData,
      transferList: [...handle.transfer],
    });
  });
  await Promise.all(workers.map((worker) => once(worker, "message")));
  return {
    write: async (seconds) => {
      const counts = workers.map((worker) => once(worker, "message"));
      for (const worker of workers) worker.postMessage(seconds);
      return (await Promise.all(counts)).reduce((sum, [count]) => sum + (count as number), 0);
    },
    end: async () => {
      const ends = workers.map((worker) => once(worker, "exit"));
      for (const worker of workers) worker.postMessage(null);
      await Promise.all(ends);
    },
  };
}

/** What a writer's thread begins with. */
export interface WriterData {
  readonly handle: KvHandle;
  readonly inFlight: number;
}

function version(): string {
  const file = new URL("../../../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
