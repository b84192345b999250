/**
 * A program that writes, and handles each change that it hears together with its position, until it is killed. feed-crash.test.ts starts it.
 *
 *   node feed-crash-program.js <path> <number of the first commit>
 *   node feed-crash-program.js <path> drain
 *
 * It says `begun` when it has handled a change. With `drain` it writes nothing, and ends when it has handled everything.
 */
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Kv, openKv } from "../../src/index.js";

const SHARDS = 3;
const WRITERS = 2;
/** Between two commits of a writer: about as fast as one consumer can handle changes one by one. */
const WRITE_PAUSE_MS = 4;
const BUFFER_COUNT_MAX = 16;
const PROGRESS_MS = 5;

const [path, first] = process.argv.slice(2);
const kv = await openKv(path!, { shards: SHARDS, durability: "relaxed" });
if (first !== "drain") void Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
await handleAll(kv, first === "drain" ? kv.history().newest : undefined);
await kv.close();

/** Commits of three changes, of one shard or of several. */
async function write(writer: number): Promise<void> {
  for (let n = Number(first) + writer; ; n += WRITERS) {
    const operation = kv.atomic();
    for (let part = 0; part < 3; part++) operation.set(["in", n % 2 === 0 ? n : `${n}-${part}`, n, part], n);
    await operation.commit();
    await sleep(WRITE_PAUSE_MS);
  }
}

/** Each change is handled in one commit with its position: so it is handled once, whatever happens in between. */
async function handleAll(store: Kv, through: string | undefined): Promise<void> {
  let place = await store.get<string>(["place"]);
  const options = { bufferCountMax: BUFFER_COUNT_MAX, progressMs: PROGRESS_MS };
  for await (const event of store.changes(
    { prefix: ["in"] },
    { ...options, since: place.value ?? "earliest" },
  )) {
    if (event.type === "progress" && through !== undefined && event.versionstamp >= through) return;
    if (event.type === "progress" || event.type === "lagged") continue;
    const [, , n, part] = event.key;
    const result = await store
      .atomic()
      .check(place)
      .sum(["handled", n!, part!], 1n)
      .set(["place"], event.position)
      .commit();
    if (!result.ok) throw new Error(`somebody else handles changes too, at ${event.position}`);
    place = { key: ["place"], value: event.position, versionstamp: result.versionstamp };
    writeSync(1, "begun\n");
  }
}
