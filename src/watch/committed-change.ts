/**
 * Owns one change on its way from the record to the feeds that want it. Runs in the thread that delivers.
 *
 * Invariants:
 * 1. Key and value are decoded at most once for each way to show them, when the first feed hands the change over, however many
 *    feeds share it.
 * 2. Once retained, it keeps no bytes but its own: a small change must not hold the large block it was read with. One that is
 *    shown without its value does not keep the value.
 */
import { readLatin1 } from "../codec/byte-text.js";
import {
  ChangeCause,
  type ChangeRecord,
  ChangeType,
  changeRecordBytes,
  readChangeRecord,
  writeChangeRecord,
} from "../codec/change-record.js";
import { decodeKey } from "../codec/key.js";
import { decodeValue } from "../codec/value.js";
import type { KvChange } from "./kv-change.js";
import { formatPosition } from "./position.js";
import type { Stamp } from "./stamp.js";

/** What of a change a feed shows: the value; no value; the value and the one before. */
export type ShownAs = "value" | "key" | "previous";

/** A block of which a record is at least this part is kept rather than copied from. */
const KEPT_PART = 1 / 2;

const NOTHING = new Uint8Array(0);

export class CommittedChange {
  readonly kind = "committed";
  readonly counter: number;
  readonly order: number;
  readonly #shownAs: ShownAs;
  #record: ChangeRecord;
  #isRetained = false;
  #decoded: KvChange | undefined;
  #others: CommittedChange[] | undefined;
  /** Shown in place of where it stands. */
  readonly #position: string | undefined;

  /**
   * @param record Borrows the bytes of its block, until `retain`.
   * @param stamp Where it stands, for who has read that of the record already.
   */
  constructor(
    record: ChangeRecord,
    { counter, order }: Stamp = record,
    shownAs: ShownAs = "value",
    position?: string,
  ) {
    this.#record = record;
    this.#position = position;
    this.#shownAs = shownAs;
    this.counter = counter;
    this.order = order;
  }

  /** What it counts for in a buffer. */
  get bytes(): number {
    return this.#record.length;
  }

  /** Of the change within its commit. */
  get place(): number {
    return this.#record.place;
  }

  get type(): ChangeType {
    return this.#record.type;
  }

  /** The bytes of its key, as characters: equal for equal keys. */
  get keyText(): string {
    const { key } = this.#record;
    return readLatin1(key, 0, key.length);
  }

  /** The same change as another kind of feed shows it: one for all feeds of that kind. Before its block is used again. */
  as(shownAs: ShownAs): CommittedChange {
    if (shownAs === this.#shownAs) return this;
    const known = this.#others?.find((other) => other.#shownAs === shownAs);
    if (known !== undefined) return known;
    const record = shownAs === "key" ? withoutValue(this.#record) : this.#record;
    const made = new CommittedChange(record, this, shownAs);
    this.#others ??= [];
    this.#others.push(made);
    return made;
  }

  /** The same change for one feed that shows it ahead of the one order, and says another position. */
  ahead(shownAs: ShownAs, position: string): CommittedChange {
    const record = shownAs === "key" ? withoutValue(this.#record) : this.#record;
    return new CommittedChange(record, this, shownAs, position);
  }

  /** Makes the change independent of the block that it was read with. Whoever keeps it calls this. */
  retain(): this {
    if (this.#isRetained) return this;
    this.#isRetained = true;
    const bytes = bytesOf(this.#record);
    if (bytes.byteLength < bytes.buffer.byteLength * KEPT_PART)
      this.#record = readChangeRecord(bytes.slice(), 0);
    return this;
  }

  /** The change as callers see it. Throws KvCorruptError when the stored bytes can't be decoded. */
  decode(): KvChange {
    this.#decoded ??= decodeRecord(this.#record, this.#shownAs, this.#position);
    return this.#decoded;
  }
}

/** The whole record. Its key stands behind its header and its hashes. */
function bytesOf(record: ChangeRecord): Uint8Array {
  const { key } = record;
  return new Uint8Array(key.buffer, key.byteOffset - record.bodyOffset, record.length);
}

function withoutValue(record: ChangeRecord): ChangeRecord {
  const { type, cause, isMulti, encoding, counter, order, place, expiresAtMs, key } = record;
  const fields = { type, cause, isMulti, encoding, counter, order, place, expiresAtMs, key, value: NOTHING };
  const bytes = new Uint8Array(changeRecordBytes(fields));
  writeChangeRecord(bytes, new DataView(bytes.buffer), 0, fields);
  return readChangeRecord(bytes, 0);
}

function decodeRecord(
  record: ChangeRecord,
  shownAs: ShownAs,
  position = formatPosition(record, record.place),
): KvChange {
  const { type, cause, versionstamp } = record;
  const key = Object.freeze(decodeKey(record.key));
  const previous = shownAs === "previous" ? previousOf(record) : undefined;
  if (type === ChangeType.delete) {
    const reason = cause === ChangeCause.expired ? "expired" : "delete";
    const change = { type: "delete", cause: reason, key, value: null, versionstamp, position } as const;
    return Object.freeze({ ...change, ...previous });
  }
  const value = shownAs === "key" ? undefined : decodeValue(record.encoding, record.value);
  const name = type === ChangeType.create ? "create" : "update";
  return Object.freeze({ type: name, cause: "set", key, value, versionstamp, position, ...previous });
}

/** A create has no value before; of other changes it is known only where the shard was asked to record it. */
function previousOf(record: ChangeRecord): { readonly previous: unknown } | undefined {
  if (record.type === ChangeType.create) return { previous: null };
  if (!record.hasPrevious) return undefined;
  return { previous: decodeValue(record.previousEncoding, record.previous) };
}
