/** How much of what waits a shard takes into one transaction. */
import { MessageChannel } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { type CommitFields, KeyKind, MutationType } from "../../src/codec/commit-frame.js";
import { createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { createRoundMemory, RoundRing } from "../../src/ring/round-ring.js";
import { shardHolder } from "../../src/ring/sequencing-lock.js";
import { createCallerRings, ShardClient } from "../../src/router/shard-client.js";
import { CallerLinks } from "../../src/shard/caller-links.js";
import { Faults } from "../../src/shard/faults.js";
import { QueueBatch } from "../../src/shard/queue-batch.js";
import { ShardWriter } from "../../src/shard/shard-writer.js";
import { SingleCommits } from "../../src/shard/single-commits.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { tempPath } from "../kv/temp-store.js";

const SHARD = 0;
const LOG = { bytesMax: 2 ** 20, ageMsMax: Number.POSITIVE_INFINITY };

function setOf(number: number): CommitFields {
  const mutation = {
    type: MutationType.SET,
    keyKind: KeyKind.PLAIN,
    shard: SHARD,
    key: Uint8Array.of(1, number >> 8, number & 255),
    encoding: 1,
    value: new Uint8Array(100),
    expiresAtMs: 0,
  };
  return { checks: [], mutations: [mutation] };
}

/** Sends so many sets, and says how many of them each transaction has taken. */
function batchesOf(sets: number, wholeBytesMax: number): number[] {
  const control = Control.create(1, 0, 0);
  const store = ShardStore.open(tempPath(), "relaxed");
  onTestFinished(() => store.close());
  const [rings] = createCallerRings(1);
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const links = new CallerLinks(SHARD, control, [{ caller: 0, holder: 1, ...rings!, port: port2 }]);
  const queue = new QueueBatch(store.queue, { countMax: 10, bytesMax: 1000 });
  const changes = createChangeRing(2 ** 20);
  const parts = { shard: SHARD, control, store, clock: systemClock, changes, log: LOG };
  const writer = new ShardWriter({ ...parts, faults: new Faults(null, SHARD) }, queue);
  const ring = new RoundRing(control, createRoundMemory(), shardHolder(SHARD));
  const singles = new SingleCommits({ links, writer, queue, ring, partitionDepth: 2, wholeBytesMax });
  const client = new ShardClient(SHARD, control, rings!);
  for (let number = 0; number < sets; number++) expect(client.trySend(number, setOf(number))).toBe(true);
  client.flush();
  const batches: number[] = [];
  for (let before = 0; singles.run(); before = control.requests(SHARD))
    batches.push(control.requests(SHARD) - before);
  return batches;
}

test("what is little is taken whole", () => {
  expect(batchesOf(20, 1_000_000)).toEqual([20]);
});

test("of much, half is taken, and of what is left then, until it is little", () => {
  const batches = batchesOf(400, 8000);
  expect(batches.reduce((sum, count) => sum + count)).toBe(400);
  expect(batches[0]).toBeGreaterThan(190);
  expect(batches[0]).toBeLessThan(210);
  expect(batches.length).toBeGreaterThan(2);
  for (const [index, count] of batches.entries())
    expect(count).toBeLessThanOrEqual(batches[index - 1] ?? count);
});
