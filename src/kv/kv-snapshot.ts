/**
 * Owns a caller's snapshot: many reads on one consistent cut of the whole store.
 *
 * A snapshot pins the pages that it sees, and the files grow for as long as it is open; so its age has a bound.
 */
import { checkPointKey, encodeKey, type KvKey } from "../codec/key.js";
import { checkSelectorShape, type KvListSelector, selectorRange } from "../codec/key-range.js";
import { KeyRun } from "../codec/key-run.js";
import type { KvEntryMaybe } from "../codec/kv-entry.js";
import { KvClosedError, KvSnapshotExpiredError } from "../errors.js";
import { SNAPSHOT_AGE_MS_MAX } from "../limits.js";
import type { Cut } from "../router/cut.js";
import type { Reader } from "../router/reader.js";
import { entryMaybe, entryOf } from "./entries.js";
import { checkListOptions, copySelector, KvListIterator, type KvListOptions } from "./list-iterator.js";

/**
 * The state of the store at one moment. Reads never wait, and see every acknowledged commit of before and nothing of later.
 *
 * *Closing*: `close()`, `using`, or by itself after 60 s, since it pins pages of the files; then reads throw
 * KvSnapshotExpiredError.
 *
 * @example
 * using snapshot = await kv.snapshot();
 * const total = snapshot.get(["total"]);
 * const parts = snapshot.getMany([["part", 1], ["part", 2]]);
 */
export class KvSnapshot {
  readonly #reader: Reader;
  readonly #cut: Cut;
  readonly #onClose: (snapshot: KvSnapshot) => void;
  readonly #expiry: NodeJS.Timeout;
  #state: "open" | "expired" | "closed" = "open";

  /** Made by `kv.snapshot()`. */
  constructor(reader: Reader, cut: Cut, onClose: (snapshot: KvSnapshot) => void) {
    this.#reader = reader;
    this.#cut = cut;
    this.#onClose = onClose;
    this.#expiry = setTimeout(() => this.#end("expired"), SNAPSHOT_AGE_MS_MAX).unref();
  }

  /** The entry under a key. */
  get<T = unknown>(key: KvKey): KvEntryMaybe<T> {
    return this.getMany<T>([key])[0]!;
  }

  /** The entries under some keys, in their order. */
  getMany<T = unknown>(keys: readonly KvKey[]): KvEntryMaybe<T>[] {
    this.#check();
    const encoded = keys.map((key) => {
      const bytes = encodeKey(key);
      checkPointKey(bytes);
      return bytes;
    });
    return this.#reader.readMany(encoded, this.#cut, (bytes, index) => entryMaybe<T>(keys[index]!, bytes));
  }

  /** The entries of a range; the same iteration as that of `kv.list`, on this snapshot. */
  list<T = unknown>(selector: KvListSelector, options: KvListOptions = {}): KvListIterator<T> {
    this.#check();
    checkSelectorShape(selector);
    checkListOptions(options);
    const copy = copySelector(selector);
    return new KvListIterator<T>(
      {
        range: () => selectorRange(copy),
        read: async (range, limit, reverse) => {
          this.#check();
          const keys = new KeyRun(range);
          const entries = this.#reader.readRange({ range, limit, reverse }, this.#cut, (key, bytes) =>
            entryOf<T>(keys.decode(key), bytes),
          );
          return { entries, keys };
        },
      },
      { ...options },
    );
  }

  /** Lets go of what the snapshot pins. Idempotent. */
  close(): void {
    this.#end("closed");
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #check(): void {
    if (this.#state === "expired") throw new KvSnapshotExpiredError(SNAPSHOT_AGE_MS_MAX);
    if (this.#state === "closed") throw new KvClosedError("This snapshot is closed.");
  }

  #end(state: "expired" | "closed"): void {
    if (this.#state !== "open") return;
    this.#state = state;
    clearTimeout(this.#expiry);
    this.#cut.done();
    this.#onClose(this);
  }
}
