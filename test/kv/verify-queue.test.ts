/** verifyStore and the queue: a store with a message in each state, and everything that may be wrong with one, done to it on purpose. */
import { cpSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "lmdb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openKv, verifyStore } from "../../src/index.js";
import { PAGE_SIZE_BYTES } from "../../src/limits.js";
import { shardDirectory } from "../../src/store/manifest.js";
import type { QueueStore } from "../../src/store/queue-store.js";
import { SealedTable } from "../../src/store/sealed-table.js";
import { ShardStore } from "../../src/store/shard-store.js";
import type { Table } from "../../src/store/table.js";
import { onError, until } from "./queue-waiting.js";
import { tempPath } from "./temp-store.js";

const directory = realpathSync(mkdtempSync(join(tmpdir(), "belfry-test-")));
const whole = join(directory, "store");
beforeAll(() => fill(whole));
afterAll(() => rmSync(directory, { recursive: true }));

/** A store with one shard, and in its queue one message in each state. */
function filled(): string {
  const path = tempPath();
  cpSync(whole, path, { recursive: true });
  return path;
}

async function fill(path: string): Promise<void> {
  const kv = await openKv(path, { shards: 1 });
  await kv.enqueue("dead", { backoffSchedule: [], keysIfUndelivered: [["undelivered"]] });
  const handler = (value: unknown) => {
    if (value === "dead") throw new Error("never");
    return new Promise(() => {});
  };
  void kv.listenQueue(handler, { onError });
  await until("it is dead", () => kv.queueStats().dead === 1);
  await kv.enqueue("leased");
  await until("it is leased", () => kv.queueStats().leased === 1);
  await kv.close();
  const again = await openKv(path);
  // What was leased has come back; it is the one that is ready.
  await until("it is ready", () => again.queueStats().ready === 1);
  await again.enqueue("leased");
  await again.enqueue("delayed", { delay: 1e8 });
  await again.close();
  await change(path, (queue) => {
    const [, row] = queue.firstWaiting("ready", 2);
    queue.removeWaiting("ready", row!);
    queue.putLease({ ...row!, holder: 7 });
    const counts = queue.counts();
    queue.putCounts({ ...counts, ready: counts.ready - 1, leased: counts.leased + 1 });
  });
}

/** Changes the queue of a closed store, in one transaction. */
async function change(path: string, how: (queue: QueueStore) => void): Promise<void> {
  const store = ShardStore.open(shardDirectory(path, 0), "relaxed");
  try {
    store.transaction(() => how(store.queue));
  } finally {
    await store.close();
  }
}

/** Changes a row of a table as bytes: key and value as `how` makes them of the first row. Its checksum is right. */
async function changeRow(
  path: string,
  name: string,
  how: (key: Uint8Array, value: Uint8Array) => readonly [Uint8Array, Uint8Array],
): Promise<void> {
  const options = { encoding: "binary", keyEncoding: "binary" } as const;
  const environment = open({
    path: shardDirectory(path, 0),
    ...options,
    noSubdir: false,
    pageSize: PAGE_SIZE_BYTES,
    maxDbs: 16,
  });
  const table = new SealedTable(environment.openDB(name, options) as unknown as Table, name);
  environment.transactionSync(() => {
    const [first] = [...table.getRange({ start: Uint8Array.of(0), limit: 1 })];
    const key = Uint8Array.from(first!.key);
    const [newKey, newValue] = how(key, Uint8Array.from(first!.value));
    table.remove(key);
    table.put(newKey, newValue);
  });
  await environment.close();
}

async function problemsOf(path: string): Promise<string[]> {
  return (await verifyStore(path)).problems.map(({ what }) => what);
}

/** A copy with a due time (or another double) in it. */
function withDouble(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  new DataView(copy.buffer).setFloat64(at, value);
  return copy;
}

test("a queue with a message in each state is whole, and is counted", async () => {
  const path = filled();
  const { problems, shards } = await verifyStore(path);
  expect(problems).toEqual([]);
  expect(shards[0]!.messages).toBe(4);
});

test.each<[what: string, how: (queue: QueueStore) => void, expected: RegExp]>([
  [
    "a message in two states",
    (queue) => queue.putLease({ ...queue.firstWaiting("ready", 1)[0]!, holder: 1 }),
    /queue-leased: \w+ is in queue-ready as well/,
  ],
  [
    "a message twice in one state",
    (queue) => {
      const [row] = queue.firstWaiting("ready", 1);
      queue.putWaiting("ready", { ...row!, dueMs: row!.dueMs + 1 });
    },
    /queue-ready: \w+ is in queue-ready as well/,
  ],
  [
    "a state without its message",
    (queue) => queue.removeMessage(queue.firstWaiting("delayed", 1)[0]!.id),
    /queue-delayed: \w+ has no message/,
  ],
  [
    "a message in no state",
    (queue) => queue.removeLease(queue.leases()[0]!.id),
    /queue-messages: \w+ is in no state/,
  ],
  [
    "counts that are not those of the tables",
    (queue) => queue.putCounts({ ...queue.counts(), ready: 5 }),
    /meta: the queue is said to have 5 ready, it has 1/,
  ],
  [
    "a dead letter with other bytes than its message",
    (queue) => {
      const [row] = queue.deadAfter(null, 1);
      queue.putDead({ ...row!, bytes: row!.bytes + 1 });
      queue.putCounts({ ...queue.counts(), deadBytes: row!.bytes + 1 });
    },
    /queue-dead, row \w+: a dead letter says \d+ bytes, its message has \d+/,
  ],
  [
    "a holder that nobody can be",
    (queue) => queue.putLease({ ...queue.leases()[0]!, holder: 0.5 }),
    /queue-leased, row \w+: the holder 0.5/,
  ],
  [
    "a lease whose due time is none",
    (queue) => queue.putLease({ ...queue.leases()[0]!, dueMs: Number.NaN }),
    /queue-leased, row \w+: a due time is NaN ms/,
  ],
  [
    "a message that can't be read",
    (queue) => queue.putMessage(queue.leases()[0]!.id, Uint8Array.of(1, 5)),
    /queue-messages, row \w+: a queued message of 2 bytes ends early/,
  ],
  [
    "a message of a versionstamp that was never given out",
    (queue) => {
      const [row] = queue.firstWaiting("ready", 1);
      const id = new Uint8Array(12).fill(0x66);
      queue.putMessage(id, queue.message(row!.id)!);
      queue.removeMessage(row!.id);
      queue.removeWaiting("ready", row!);
      queue.putWaiting("ready", { ...row!, id });
    },
    /queue-messages: 666666666666666666666666 is above the last versionstamp/,
  ],
])("it names %s, and nothing else", async (_, how, expected) => {
  const path = filled();
  await change(path, how);
  const problems = await problemsOf(path);
  expect(problems[0]).toMatch(expected);
  // The counts don't agree either, where a row has come or gone.
  expect(problems.slice(1).filter((problem) => !problem.startsWith("meta: the queue is said"))).toEqual([]);
});

test.each<[name: string, how: Parameters<typeof changeRow>[2], expected: RegExp]>([
  [
    "queue-delayed",
    (key, value) => [withDouble(key, 0, Number.POSITIVE_INFINITY), value],
    /queue-delayed, row \w+: a due time is Infinity ms/,
  ],
  [
    "queue-ready",
    (key, value) => [withDouble(key, 0, -1), value],
    /queue-ready, row \w+: a due time is -1 ms/,
  ],
  [
    "queue-ready",
    (key, value) => [key.subarray(0, 19), value],
    /queue-ready, row \w+: a key is 19 bytes, not 20/,
  ],
  ["queue-delayed", (key) => [key, Uint8Array.of(1)], /queue-delayed, row \w+: a row is 1 bytes, not 2/],
  [
    "queue-messages",
    (key, value) => [key.subarray(0, 11), value],
    /queue-messages, row \w+: an id is 11 bytes, not 12/,
  ],
  [
    "queue-leased",
    (key, value) => [key, value.subarray(0, 17)],
    /queue-leased, row \w+: a row is 17 bytes, not 18/,
  ],
  ["queue-dead", (key) => [key, new Uint8Array(3)], /queue-dead, row \w+: a dead letter is 3 bytes/],
  [
    "queue-dead",
    (key, value) => [key, withDouble(value, 0, Number.NaN)],
    /queue-dead, row \w+: the time of its death is NaN ms/,
  ],
])("it names a malformed row of %s (%#)", async (name, how, expected) => {
  const path = filled();
  await changeRow(path, name, how);
  expect((await problemsOf(path)).filter((problem) => expected.test(problem))).toHaveLength(1);
});
