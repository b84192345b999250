/**
 * Owns a shard that has no store: it publishes changes into a ring as the end of a transaction does, and a dispatcher follows it. So what is
 * measured is the delivery alone.
 */
import { type ChangeFields, changeRecordBytes, writeChangeRecord } from "../../src/codec/change-record.js";
import { ChangeRingWriter } from "../../src/ring/change-ring.js";
import type { Control } from "../../src/ring/control.js";
import { aligned } from "../../src/ring/ring-memory.js";
import { Dispatcher, type DispatcherOptions } from "../../src/watch/dispatcher.js";
import { sampleChange } from "./change-record.js";

const SHARD = 0;
/** Keys that follow each other here are far from each other there. */
const STRIDE = 7919;

export class RingShard {
  readonly #control: Control;
  readonly #writer: ChangeRingWriter;
  readonly #keys: readonly Uint8Array[];
  readonly #sample: ChangeFields = sampleChange();
  readonly #block: Uint8Array;
  readonly #view: DataView;
  #next = 0;

  /**
   * @param keys What is written, in turns.
   * @param recordsMax Most records of one block.
   */
  constructor(control: Control, ring: SharedArrayBuffer, keys: readonly Uint8Array[], recordsMax: number) {
    this.#control = control;
    // No successor of a thread that has died: whoever follows the ring would turn to the log.
    this.#writer = new ChangeRingWriter(ring, false);
    this.#keys = keys;
    const recordBytes = keys.map((key) => aligned(changeRecordBytes({ ...this.#sample, key })));
    this.#block = new Uint8Array(recordsMax * Math.max(...recordBytes));
    this.#view = new DataView(this.#block.buffer);
  }

  /** Publishes as many commits of one change each, and rings who watches. */
  publish(records: number): void {
    let offset = 0;
    for (let count = 0; count < records; count++) {
      this.#next = (this.#next + STRIDE) % this.#keys.length;
      const counter = this.#control.takeCounter(SHARD);
      const fields = { ...this.#sample, key: this.#keys[this.#next]!, counter };
      writeChangeRecord(this.#block, this.#view, offset, fields);
      offset += aligned(changeRecordBytes(fields));
    }
    this.#writer.publish(this.#block.subarray(0, offset));
    this.#control.clearInFlight(SHARD);
    this.#control.ringWatchers();
  }
}

/** A dispatcher that follows one ring. */
export function followRing(
  control: Control,
  ring: SharedArrayBuffer,
  hooks: Pick<DispatcherOptions, "setWatching" | "onActive" | "onIdle">,
): Dispatcher {
  return new Dispatcher({
    ...hooks,
    shardCount: 1,
    control,
    rings: [ring],
    readLog: () => {
      throw new Error("the ring has lapped its reader");
    },
    takeState: () => Promise.reject(new Error("there is no store")),
    setPreviousWanted: () => {},
  });
}
