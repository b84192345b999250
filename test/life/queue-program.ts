/**
 * A program that enqueues and handles messages as fast as it can until it is killed. The tests in queue-crash.test.ts start it.
 *
 *   node queue-program.js <path> <number of the first message> <durability>
 *
 * It says `enqueued <n>` for each message whose enqueue was acknowledged, `began <n>` before and `handled <n>` after each handling, and
 * `copied <n>` for a message that it found twice in this life. Each line is written before the next step is taken.
 */
import { writeSync } from "node:fs";
import { type Durability, openKv } from "../../src/index.js";

const SHARDS = 3;
const PRODUCERS = 12;
/** Messages that wait: beyond it producers pause, so that most are handled in the life that they are made in. */
const WAITING_MAX = 200;

const [path, first, durability] = process.argv.slice(2);
const kv = await openKv(path!, { shards: SHARDS, durability: durability as Durability });
let next = Number(first);
const failedOnce = new Set<number>();
const ended = new Set<number>();

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

async function produce(): Promise<void> {
  for (;;) {
    const { ready, delayed } = kv.queueStats();
    if (ready + delayed > WAITING_MAX) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      continue;
    }
    const n = next++;
    const options = { delay: n % 3 === 0 ? n % 20 : 0, backoffSchedule: n % 5 === 0 ? [1] : [] };
    // Alone, with a key of one shard, and with keys of several.
    if (n % 4 === 0) {
      const commit = kv.atomic().set(["a", n], n).set(["b", n], n).set(["c", n], n);
      await commit.enqueue(n, options).commit();
    } else if (n % 4 === 1) await kv.atomic().set(["a", n], n).enqueue(n, options).commit();
    else await kv.enqueue(n, options);
    say(`enqueued ${n}`);
  }
}

async function handle(n: number): Promise<void> {
  if (ended.has(n)) say(`copied ${n}`);
  say(`began ${n}`);
  if (n % 2 === 0) await new Promise((resolve) => setTimeout(resolve, n % 7));
  if (n % 5 === 0 && !failedOnce.has(n)) {
    failedOnce.add(n);
    throw new Error("the first time it fails");
  }
  ended.add(n);
  say(`handled ${n}`);
}

for (let listener = 0; listener < 2; listener++) {
  void kv.listenQueue(handle, { concurrency: 20, onError: () => {} });
}
await Promise.all(Array.from({ length: PRODUCERS }, produce));
