/** A shard's part in the rounds. The other participant is played by the test: all that it shows of itself is words of shared memory. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { FrameBatch } from "../../src/ring/frame-ring.js";
import { createRoundMemory, RoundRing } from "../../src/ring/round-ring.js";
import { callerHolder, shardHolder } from "../../src/ring/sequencing-lock.js";
import { createCallerRings, encodeCommit, ShardClient } from "../../src/router/shard-client.js";
import { CallerLinks } from "../../src/shard/caller-links.js";
import { Faults } from "../../src/shard/faults.js";
import { QueueBatch } from "../../src/shard/queue-batch.js";
import { RoundMember } from "../../src/shard/round-member.js";
import { ShardWriter } from "../../src/shard/shard-writer.js";
import { Siblings } from "../../src/shard/siblings.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { commitOf, NOTHING, setting } from "./stored-entries.js";

const BOTH = 0b11;

test("the answers of a round are given before the next is decided, however early that begins", async () => {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "belfry-round-")));
  const directories = [join(path, "0"), join(path, "1")];
  const control = Control.create(2, 0, 0);
  const store = ShardStore.open(directories[0]!, "relaxed");
  const siblings = new Siblings(store, 0, directories, "relaxed");
  const { port1, port2 } = new MessageChannel();
  onTestFinished(async () => {
    port1.close();
    await Promise.all([store.close(), siblings.close()]);
    rmSync(path, { recursive: true });
  });
  const [rings] = createCallerRings(2);
  const client = new ShardClient(0, control, rings!);
  const links = new CallerLinks(0, control, [{ caller: 0, holder: 1, ...rings!, port: port2 }]);
  const bounds = { bytesMax: 1e6, ageMsMax: Number.POSITIVE_INFINITY };
  const faults = new Faults(null, 0);
  const queue = new QueueBatch(store.queue, { countMax: 1, bytesMax: 1 });
  const changes = createChangeRing(4096);
  const writer = new ShardWriter(
    { shard: 0, control, store, clock: systemClock, changes, faults, log: bounds },
    queue,
  );
  const memory = createRoundMemory();
  const ring = new RoundRing(control, memory, shardHolder(0));
  const other = new RoundRing(control, memory, shardHolder(1));
  const caller = new RoundRing(control, memory, callerHolder(0));
  const member = new RoundMember(writer, queue, ring, links, siblings, 2);
  const append = (requestId: number) =>
    caller.append([
      {
        caller: 0,
        requestId,
        participants: BOTH,
        frame: encodeCommit(commitOf([setting(0, "a", NOTHING), setting(1, "b", NOTHING)])),
      },
    ]);
  append(1);
  other.arrive(1);
  expect(member.run()).toBe(true);
  append(2);
  // The other one finishes the round, and the next begins, just when this shard looks whether one waits for it.
  const { awaits } = ring;
  ring.awaits = (shard) => {
    ring.awaits = awaits;
    other.markCommitted(1);
    other.arrive(1);
    return ring.awaits(shard);
  };
  expect(member.run()).toBe(true);
  other.markCommitted(1);
  member.run();
  expect(client.takeReplies(new FrameBatch())).toBe(2);
});
