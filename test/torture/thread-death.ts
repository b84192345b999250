/**
 * Lets shard threads die at random places of their loop, several at a time, and hang at them, under load, with a feed and watches that
 * follow; what they saw is held against the logs in the end.
 */
import { join } from "node:path";
import { KvShardStalledError } from "../../src/errors.js";
import { STALL_MS_MAX } from "../../src/limits.js";
import { FaultPoint } from "../../src/shard/faults.js";
import { FaultyStore } from "../life/faulty-store.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const POINTS = Object.values(FaultPoint);
/** Deaths of one shard in a minute that its supervisor forgives, less one. */
const DEATHS_MAX = 4;
/** A hang that the watchdog must notice costs more than its bound; only runs of this length have one. */
const HANG_SECONDS_MIN = 40;

export const threadDeath: Torture = {
  name: "thread-death",
  about:
    "shard threads throw at every point of their loop, or hang in a transaction, under load with feeds and watches",
  breaks: { "deaf-feed": "one change that the feed has heard is forgotten" },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const { random, breakage } = context;
  const tried = {
    stores: 0,
    "thread deaths": 0,
    "hanging transactions": 0,
    "acknowledged commits": 0,
    "changes heard": 0,
  };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  for (let round = 0; (round === 0 || Date.now() < context.deadlineMs) && broken.length === 0; round++) {
    const shards = [2, 3, 5][random(3)]!;
    const store = await FaultyStore.open({
      path: join(context.directory, `store-${round}`),
      shards,
      kind: "mixed",
      durability: random(2) === 0 ? "sync" : "relaxed",
      ...(random(3) === 0 && { bulkEvery: 40, bulkBytes: 1_200_000 }),
    });
    store.startLoad();
    await store.untilAcknowledged(50);
    const faults = Array.from({ length: shards * DEATHS_MAX }, (_, index) => index % shards);
    while (faults.length > 0 && (tried["thread deaths"] === 0 || Date.now() < context.deadlineMs)) {
      for (const shard of faults.splice(0, 1 + random(3))) {
        store.arm(shard, POINTS[random(POINTS.length)]!, 1 + random(4));
        tried["thread deaths"]++;
      }
      await store.untilAcknowledged(20 + random(60));
    }
    store.disarm();
    if (round % 8 === 7 && context.seconds >= HANG_SECONDS_MIN) {
      broken.push(...(await hang(store, random(shards))));
      tried["hanging transactions"]++;
    }
    await store.stopLoad();
    if (breakage === "deaf-feed") store.forgetHeard();
    broken.push(...(await store.finish()).map((sentence) => `store ${round}: ${sentence}`));
    tried.stores++;
    tried["acknowledged commits"] += store.acknowledgedCount;
    tried["changes heard"] += store.heard.length;
    ticker.tick(tried);
  }
  return { tried, broken };
}

/** A shard hangs in a transaction for longer than the watchdog's bound: its writes must fail fast, and go on when it wakes. */
async function hang(store: FaultyStore, shard: number): Promise<string[]> {
  const key = keyOfShard(store, shard);
  store.hang(shard, STALL_MS_MAX + 3000);
  const deadlineMs = Date.now() + STALL_MS_MAX + 2500;
  const hanging = store.kv.set(key, 1).catch((error: unknown) => error);
  let noticed = false;
  while (!noticed && Date.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const outcome = await Promise.race([store.kv.set(key, 2).catch((error: unknown) => error), afterMs(100)]);
    noticed = outcome instanceof KvShardStalledError;
  }
  await hanging;
  // The watchdog looks now and then: it takes back what it has said at its next look.
  while ((await store.kv.set(key, 3).catch((error: unknown) => error)) instanceof KvShardStalledError)
    await afterMs(100);
  await store.untilAcknowledged(5);
  return noticed ? [] : [`shard ${shard} hung for longer than ${STALL_MS_MAX} ms, and no write was told`];
}

function afterMs(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, ms, undefined));
}

function keyOfShard(store: FaultyStore, shard: number): readonly [string, number] {
  for (let place = 0; ; place++) {
    const key = ["probe", place] as const;
    if (store.shardOf(key) === shard) return key;
  }
}
