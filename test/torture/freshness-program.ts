/**
 * One thread that reads: see freshness.ts.
 */
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { encodeKey, partitionOf } from "../../src/codec/key.js";
import { attachKv, type KvHandle } from "../../src/index.js";
import { PARTITION_DEPTH_DEFAULT } from "../../src/limits.js";
import { randomOf } from "../life/random.js";

/** What the threads share. */
export const FreshnessWord = {
  /** The newest number that was given to the store. */
  sent: 0,
  acknowledged: 1,
  /** The newest number that any read has seen. */
  seen: 2,
  reads: 3,
  stops: 4,
} as const;
export const FRESHNESS_WORDS = 5;

export interface ReaderData {
  readonly handle: KvHandle;
  readonly shards: number;
  readonly words: Int32Array;
  readonly seed: number;
  readonly breakage: string | null;
}

/** Reads between two turns of the event loop. */
const BURST = 512;
const SENTENCES_MAX = 5;

/** One key of each shard. */
export function keysOf(shards: number): readonly (readonly [string, number])[] {
  return Array.from({ length: shards }, (_, shard) => {
    for (let place = 0; ; place++) {
      const key = ["number", place] as const;
      if (partitionOf(encodeKey(key), PARTITION_DEPTH_DEFAULT, shards) === shard) return key;
    }
  });
}

async function read({ handle, shards, words, seed, breakage }: ReaderData): Promise<string[]> {
  await using kv = attachKv(handle);
  const keys = keysOf(shards);
  const random = randomOf(seed);
  const broken: string[] = [];
  let cached = 0;

  const check = (by: string, atLeast: number, numbers: readonly number[]): void => {
    const sent = Atomics.load(words, FreshnessWord.sent);
    const isCached = breakage === "cached-read" && cached > 0 && random(300) === 0;
    const seen = isCached ? [cached] : numbers;
    if (isCached || cached === 0) cached = numbers[0]!;
    const isRight = seen.every((number) => number === seen[0] && number >= atLeast && number <= sent);
    if (!isRight && broken.length < SENTENCES_MAX)
      broken.push(
        `${by} saw ${seen.join(" and ")}: ${atLeast} had been seen before, ${sent} was sent by then`,
      );
    raise(words, FreshnessWord.seen, Math.max(...numbers));
  };
  const atLeast = (): number =>
    Math.max(Atomics.load(words, FreshnessWord.seen), Atomics.load(words, FreshnessWord.acknowledged));

  while (Atomics.load(words, FreshnessWord.stops) === 0) {
    for (let count = 0; count < BURST; count++) {
      const floor = atLeast();
      check("getSync", floor, [numberOf(kv.getSync(keys[count % shards]!).value)]);
    }
    for (let count = 0; count < 32; count++) {
      const manyFloor = atLeast();
      check(
        "getMany",
        manyFloor,
        (await kv.getMany(keys)).map(({ value }) => numberOf(value)),
      );
      const snapshotFloor = atLeast();
      using snapshot = await kv.snapshot();
      const seen = snapshot.getMany(keys).map(({ value }) => numberOf(value));
      check("a snapshot", snapshotFloor, seen);
    }
    Atomics.add(words, FreshnessWord.reads, BURST + 64);
    await yieldToEventLoop();
  }
  return broken;
}

function numberOf(value: unknown): number {
  if (typeof value !== "number") throw new Error(`a number was written, and ${String(value)} was read`);
  return value;
}

function raise(words: Int32Array, word: number, to: number): void {
  for (;;) {
    const old = Atomics.load(words, word);
    if (old >= to || Atomics.compareExchange(words, word, old, to) === old) return;
  }
}

if (!isMainThread) parentPort!.postMessage(await read(workerData as ReaderData));
