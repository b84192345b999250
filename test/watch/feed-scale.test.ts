/**
 * Feeds in large numbers, and a feed that stands still while a great many changes go by.
 *
 * `BELFRY_SCALE=full` takes the full numbers: 100,000 feeds on keys and prefixes of their own, 10,000 on one key, 1,000,000 changes.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { type ChangeFeed, type Kv, openKv } from "../../src/index.js";
import { WATCHER_BUFFER_BYTES_MAX } from "../../src/limits.js";

const IS_FULL = process.env["BELFRY_SCALE"] === "full";
const FEEDS = IS_FULL ? 100_000 : 4_000;
const FEEDS_OF_ONE_KEY = IS_FULL ? 10_000 : 1_000;
const CHANGES = IS_FULL ? 1_000_000 : 30_000;
const CHANGES_PER_COMMIT = 1000;
const IN_FLIGHT = 8;
/** What the heap may grow by while the changes go by, besides the feed's buffer: the engine's own, and garbage. */
const HEAP_BYTES_MAX = 64 * 1024 * 1024;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2000 && !holds(); tries++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(holds()).toBe(true);
}

async function open(): Promise<Kv> {
  return openKv(undefined, { shards: 2, durability: "relaxed", history: { bytesMax: 1024 ** 3 } });
}

test(`${FEEDS} feeds on keys and prefixes of their own: each hears its own, and no other`, {
  timeout: 240_000,
}, async () => {
  await using kv = await open();
  const before = heapBytes();
  const feeds: ChangeFeed<number>[] = [];
  for (let n = 0; n < FEEDS; n++)
    feeds.push(kv.changes(n % 2 === 0 ? { key: ["watched", n] } : { prefix: ["watched", n] }));
  const bytesPerFeed = Math.round((heapBytes() - before) / FEEDS);
  console.log(`an idle feed takes ${bytesPerFeed} bytes`);
  const heard = new Map<number, number>();
  for (let n = 0; n < 500; n++) {
    const watcher = (n * 7919) % FEEDS;
    await kv.set(watcher % 2 === 0 ? ["watched", watcher] : ["watched", watcher, "below"], n);
    await kv.set(["nobody", n], n);
    heard.set(watcher, (heard.get(watcher) ?? 0) + 1);
  }
  const buffered = () => feeds.reduce((sum, feed) => sum + feed.stats().bufferedChanges, 0);
  await until(() => buffered() === 500);
  for (const [n, feed] of feeds.entries()) {
    if (feed.stats().bufferedChanges !== (heard.get(n) ?? 0)) expect.fail(`feed ${n} heard something else`);
  }
  const [first] = heard.keys();
  for await (const { key } of feeds[first!]!) {
    expect(key.slice(0, 2)).toEqual(["watched", first]);
    break;
  }
  for (const feed of feeds) feed.close();
  expect(kv.stats().feeds).toEqual([]);
});

test(`${FEEDS_OF_ONE_KEY} feeds on one key hear the same, in the same order`, {
  timeout: 120_000,
}, async () => {
  await using kv = await open();
  const feeds = Array.from({ length: FEEDS_OF_ONE_KEY }, () => kv.changes<number>({ key: ["one"] }));
  for (let n = 0; n < 5; n++) await kv.set(["one"], n);
  for (const feed of feeds) {
    const heard: number[] = [];
    for await (const { value } of feed) if (heard.push(value!) === 5) break;
    expect(heard).toEqual([0, 1, 2, 3, 4]);
  }
});

test(`a feed that stands still while ${CHANGES} changes go by keeps to its bounds, and then hears all of them`, {
  timeout: 240_000,
}, async () => {
  await using kv = await open();
  const before = heapBytes();
  const feed = kv.changes<number>({ prefix: [] });
  await writeAll(kv);
  await until(() => feed.state === "behind");
  const { bufferedBytes, lagChanges } = feed.stats();
  expect(bufferedBytes).toBeLessThanOrEqual(WATCHER_BUFFER_BYTES_MAX);
  const grown = heapBytes() - before;
  console.log(
    `${lagChanges} changes behind, ${bufferedBytes} bytes in the buffer, the heap grew by ${grown} bytes`,
  );
  expect(grown).toBeLessThan(WATCHER_BUFFER_BYTES_MAX + HEAP_BYTES_MAX);

  const seen = new Uint8Array(CHANGES);
  let last = "";
  let count = 0;
  for await (const { key, position } of feed) {
    if (position <= last) expect.fail(`${position} came after ${last}`);
    last = position;
    seen[(key[1] as number) * CHANGES_PER_COMMIT + (key[2] as number)]!++;
    if (++count === CHANGES) break;
  }
  expect(seen.every((times) => times === 1)).toBe(true);
  expect(heapBytes() - before).toBeLessThan(WATCHER_BUFFER_BYTES_MAX + HEAP_BYTES_MAX);
});

async function writeAll(kv: Kv): Promise<void> {
  let next = 0;
  const write = async (): Promise<void> => {
    while (next < CHANGES / CHANGES_PER_COMMIT) {
      const n = next++;
      const operation = kv.atomic();
      for (let place = 0; place < CHANGES_PER_COMMIT; place++) operation.set(["n", n, place], place);
      await operation.commit();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, write));
}
