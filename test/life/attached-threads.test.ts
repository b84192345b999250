/**
 * Other threads on one store: each is a full Kv, leaves without a trace, and may die without leaving.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { type Kv, KvError, openKv } from "../../src/index.js";
import { CALLERS_MAX } from "../../src/limits.js";

const SHARDS = 3;

async function open(): Promise<Kv> {
  const kv = await openKv(undefined, { shards: SHARDS });
  onTestFinished(() => kv[Symbol.asyncDispose]());
  return kv;
}

/** A thread that joins the store and does a task. It ends by itself. */
function join(kv: Kv, task: string): Worker {
  const handle = kv.share();
  return new Worker(new URL("attached-thread.js", import.meta.url), {
    workerData: { handle, task },
    transferList: [...handle.transfer],
  });
}

async function ended(worker: Worker): Promise<number> {
  const [code] = (await once(worker, "exit")) as [number];
  return code;
}

/** Room for as many threads as there can be, which is given back at once. */
async function hasRoomForAll(kv: Kv): Promise<boolean> {
  const handles = [];
  try {
    for (let count = 1; count < CALLERS_MAX; count++) handles.push(kv.share());
    return true;
  } catch (error) {
    if (error instanceof KvError && error.code === "KV_TOO_MANY_THREADS") return false;
    throw error;
  } finally {
    const closed = handles.map(({ ownerPort }) => once(ownerPort, "close"));
    for (const { ownerPort, shardPorts } of handles) {
      ownerPort.close();
      for (const port of shardPorts) port.close();
    }
    await Promise.all(closed);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not come to that");
}

test("a thread that has joined reads, writes, commits, lists, watches and follows", async () => {
  const kv = await open();
  await kv.set(["greeting"], "hello");
  await kv.set(["answer"], "yes");
  const feed = kv.changes<number>({ prefix: ["n"] });
  const worker = join(kv, "everything");
  const [said] = await once(worker, "message");
  const end = ended(worker);
  expect(said).toEqual({
    greeting: "hello",
    watched: "yes",
    isCommitted: true,
    isRefused: true,
    heard: [0, 1, 2],
    listed: [0, 1, 2],
  });
  const heard: unknown[] = [];
  for await (const { value } of feed) if (heard.push(value) === 3) break;
  expect(heard).toEqual([0, 1, 2]);
  expect(await end).toBe(0);
});

test("threads that leave give everything back, however many come one after the other", async () => {
  const kv = await open();
  for (let count = 0; count < 5; count++) expect(await ended(join(kv, "leave"))).toBe(0);
  await until(() => hasRoomForAll(kv));
  await kv.set(["after"], 1);
});

test("when the store is closed, the Kv of another thread closes by itself, behind all that it was to hear", async () => {
  const kv = await openKv(undefined, { shards: SHARDS });
  const worker = join(kv, "follow");
  const said: unknown[] = [];
  worker.on("message", (message) => said.push(message));
  await until(() => said.length === 1);
  for (let n = 0; n < 50; n++) await kv.set(["n", n], n);
  await until(() => said.length === 51);
  const end = ended(worker);
  await kv.close();
  expect(await end).toBe(0);
  expect(said).toEqual(["ready", ...Array.from({ length: 50 }, (_, n) => n), "ended"]);
});

test("a thread that dies with writes in flight leaves whole commits, and nothing that is held", async () => {
  const kv = await open();
  const feed = kv.changes({ prefix: [] });
  for (let death = 0; death < 3; death++) expect(await ended(join(kv, "die"))).toBe(7);
  await until(() => hasRoomForAll(kv));
  // All shards answer, alone and together.
  const last = await kv.atomic().set(["x", 1], "last").set(["y", 2], "last").set(["z", 3], "last").commit();
  expect(last.ok).toBe(true);
  const left: unknown[] = [];
  for await (const { value } of kv.list({ prefix: ["left"] })) left.push(value);
  const right: unknown[] = [];
  for await (const { value } of kv.list({ prefix: ["right"] })) right.push(value);
  expect(left.length).toBeGreaterThan(0);
  expect(left).toEqual(right);
  // What the dead had sent was heard by those who live: both halves, or neither.
  const heard = new Map<string, number>();
  for await (const { key, value, versionstamp } of feed) {
    if (value === "last") break;
    if (key[0] === "left" || key[0] === "right") heard.set(versionstamp, (heard.get(versionstamp) ?? 0) + 1);
  }
  expect(heard.size).toBeGreaterThanOrEqual(left.length);
  expect(new Set(heard.values())).toEqual(new Set([2]));
  for (const { state } of kv.stats().shards) expect(["running", "in-transaction"]).toContain(state);
});
