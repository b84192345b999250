/**
 * A thread that joins the store of the thread that started it. attached-threads.test.ts starts it, and says by `task` what it does.
 */
import { parentPort, workerData } from "node:worker_threads";
import { attachKv, type KvHandle } from "../../src/index.js";

const { handle, task, done } = workerData as {
  readonly handle: KvHandle;
  readonly task: string;
  /** For tasks whose starter stands still meanwhile. */
  readonly done?: Int32Array;
};
const kv = attachKv(handle);
const say = (message: unknown) => parentPort!.postMessage(message);

const TASKS: Readonly<Record<string, () => Promise<void>>> = {
  /** All that a Kv can do. */
  everything: async () => {
    const greeting = await kv.get(["greeting"]);
    const feed = kv.changes<number>({ prefix: ["n"] });
    const [entry] = await Promise.all([
      kv
        .watch<[string]>([["answer"]])
        .getReader()
        .read(),
      kv.set(["n", 0], 0),
    ]);
    const atomic = await kv.atomic().check(greeting).set(["n", 1], 1).set(["n", 2], 2).commit();
    const refused = await kv
      .atomic()
      .check({ key: ["n", 1], versionstamp: null })
      .set(["n", 9], 9)
      .commit();
    const heard: number[] = [];
    for await (const { value } of feed) if (heard.push(value!) === 3) break;
    const listed: unknown[] = [];
    for await (const { value } of kv.list({ prefix: ["n"] })) listed.push(value);
    say({
      greeting: greeting.value,
      watched: entry.value![0].value,
      isCommitted: atomic.ok,
      isRefused: !refused.ok,
      heard,
      listed,
    });
    await kv.close();
  },
  /** Writes, and wakes the thread that waits for it. */
  write: async () => {
    await kv.set(["guests"], "wrote");
    Atomics.store(done!, 0, 1);
    Atomics.notify(done!, 0);
    await kv.close();
  },
  leave: async () => {
    await kv.set(["guests"], 1);
    await kv.close();
  },
  /** Says what it hears, until the feed ends. */
  follow: async () => {
    const feed = kv.changes<number>({ prefix: ["n"] }, { previous: true });
    say("ready");
    for await (const { value } of feed) say(value);
    say("ended");
  },
  /** Ends without a word, with much in flight, a feed that stands still, and a snapshot. */
  die: async () => {
    kv.changes({ prefix: [] }, { bufferCountMax: 4, previous: true });
    await kv.snapshot();
    const writes = Array.from({ length: 500 }, (_, n) =>
      kv
        .atomic()
        .set(["left", n], n)
        .set(["right", n * 3], n)
        .commit(),
    );
    await Promise.race(writes);
    process.exit(7);
  },
};

await TASKS[task]!();
