/** Queues over the threads of a process: they compete, and what a thread that ends was handling goes to another. */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import type { Kv } from "../../src/index.js";
import { until } from "./queue-waiting.js";
import { tempKv, tempPath } from "./temp-store.js";

/** A listening thread, and what it has posted. */
async function listen(kv: Kv): Promise<{ readonly thread: Worker; readonly posted: unknown[] }> {
  const handle = kv.share();
  const thread = new Worker(new URL("queue-thread.js", import.meta.url), {
    workerData: handle,
    transferList: [...handle.transfer],
  });
  const posted: unknown[] = [];
  thread.on("message", (value) => posted.push(value));
  onTestFinished(async () => {
    await thread.terminate();
  });
  await until("the thread listens", () => posted.includes("ready"));
  posted.length = 0;
  return { thread, posted };
}

test("the listeners of all threads share the messages, each is handled once", async () => {
  const kv = await tempKv(undefined, { shards: 2 });
  const threads = await Promise.all([listen(kv), listen(kv)]);
  const own: unknown[] = [];
  void kv.listenQueue((value) => own.push(value), { concurrency: 50 });
  await Promise.all(Array.from({ length: 900 }, (_, n) => kv.enqueue(n)));
  const lists = () => [own, ...threads.map(({ posted }) => posted)];
  await until("all are handled", () => lists().reduce((sum, { length }) => sum + length, 0) >= 900);
  await sleep(20);
  expect(
    lists()
      .flat()
      .sort((a, b) => (a as number) - (b as number)),
  ).toEqual(Array.from({ length: 900 }, (_, n) => n));
  for (const { length } of lists()) expect(length).toBeGreaterThan(0);
});

test.each(["exit", "leave"])(
  "what a thread was handling when it ends (%s) is delivered to another, at once",
  async (way) => {
    const kv = await tempKv(undefined, { shards: 2 });
    const { thread, posted } = await listen(kv);
    let hasEnded = false;
    thread.on("exit", () => {
      hasEnded = true;
    });
    for (let n = 0; n < 4; n++) await kv.enqueue("never end");
    await kv.enqueue(way);
    await until("it has gone", () => hasEnded || posted.includes("ended"));
    const own: unknown[] = [];
    void kv.listenQueue((value) => own.push(value));
    await until("they come here", () => own.filter((value) => value === "never end").length === 4);
    await until("nothing is left", () => kv.queueStats().leased === 0);
    expect(own.filter((value) => value === "never end")).toHaveLength(4);
    expect(kv.queueStats()).toMatchObject({ ready: 0, dead: 0 });
  },
);

test("a thread that is killed in the middle of its work loses no message", async () => {
  const kv = await tempKv(undefined, { shards: 2 });
  const { thread, posted } = await listen(kv);
  const handled = new Set<unknown>();
  await Promise.all(Array.from({ length: 2000 }, (_, n) => kv.enqueue(n)));
  await until("some are handled", () => posted.length > 100);
  await thread.terminate();
  for (const value of posted) handled.add(value);
  void kv.listenQueue((value) => handled.add(value));
  await until("all are handled", () => handled.size === 2000);
  await until("nothing is left", () => kv.queueStats().leased + kv.queueStats().ready === 0);
});

test("a thread closed by the opening one ends its listening, and its messages come again at the reopening", async () => {
  const path = tempPath();
  const kv = await tempKv(path, { shards: 2 });
  const { posted } = await listen(kv);
  await kv.enqueue("never end");
  await until("it is begun", () => posted.length === 1);
  await kv.close();
  await until("the listening has ended", () => posted.includes("ended"));
  const again = await tempKv(path);
  const own: unknown[] = [];
  void again.listenQueue((value) => own.push(value));
  await until("it comes again", () => own.length === 1);
});
