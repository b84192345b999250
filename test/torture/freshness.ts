/**
 * Threads read as fast as they can while a writer commits one transaction after the other. No read may see less than any read that had ended,
 * in whichever thread, before it began; nor less than what was acknowledged by then, nor what was not sent yet. It needs no clock: who has
 * read raises a word in shared memory, and who begins to read loads it first.
 *
 * It is here for a race inside of LMDB (src/router/fresh-snapshot.ts), which takes tens of millions of reads to be seen.
 */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { type Kv, openKv } from "../../src/index.js";
import { FRESHNESS_WORDS, FreshnessWord, keysOf, type ReaderData } from "./freshness-program.js";
import { BROKEN_MAX, Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const ROUND_MS = 20_000;
const THREADS = 3;

export const freshness: Torture = {
  name: "freshness",
  about: "threads read what a writer writes, and none may see less than another has seen",
  breaks: { "cached-read": "readers answer some reads with what they have seen last" },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const { random, seed, breakage } = context;
  const tried = { stores: 0, "acknowledged commits": 0, reads: 0 };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  for (let round = 0; (round === 0 || Date.now() < context.deadlineMs) && broken.length === 0; round++) {
    const shards = [1, 1, 2][random(3)]!;
    // With flushes a transaction that is about to be committed can be seen for the longest time.
    const durability = random(4) === 0 ? "relaxed" : "sync";
    await using kv = await openKv(join(context.directory, `store-${round}`), { shards, durability });
    const words = new Int32Array(new SharedArrayBuffer(FRESHNESS_WORDS * 4));
    const deadlineMs = Math.min(context.deadlineMs, Date.now() + ROUND_MS);
    await write(kv, shards, words);
    const readers = Array.from({ length: THREADS }, (_, index) =>
      startReader({ shards, words, seed: seed + round * THREADS + index, breakage }, kv),
    );
    const before = { ...tried };
    while (Date.now() < deadlineMs || Atomics.load(words, FreshnessWord.reads) === 0) {
      for (let count = 0; count < 32; count++) await write(kv, shards, words);
      tried["acknowledged commits"] = before["acknowledged commits"] + words[FreshnessWord.acknowledged]!;
      tried.reads = before.reads + Atomics.load(words, FreshnessWord.reads);
      ticker.tick(tried);
    }
    Atomics.store(words, FreshnessWord.stops, 1);
    for (const found of await Promise.all(readers))
      broken.push(
        ...found.map((sentence) => `store ${round} (${shards} shards, ${durability}): ${sentence}`),
      );
    tried.reads = before.reads + Atomics.load(words, FreshnessWord.reads);
    tried.stores++;
  }
  return { tried, broken: broken.slice(0, BROKEN_MAX) };
}

/** Writes the next number under one key of each shard, in one commit. */
async function write(kv: Kv, shards: number, words: Int32Array): Promise<void> {
  const next = words[FreshnessWord.acknowledged]! + 1;
  Atomics.store(words, FreshnessWord.sent, next);
  const operation = kv.atomic();
  for (const key of keysOf(shards)) operation.set(key, next);
  await operation.commit();
  Atomics.store(words, FreshnessWord.acknowledged, next);
}

/** Resolves with the sentences of what a reader saw. */
function startReader(data: Omit<ReaderData, "handle">, kv: Kv): Promise<readonly string[]> {
  const handle = kv.share();
  const worker = new Worker(new URL("freshness-program.js", import.meta.url), {
    workerData: { ...data, handle } satisfies ReaderData,
    transferList: [...handle.transfer],
  });
  return new Promise((resolve, reject) => {
    let found: readonly string[] = [];
    worker.on("message", (sentences: readonly string[]) => {
      found = sentences;
    });
    worker.on("error", reject);
    worker.on("exit", () => resolve(found));
  });
}
