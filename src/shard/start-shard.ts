/**
 * Owns the start of a shard's thread: opens its store, applies a redo, puts the parts together, and lets the loop run.
 */
import { availableParallelism } from "node:os";
import { debuglog } from "node:util";
import { clockFrom } from "../clock.js";
import {
  BATCH_BYTES_MAX,
  BATCH_WHOLE_BYTES_MAX,
  DEAD_LETTERS_BYTES_MAX,
  DEAD_LETTERS_MAX,
} from "../limits.js";
import { Control, ShardState } from "../ring/control.js";
import { RoundRing } from "../ring/round-ring.js";
import { shardHolder } from "../ring/sequencing-lock.js";
import { ShardStore } from "../store/shard-store.js";
import type { ShardBoot } from "./boot.js";
import { CallerLinks } from "./caller-links.js";
import { FaultPoint, Faults } from "./faults.js";
import { QueueBatch } from "./queue-batch.js";
import { QueueKeeper } from "./queue-keeper.js";
import { decodeRedo } from "./redo.js";
import { RoundMember } from "./round-member.js";
import { ShardLoop } from "./shard-loop.js";
import { ShardWriter } from "./shard-writer.js";
import { Siblings } from "./siblings.js";
import { SingleCommits } from "./single-commits.js";
import { Sweeper } from "./sweeper.js";

const debug = debuglog("belfry:shard");

/**
 * Starts the shard on this thread. Returns when it is ready; from then on its loop has the thread, until the engine stops. An error
 * of the loop becomes an uncaught exception of the thread and so ends it, which is what its supervisor listens for.
 */
export function startShard(boot: ShardBoot): void {
  const control = new Control(boot.control, boot.shards);
  if (control.stopping) {
    control.setState(boot.shard, ShardState.stopped);
    return;
  }
  control.lockWriter(boot.shard);
  const faults = new Faults(boot.faults, boot.shard);
  let store: ShardStore | undefined;
  try {
    faults.visit(FaultPoint.starting);
    store = ShardStore.open(boot.directories[boot.shard]!, boot.durability);
    run(boot, control, store, faults);
  } catch (error) {
    // The thread lives, and may be asked to start again. Until then nothing of the shard is here.
    void store?.close();
    control.setState(boot.shard, ShardState.down);
    throw error;
  }
}

/** Lets the shard's loop have the thread when the caller has returned. */
function run(boot: ShardBoot, control: Control, store: ShardStore, faults: Faults): void {
  const siblings = new Siblings(store, boot.shard, boot.directories, boot.durability);
  const links = new CallerLinks(boot.shard, control, boot.links);
  const loop = assemble(boot, control, store, siblings, links, faults);
  setImmediate(() => {
    loop
      .run()
      .then(() => Promise.all([store.close(), siblings.close()]))
      .then(() => {
        links.close();
        control.setState(boot.shard, ShardState.stopped);
      });
  });
}

function assemble(
  boot: ShardBoot,
  control: Control,
  store: ShardStore,
  siblings: Siblings,
  links: CallerLinks,
  faults: Faults,
): ShardLoop {
  const { shard, changes, log, partitionDepth, durability } = boot;
  const queue = new QueueBatch(store.queue, {
    countMax: Math.ceil(DEAD_LETTERS_MAX / boot.shards),
    bytesMax: DEAD_LETTERS_BYTES_MAX / boot.shards,
  });
  const clock = clockFrom(boot.clock);
  const writer = new ShardWriter({ shard, control, store, clock, changes, faults, log }, queue);
  // Where shards and callers have no core each, there is enough to do at any time.
  const hasCore = boot.shards < availableParallelism();
  const wholeBytesMax = hasCore ? BATCH_WHOLE_BYTES_MAX[durability] : BATCH_BYTES_MAX;
  const ring = new RoundRing(control, boot.rounds, shardHolder(shard));
  const rounds = new RoundMember(writer, queue, ring, links, siblings, partitionDepth);
  const singles = new SingleCommits({ links, writer, queue, ring, partitionDepth, wholeBytesMax });
  if (boot.redo !== null) {
    debug("shard %d was behind the last round, and does its part now", shard);
    rounds.redo(decodeRedo(boot.redo));
  }
  links.abandonTaken();
  const sweeper = new Sweeper(writer);
  const keeper = new QueueKeeper(writer, queue, links);
  return new ShardLoop({ writer, links, rounds, singles, sweeper, queue: keeper });
}
