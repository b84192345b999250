/**
 * Owns what waits in memory for one feed's consumer: changes, and the events that stand between them. Runs in the feed's thread.
 *
 * Invariants:
 * 1. It takes the changes of a commit together, or none of them, and drops them together. A commit of which the consumer has a part
 *    already is not dropped.
 * 2. It holds at most `bytesMax` bytes and `countMax` changes, or one commit that is larger than that; besides them, after a drop, the
 *    rest of the commit that is being handed over.
 * 3. No two events of one kind stand next to each other: they are made one. So there are at most twice as many events as changes, and two.
 */
import type { CommittedChange } from "./committed-change.js";
import type { InitialChange } from "./initial-read.js";
import type { KvLaggedEvent, KvProgressEvent } from "./kv-change.js";
import { formatStamp, positionBehind } from "./position.js";
import { compareStamps, type Stamp, stampOf } from "./stamp.js";

/** A progress or lagged event in line with the changes. */
export interface Notice {
  readonly kind: "notice";
  readonly event: KvProgressEvent | KvLaggedEvent;
}

export type BufferItem = CommittedChange | InitialChange | Notice;

/** Compacting costs a look at all that is here: worth it again when this part of it has come anew. */
const COMPACT_PART = 1 / 4;

export class FeedBuffer {
  readonly #bytesMax: number;
  readonly #countMax: number;
  #items: BufferItem[] = [];
  #head = 0;
  #count = 0;
  #bytes = 0;
  /** The commit of the change that was handed over last. */
  #handed: Stamp | undefined;
  #takenSinceCompact = Number.POSITIVE_INFINITY;

  constructor(bytesMax: number, countMax: number) {
    this.#bytesMax = bytesMax;
    this.#countMax = countMax;
  }

  /** Changes that wait. */
  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether nothing waits, no event either. */
  get isEmpty(): boolean {
    return this.#head === this.#items.length;
  }

  /** Takes the changes of one commit. Returns false, and takes none, when they don't fit; where no change waits all do. */
  take(changes: readonly CommittedChange[]): boolean {
    if (!this.#fits(changes) && this.#count > 0) return false;
    for (const change of changes) this.#items.push(change.retain());
    this.#count += changes.length;
    this.#bytes += bytesOf(changes);
    this.#takenSinceCompact += changes.length;
    return true;
  }

  /** Takes a part of an initial state, whatever its size: its reader keeps to bounds of its own. */
  takeInitial(changes: readonly InitialChange[]): void {
    for (const change of changes) this.#items.push(change);
    this.#count += changes.length;
    for (const change of changes) this.#bytes += change.bytes;
  }

  /** Takes a commit by dropping the oldest ones. Returns how many changes were dropped. */
  takeNewest(changes: readonly CommittedChange[]): number {
    const before = this.#count;
    while (!this.#fits(changes) && this.#dropFirst());
    const dropped = before - this.#count;
    for (const change of changes) this.#items.push(change.retain());
    this.#count += changes.length;
    this.#bytes += bytesOf(changes);
    this.#forgetHead();
    return dropped;
  }

  /** Notes, in their place, that these changes of one commit are not taken. */
  noteLost(changes: readonly CommittedChange[]): void {
    const stamp = stampOf(changes[0]!);
    this.#noteAtEnd(lagged(changes.length, formatStamp(stamp), stamp));
  }

  /** Notes that the log has lost everything from one stamp to another. */
  noteUnknown(from: Stamp, to: Stamp, position: string): void {
    this.#items.push({
      kind: "notice",
      event: { type: "lagged", count: null, from: formatStamp(from), to: formatStamp(to), position },
    });
  }

  /** Notes that everything up to `through` stands before. */
  noteProgress(through: Stamp): void {
    this.#noteAtEnd({
      type: "progress",
      versionstamp: formatStamp(through),
      position: positionBehind(through),
    });
  }

  /**
   * Drops changes of keys of which a newer one waits, or is about to come. Returns how many; none when it would cost more than the
   * changes since the last time have earned.
   */
  compact(coming: readonly CommittedChange[]): number {
    if (this.#takenSinceCompact < this.#count * COMPACT_PART) return 0;
    this.#takenSinceCompact = 0;
    const newest = new Set(coming.map((change) => change.keyText));
    const kept: BufferItem[] = [];
    const before = this.#count;
    for (let index = this.#items.length - 1; index >= this.#head; index--) {
      const item = this.#items[index]!;
      if (item.kind === "committed") {
        const key = item.keyText;
        if (newest.has(key)) {
          this.#count--;
          this.#bytes -= item.bytes;
          continue;
        }
        newest.add(key);
      }
      kept.push(item);
    }
    this.#items = kept.reverse();
    this.#head = 0;
    return before - this.#count;
  }

  /** The oldest item, which leaves the buffer. */
  shift(): BufferItem | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head++;
    if (item.kind !== "notice") {
      this.#count--;
      this.#bytes -= item.bytes;
    }
    if (item.kind === "committed") this.#handed = item;
    this.#forgetHead();
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #fits(changes: readonly CommittedChange[]): boolean {
    return this.#count + changes.length <= this.#countMax && this.#bytes + bytesOf(changes) <= this.#bytesMax;
  }

  /**
   * Drops the oldest commit of which nothing was handed over, and notes that in its place. Returns whether there was one. What stands
   * before it (the rest of a commit, seldom any) is moved up by hand, so that dropping costs no move of all that stands behind.
   */
  #dropFirst(): boolean {
    let first = this.#head;
    while (this.#isOf(first, this.#handed)) first++;
    const restEnd = first;
    let noted: KvLaggedEvent | undefined;
    for (; this.#items[first]?.kind === "notice"; first++) noted ??= laggedIn(this.#items[first]);
    const change = this.#items[first];
    if (change === undefined || change.kind !== "committed") return false;
    const stamp = stampOf(change);
    let end = first;
    for (; this.#isOf(end, stamp); end++) this.#bytes -= (this.#items[end] as CommittedChange).bytes;
    this.#count -= end - first;
    const event = merged(noted, lagged(end - first, formatStamp(stamp), stamp));
    this.#items[end - 1] = { kind: "notice", event };
    const head = end - 1 - (restEnd - this.#head);
    this.#items.copyWithin(head, this.#head, restEnd);
    this.#head = head;
    return true;
  }

  #isOf(index: number, stamp: Stamp | undefined): boolean {
    const item = this.#items[index];
    return item?.kind === "committed" && stamp !== undefined && compareStamps(item, stamp) === 0;
  }

  #noteAtEnd(event: KvProgressEvent | KvLaggedEvent): void {
    const end = this.isEmpty ? undefined : this.#items.at(-1);
    if (end?.kind !== "notice" || end.event.type !== event.type) {
      this.#items.push({ kind: "notice", event });
      return;
    }
    const joined = event.type === "lagged" ? merged(laggedIn(end), event) : event;
    this.#items[this.#items.length - 1] = { kind: "notice", event: joined };
  }

  /** Cuts off the front when it is half of the array: each item is moved once on average. */
  #forgetHead(): void {
    if (this.#head * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }
}

function bytesOf(changes: readonly CommittedChange[]): number {
  let bytes = 0;
  for (const change of changes) bytes += change.bytes;
  return bytes;
}

function lagged(count: number, from: string, to: Stamp): KvLaggedEvent {
  return { type: "lagged", count, from, to: formatStamp(to), position: positionBehind(to) };
}

function laggedIn(item: BufferItem | undefined): KvLaggedEvent | undefined {
  return item?.kind === "notice" && item.event.type === "lagged" && item.event.count !== null
    ? item.event
    : undefined;
}

/** One event for two losses that follow each other. */
function merged(first: KvLaggedEvent | undefined, second: KvLaggedEvent): KvLaggedEvent {
  if (first === undefined || first.count === null || second.count === null) return second;
  return { ...second, count: first.count + second.count, from: first.from };
}
