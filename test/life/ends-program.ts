/**
 * A program that uses a store and then ends in one of the ways in which programs end. The tests in ends.test.ts start it.
 *
 *   node ends-program.js <state> <end> <path | :memory:>
 *
 * It says `acked <key>` for each acknowledged write, and `ready` when it is in the state.
 */
import { writeSync } from "node:fs";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { type Kv, openKv } from "../../src/index.js";

export type EndState = "opening" | "opened" | "idle" | "writing" | "watching" | "listening" | "closing";
export type EndKind = "exit" | "throw" | "reject" | "natural" | "sigterm";

const SHARDS = 3;
const WRITERS = 16;
/** Writes of one writer in a program that ends by itself. */
const WRITES = 30;

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Writes over one shard and over all of them, and says what was acknowledged. */
async function write(kv: Kv, writer: number, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    let operation = kv.atomic();
    for (let place = 0; place < (n % 2 === 0 ? 1 : 6); place++)
      operation = operation.set([`w${place}`, writer, n], n);
    await operation.commit();
    say(`acked ${writer} ${n}`);
  }
}

function end(kind: EndKind): void {
  if (kind === "exit") process.exit(7);
  if (kind === "throw") throw new Error("thrown on purpose");
  if (kind === "reject") void Promise.reject(new Error("rejected on purpose"));
  if (kind === "sigterm") process.kill(process.pid, "SIGTERM");
}

async function run(state: EndState, kind: EndKind, path: string): Promise<void> {
  const opening = openKv(path, { shards: SHARDS });
  if (state === "opening") return finish(kind);
  const kv = await opening;
  say("open");
  // Its shards' threads are just coming up.
  if (state === "opened") return finish(kind);
  if (state === "writing") {
    for (let writer = 0; writer < WRITERS; writer++)
      // What is cut off by the end of a program is nobody's.
      write(kv, writer, kind === "natural" ? WRITES : Number.POSITIVE_INFINITY).catch(() => {});
    if (kind !== "natural") {
      // One of these is over all shards: then they run.
      await write(kv, WRITERS, 2);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  } else {
    await write(kv, 0, 4);
  }
  if (state === "watching") await watch(kv);
  if (state === "listening") await listen(kv);
  if (state === "closing") void kv.close();
  finish(kind);
}

async function watch(kv: Kv): Promise<void> {
  const reader = kv.watch([["w0", 0, 0]]).getReader();
  const feed = kv.changes({ prefix: [] });
  void (async () => {
    for await (const _ of feed);
  })();
  await reader.read();
  // Sent by the test: the program has no other reason to live on.
  process.on("SIGUSR2", () => {
    void reader.cancel();
    feed.close();
  });
}

/** Messages come all the time, and some are being handled. */
async function listen(kv: Kv): Promise<void> {
  const stop = new AbortController();
  const begun = new Promise((resolve) => {
    void kv.listenQueue(
      async () => {
        resolve(null);
        await new Promise((end) => setTimeout(end, 1));
        // What is cut off by the end of a program is nobody's.
        if (!stop.signal.aborted) kv.enqueue("again").catch(() => {});
      },
      { signal: stop.signal },
    );
  });
  for (let n = 0; n < 20; n++) await kv.enqueue(n);
  await begun;
  // Sent by the test: the program has no other reason to live on.
  process.on("SIGUSR2", () => stop.abort());
}

/** The end comes in a turn of its own, as from a program's other work. */
function finish(kind: EndKind): void {
  say("ready");
  setImmediate(() => end(kind));
}

/** The store belongs to a worker, which calls `process.exit`; then this thread opens it. */
async function runWorker(path: string): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { workerData: path });
  const code = await new Promise((resolve) => worker.on("exit", resolve));
  say(`worker ${code}`);
  const kv = await openKv(path, { shards: SHARDS });
  say(`reopened ${(await kv.get(["w0", 0, 0])).value}`);
}

const [state, kind, path] = process.argv.slice(2);
if (!isMainThread) await run("writing", "exit", workerData as string);
else if (state === "worker") await runWorker(path!);
else await run(state as EndState, kind as EndKind, path!);
