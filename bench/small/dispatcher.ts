/**
 * The dispatcher by itself: changes that are in the ring already, matched and offered to listeners in the same thread, so without stores, wakes and
 * consumers. Records are written anew for each block, since their versionstamps have to grow; the first line says what that takes.
 */
import { changeRecordBytes, writeChangeRecord } from "../../src/codec/change-record.js";
import { encodeKey } from "../../src/codec/key.js";
import { ChangeRingWriter, createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { aligned } from "../../src/ring/ring-memory.js";
import { type CommitListener, Dispatcher } from "../../src/watch/dispatcher.js";
import { sampleChange } from "./change-record.js";
import { measureSmall } from "./measure.js";
import type { SmallWorkload } from "./workload.js";

const RING_BYTES = 4 * 1024 * 1024;
const RECORDS_PER_BLOCK = 64;
const KEYS = 10_000;
const FEW = 100;
const MANY = 10_000;
const SHARD = 0;
const SAMPLE = sampleChange();

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
      { name: `and offer each to one of ${FEW} listeners`, call: () => few.deliver() },
      { name: `and offer each to one of ${MANY} listeners`, call: () => many.deliver() },
      { name: "and find that the one listener wants none", call: () => unwantedByOne.deliver() },
      { name: `and find that none of ${MANY} wants any`, call: () => unwanted.deliver() },
    ];
    return measureSmall(
      tasks.map((task) => ({ ...task, unit: "records", operations: RECORDS_PER_BLOCK })),
      seconds,
    );
  },
};

/** A shard's ring, and a dispatcher that reads it. */
class World {
  readonly #control = Control.create(1, 0, 0);
  readonly #ring = createChangeRing(RING_BYTES);
  readonly #writer = new ChangeRingWriter(this.#ring);
  readonly #keys: readonly Uint8Array[];
  readonly #block: Uint8Array;
  readonly #view: DataView;
  readonly #dispatcher: Dispatcher;
  #next = 0;
  #offered = 0;

  /** @param keys How many keys are written in turns. */
  constructor(keys: number) {
    this.#keys = Array.from({ length: keys }, (_, number) => encodeKey(["w", number]));
    this.#block = new Uint8Array(RECORDS_PER_BLOCK * recordBytes(this.#keys));
    this.#view = new DataView(this.#block.buffer);
    this.#dispatcher = new Dispatcher({
      shardCount: 1,
      control: this.#control,
      rings: [this.#ring],
      readLog: () => {
        throw new Error("the ring has lapped its reader");
      },
      setWatching: () => {},
      onActive: () => {},
      onIdle: () => {},
      takeState: () => Promise.reject(new Error("there is no store")),
      setPreviousWanted: () => {},
    });
  }

  listen(name: string, count: number): this {
    for (let number = 0; number < count; number++) {
      const bytes = encodeKey([name, number]);
      this.#dispatcher.listen([{ kind: "key", bytes }], this.#listener(), "later");
    }
    return this;
  }

  /** A new object for each. Not a spread of one, whose copies would have many hidden classes. */
  #listener(): CommitListener {
    return {
      offer: (_, changes) => {
        this.#offered += changes.length;
      },
      end: () => {},
      abort: (error) => {
        throw error;
      },
    };
  }

  /** Commits of one change each, of keys far from each other. */
  publish(): void {
    let offset = 0;
    for (let count = 0; count < RECORDS_PER_BLOCK; count++) {
      this.#next = (this.#next + 7919) % this.#keys.length;
      const counter = this.#control.takeCounter(SHARD);
      const fields = { ...SAMPLE, key: this.#keys[this.#next]!, counter };
      const padded = aligned(changeRecordBytes(fields));
      writeChangeRecord(this.#block, this.#view, offset, fields);
      offset += padded;
    }
    this.#writer.publish(this.#block.subarray(0, offset));
    this.#control.clearInFlight(SHARD);
  }

  /** Returns how many were offered so far. */
  deliver(): number {
    this.publish();
    while (this.#dispatcher.poll());
    return this.#offered;
  }
}

function recordBytes(keys: readonly Uint8Array[]): number {
  return Math.max(...keys.map((key) => aligned(changeRecordBytes({ ...SAMPLE, key }))));
}
