/**
 * Asks for more than the store can do: more commits at once than the disk takes, values of the largest size, watchers that are slower than
 * the writers, feeds opened and closed by the thousand. Held: memory stays below a bound, each call is answered, with its result or an error
 * that says why not, a feed that lags misses nothing, and when it is over everything is let go.
 */
import { join } from "node:path";
import { type Kv, KvOverloadedError, openKv } from "../../src/index.js";
import { CALLER_BACKLOG_BYTES_MAX, VALUE_BYTES_MAX } from "../../src/limits.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const IN_FLIGHT = 10_000;
const FEEDS = 2000;
/** A run of at least this many seconds opens and closes so many in each round. */
const MANY_FEEDS = 100_000;
const MANY_SECONDS_MIN = 60;
const FEEDS_AT_ONCE = 2000;
const LARGE = 6;
/** A run that is shorter than this many seconds makes a fifth of everything. */
const FULL_SECONDS_MIN = 1;
const MIB = 2 ** 20;
/** The backlog's own bound, what a few of the largest values take on their way, and what Node holds of it until it collects. */
const RSS_MIB_MAX = (2 * CALLER_BACKLOG_BYTES_MAX) / MIB + 1200;

export const overload: Torture = {
  name: "overload",
  about:
    "10,000 commits in flight, values of 16 MiB, watchers slower than writers, feeds opened and closed by the thousand",
  breaks: {
    "lost-change": "one change that a slow feed has heard is forgotten",
  },
  run,
};

interface Counts {
  commits: number;
  "refused as overloaded": number;
  "large values": number;
  "feeds opened and closed": number;
  "changes heard late": number;
  [what: string]: number;
}

async function run(context: TortureContext): Promise<TortureResult> {
  const tried: Counts = {
    commits: 0,
    "refused as overloaded": 0,
    "large values": 0,
    "feeds opened and closed": 0,
    "changes heard late": 0,
  };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  let rssMibMax = 0;
  const watch = setInterval(() => {
    rssMibMax = Math.max(rssMibMax, process.memoryUsage().rss / MIB);
  }, 50);
  const share = context.seconds < FULL_SECONDS_MIN ? 0.2 : 1;
  for (let round = 0; (round === 0 || Date.now() < context.deadlineMs) && broken.length === 0; round++) {
    const path = join(context.directory, `store-${round}`);
    const kv = await openKv(path, { shards: 2, durability: round % 2 === 0 ? "relaxed" : "sync" });
    broken.push(...(await slowFeed(kv, tried, IN_FLIGHT * share, context.breakage)));
    broken.push(...(await manyFeeds(kv, tried, context.seconds < MANY_SECONDS_MIN ? FEEDS : MANY_FEEDS)));
    broken.push(...(await largeValues(kv, tried, Math.ceil(LARGE * share))));
    if (share === 1) await flood(kv, tried);
    if (kv.stats().pendingCommits !== 0)
      broken.push(`${kv.stats().pendingCommits} commits are pending after all were answered`);
    await kv.close();
    ticker.tick(tried);
  }
  clearInterval(watch);
  if (rssMibMax > RSS_MIB_MAX)
    broken.push(`the process took ${Math.round(rssMibMax)} MiB, the bound is ${RSS_MIB_MAX}`);
  return { tried, seen: { "largest memory (MiB)": rssMibMax, "bound of it (MiB)": RSS_MIB_MAX }, broken };
}

/** A consumer that stands still while thousands of changes are made must hear each of them afterwards, in order. */
async function slowFeed(kv: Kv, tried: Counts, count: number, breakage: string | null): Promise<string[]> {
  const feed = kv.changes<number>({ prefix: ["slow"] }, { bufferCountMax: 16 });
  await Promise.all(Array.from({ length: count }, (_, n) => kv.set(["slow", n], n)));
  tried.commits += count;
  const heard = new Set<number>();
  let last = "";
  let isOrdered = true;
  for await (const { value, versionstamp } of feed) {
    heard.add(value!);
    isOrdered &&= versionstamp >= last;
    last = versionstamp;
    if (heard.size === count) break;
  }
  if (breakage === "lost-change") heard.delete(7);
  tried["changes heard late"] += heard.size;
  const broken = heard.size === count ? [] : [`a slow feed heard ${heard.size} of ${count} changes`];
  return isOrdered ? broken : [...broken, "a slow feed heard changes out of order"];
}

async function manyFeeds(kv: Kv, tried: Counts, count: number): Promise<string[]> {
  const before = process.getActiveResourcesInfo().length;
  const atOnce = Math.min(FEEDS_AT_ONCE, count / 10);
  for (let batch = 0; batch < count / atOnce; batch++) {
    const feeds = Array.from({ length: atOnce }, (_, n) => kv.changes({ key: ["feed", n] }));
    await kv.set(["feed", batch], batch);
    for (const feed of feeds) feed.close();
  }
  tried["feeds opened and closed"] += count;
  const left = process.getActiveResourcesInfo().length - before;
  return left > 50 ? [`${count} feeds have left ${left} timers and handles behind`] : [];
}

async function largeValues(kv: Kv, tried: Counts, count: number): Promise<string[]> {
  const broken: string[] = [];
  const value = new Uint8Array(VALUE_BYTES_MAX);
  const answers = await Promise.allSettled(
    Array.from({ length: count }, (_, n) => kv.set(["large", n], value.fill(n + 1))),
  );
  for (const [n, answer] of answers.entries()) {
    tried["large values"]++;
    if (answer.status === "rejected") broken.push(`a value of 16 MiB was refused: ${String(answer.reason)}`);
    else {
      const found = (await kv.get<Uint8Array>(["large", n])).value!;
      if (found.length !== VALUE_BYTES_MAX || found[0] !== n + 1 || found.at(-1) !== n + 1)
        broken.push(`a value of 16 MiB came back as ${found.length} bytes of ${found[0]}`);
    }
    await kv.delete(["large", n]);
  }
  return broken;
}

/** More than the backlog takes: what does not fit is refused at once, and all the others are made. */
async function flood(kv: Kv, tried: Counts): Promise<void> {
  const value = new Uint8Array(100_000);
  const answers = await Promise.allSettled(
    Array.from({ length: 4000 }, (_, n) => kv.set(["flood", n % 100], value)),
  );
  for (const answer of answers) {
    if (answer.status === "fulfilled") tried.commits++;
    else if (answer.reason instanceof KvOverloadedError) tried["refused as overloaded"]++;
    else throw answer.reason;
  }
}
