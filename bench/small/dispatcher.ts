/**
 * The dispatcher by itself: changes that are in the ring already, matched and offered to listeners in the same thread, so without stores, wakes and
 * consumers. Records are written anew for each block, since their versionstamps have to grow; that is not measured, but for the first line.
 */
import { encodeKey } from "../../src/codec/key.js";
import { createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import type { CommitListener, Dispatcher } from "../../src/watch/dispatcher.js";
import { measureSmall, type SmallTask } from "./measure.js";
import { followRing, RingShard } from "./ring-shard.js";
import type { SmallWorkload } from "./workload.js";

const RING_BYTES = 4 * 1024 * 1024;
const RECORDS_PER_BLOCK = 64;
const KEYS = 10_000;
const FEW = 100;
const MANY = 10_000;

export const dispatcher: SmallWorkload = {
  name: "dispatcher",
  about: "changes in the ring, each offered to one of many listeners on keys of their own; and to nobody",
  run: (seconds) => {
    const silent = new World(KEYS);
    const few = new World(FEW).listen("w", FEW);
    const many = new World(MANY).listen("w", MANY);
    const unwanted = new World(KEYS).listen("other", MANY);
    const unwantedByOne = new World(KEYS).listen("other", 1);
    const tasks = [
      { name: `write and publish ${RECORDS_PER_BLOCK} records`, call: () => silent.publish() },
      deliver(`offer each to one of ${FEW} listeners`, few),
      deliver(`offer each to one of ${MANY} listeners`, many),
      deliver("find that the one listener wants none", unwantedByOne),
      deliver(`find that none of ${MANY} wants any`, unwanted),
    ];
    return measureSmall(
      tasks.map((task) => ({ ...task, unit: "records", operations: RECORDS_PER_BLOCK })),
      seconds,
    );
  },
};

function deliver(name: string, world: World): Pick<SmallTask, "name" | "prepare" | "call"> {
  return { name, prepare: () => world.publish(), call: () => world.deliver() };
}

/** One of many, with the shape of a real one: its methods belong to all of them. */
class Listener implements CommitListener {
  heard = 0;

  offer(_: unknown, changes: readonly unknown[]): void {
    this.heard += changes.length;
  }

  end(): void {}

  abort(error: unknown): void {
    throw error;
  }
}

/** A shard's ring, and a dispatcher that reads it. */
class World {
  readonly #dispatcher: Dispatcher;
  readonly #shard: RingShard;

  /** @param keyCount How many keys are written in turns. */
  constructor(keyCount: number) {
    const control = Control.create(1, 0, 0);
    const ring = createChangeRing(RING_BYTES);
    const keys = Array.from({ length: keyCount }, (_, number) => encodeKey(["w", number]));
    this.#shard = new RingShard(control, ring, keys, RECORDS_PER_BLOCK);
    this.#dispatcher = followRing(control, ring, {
      setWatching: () => {},
      onActive: () => {},
      onIdle: () => {},
    });
  }

  listen(name: string, count: number): this {
    for (let number = 0; number < count; number++) {
      const bytes = encodeKey([name, number]);
      this.#dispatcher.listen([{ kind: "key", bytes }], new Listener(), "later");
    }
    return this;
  }

  publish(): void {
    this.#shard.publish(RECORDS_PER_BLOCK);
  }

  /** Returns up to where everything was offered. */
  deliver(): number {
    while (this.#dispatcher.poll());
    return this.#dispatcher.deliveredThrough.counter;
  }
}
