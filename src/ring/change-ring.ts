/**
 * Owns the change ring: the shared memory in which one shard thread publishes change records, and any number of readers in
 * any threads follow it. The writer runs in the shard thread; a reader runs in the thread that made it.
 *
 * The naive ring makes the writer ask whether the slowest reader is out of the way. Then one sleeping watcher stops every
 * write. Here the writer never asks: it *announces* up to where it is about to overwrite (INTENT), writes, and publishes (TAIL).
 * A reader copies first, and afterwards looks at the announcement: if the writer had not yet announced any byte that aliases the
 * copied ones, the copy is what was published; otherwise the copy is thrown away unread and the reader has been lapped.
 *
 * Invariants:
 * 1. TAIL <= INTENT <= TAIL + capacity / 4. They are equal whenever no step is being written.
 * 2. No byte of the positions [TAIL, INTENT) is written before INTENT is visible to every reader that could see that byte.
 * 3. Every byte of [INTENT - capacity, TAIL) is what was published there.
 * 4. A record is never split over the wrap, and a position that TAIL ever had is the start of a record or of padding.
 * 5. The writer reads no word that a reader writes: there is none.
 *
 * It does not wake anybody, does not know what is in a record behind its length, and keeps nothing for those who are lapped:
 * they take the gap from the log.
 */
import { KvCorruptError, KvRangeError } from "../errors.js";
import {
  CHANGE_EPOCH_WORD,
  CHANGE_INTENT_WORD,
  CHANGE_TAIL_WORD,
  DATA_OFFSET_BYTES,
  LENGTH_BYTES,
  PADDING_FLAG,
  POSITION_SHIFT,
  RECORD_ALIGNMENT_BYTES,
} from "./layout.js";
import { aligned, capacityOf, createRingMemory } from "./ring-memory.js";

/**
 * New memory of a change ring.
 *
 * @param capacityBytes Bytes of records it holds: a power of two.
 * @param startPosition Where the positions begin. Only a test has a reason to choose it: they wrap, and behave the same everywhere.
 * @throws KvRangeError KV_INVALID_OPTION; nothing was allocated.
 */
export function createChangeRing(capacityBytes: number, startPosition = 0): SharedArrayBuffer {
  return createRingMemory(capacityBytes, startPosition, [CHANGE_INTENT_WORD, CHANGE_TAIL_WORD]);
}

/** Largest record that travels in a ring of this capacity. For a larger one the caller publishes a small stub. */
export function maxRecordBytes(capacityBytes: number): number {
  return capacityBytes / 8;
}

/**
 * The one end that writes. A successor on the same memory goes on where its predecessor died, at any instruction. Writers that hand over to each
 * other in good order, under a lock of theirs, each call {@link resume} when it is their turn.
 */
export class ChangeRingWriter {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #capacityBytes: number;
  readonly #recordBytesMax: number;
  /** Bytes of one step: a reader that is up to date when a step begins is never lapped by that step alone. */
  readonly #stepBytesMax: number;
  #tail: number;

  /** @param isSuccessor Whether the writer before this one has died. Default: true. */
  constructor(ring: SharedArrayBuffer, isSuccessor = true) {
    this.#capacityBytes = capacityOf(ring);
    this.#recordBytesMax = maxRecordBytes(this.#capacityBytes);
    this.#stepBytesMax = this.#capacityBytes / 4;
    this.#words = new Int32Array(ring, 0, DATA_OFFSET_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.#bytes = new Uint8Array(ring, DATA_OFFSET_BYTES, this.#capacityBytes);
    this.#view = new DataView(ring, DATA_OFFSET_BYTES, this.#capacityBytes);
    // Pairs with no one: the thread that stored it is dead, or it is this one, or the lock that it has let go of pairs.
    this.#tail = Atomics.load(this.#words, CHANGE_TAIL_WORD);
    if (!isSuccessor) return;
    // Pairs with the load in ChangeRingReader.epoch. It comes before anything that this writer publishes.
    Atomics.add(this.#words, CHANGE_EPOCH_WORD, 1);
    this.#closeUnfinishedStep();
  }

  /** Position behind the last published record. */
  get tail(): number {
    return this.#tail;
  }

  /** Goes on behind what another writer has published. That one has ended its turn. */
  resume(): void {
    this.#tail = Atomics.load(this.#words, CHANGE_TAIL_WORD);
  }

  /**
   * Publishes a block of records; it never waits. The block is copied before the call returns and stays the caller's.
   *
   * Hot path: a block that is neither large nor at the wrap is one copy, and none of its records is looked at.
   * A block that is larger than a quarter of the capacity is published in several steps; a reader may see the first ones before the last.
   *
   * @param records Whole records, each at a multiple of the alignment and padded up to the next.
   * @throws KvRangeError KV_LIMIT_EXCEEDED when a record is larger than {@link maxRecordBytes} or the block does not consist
   * of whole padded records; nothing was published.
   */
  publish(records: Uint8Array): void {
    const blockBytes = records.byteLength;
    if (blockBytes === 0) return;
    // No record of such a block can be too large, and none meets the wrap.
    if (
      blockBytes <= this.#recordBytesMax &&
      blockBytes <= this.#roomBytes() &&
      aligned(blockBytes) === blockBytes
    ) {
      this.#publishStep(records, 0);
      return;
    }
    this.#publishInSteps(records);
  }

  #publishInSteps(records: Uint8Array): void {
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
    assertRecords(view, this.#recordBytesMax);
    let start = 0;
    while (start < records.byteLength) {
      const roomBytes = this.#roomBytes();
      const limitBytes = Math.min(roomBytes, this.#stepBytesMax);
      const end = lastRecordEnd(view, start, limitBytes);
      const meetsWrap = end < records.byteLength && limitBytes === roomBytes;
      this.#publishStep(records.subarray(start, end), meetsWrap ? roomBytes - (end - start) : 0);
      start = end;
    }
  }

  /** One announcement, one copy, one publication. `run` and the padding behind it fit before the wrap and into a step. */
  #publishStep(run: Uint8Array, paddingBytes: number): void {
    const offset = this.#offset();
    const next = (this.#tail + ((run.byteLength + paddingBytes) >> POSITION_SHIFT)) | 0;
    // Pairs with the load of INTENT in ChangeRingReader.#copy: whoever sees a byte written below sees this announcement.
    const announced = Atomics.exchange(this.#words, CHANGE_INTENT_WORD, next);
    // Pairs with the exchange above, as the second half of a fence. Where an exchange is a load-exclusive and a store-release, the
    // plain writes below may overtake its store; they can't overtake this load, and the load can't overtake that store.
    Atomics.load(this.#words, CHANGE_INTENT_WORD);
    if (announced !== this.#tail) {
      throw new KvCorruptError(`change ring has a second writer: announced ${announced}, tail ${this.#tail}`);
    }
    this.#bytes.set(run, offset);
    if (paddingBytes > 0) this.#writePadding(offset + run.byteLength, paddingBytes);
    // Pairs with the load of TAIL in ChangeRingReader.poll: whoever sees it sees the bytes.
    Atomics.store(this.#words, CHANGE_TAIL_WORD, next);
    this.#tail = next;
  }

  /**
   * A predecessor that died inside a step has overwritten some bytes of [TAIL, INTENT), and readers have been told so. Taking the
   * announcement back would make them trust bytes that are gone; so what it had announced becomes padding.
   */
  #closeUnfinishedStep(): void {
    // Pairs with the predecessor's exchange in #publishStep.
    const intent = Atomics.load(this.#words, CHANGE_INTENT_WORD);
    const unfinishedBytes = ((intent - this.#tail) | 0) * RECORD_ALIGNMENT_BYTES;
    if (unfinishedBytes === 0) return;
    if (unfinishedBytes < 0 || unfinishedBytes > this.#stepBytesMax) {
      throw new KvCorruptError(`change ring announces ${intent} with its tail at ${this.#tail}`);
    }
    this.#writePadding(this.#offset(), unfinishedBytes);
    // Pairs with the load of TAIL in ChangeRingReader.poll.
    Atomics.store(this.#words, CHANGE_TAIL_WORD, intent);
    this.#tail = intent;
  }

  #writePadding(offset: number, paddingBytes: number): void {
    this.#view.setUint32(offset, PADDING_FLAG | paddingBytes, true);
  }

  #offset(): number {
    return (this.#tail << POSITION_SHIFT) & (this.#capacityBytes - 1);
  }

  #roomBytes(): number {
    return this.#capacityBytes - this.#offset();
  }
}

/**
 * One follower. It writes nothing that the writer or another reader could see, so any number of them costs the writer nothing.
 *
 * *Order*: records come in the order of their publication. *Lag*: `poll` says `"lapped"` when the writer has overwritten, or is about to
 * overwrite, what comes next; `lostBytes` says how far behind the reader was, and `skipTo(tail)` resumes at what is published next.
 * A reader must poll, or skip, at least once while 16 GiB are published: beyond that a 32-bit position no longer tells laps apart.
 */
export class ChangeRingReader {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #capacityBytes: number;
  /** A cell that nobody else has. It exists for the fence in #copy. */
  readonly #fence = new Int32Array(1);
  #position: number;
  #lostBytes = 0;

  /** @param position Where to begin: a position of this ring. Default: what is published next. */
  constructor(ring: SharedArrayBuffer, position?: number) {
    this.#capacityBytes = capacityOf(ring);
    this.#words = new Int32Array(ring, 0, DATA_OFFSET_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.#bytes = new Uint8Array(ring, DATA_OFFSET_BYTES, this.#capacityBytes);
    this.#position = position === undefined ? this.tail : position | 0;
  }

  /** Position of the next record. */
  get position(): number {
    return this.#position;
  }

  /** Position behind the last published record. */
  get tail(): number {
    // Pairs with the store of TAIL in ChangeRingWriter.
    return Atomics.load(this.#words, CHANGE_TAIL_WORD);
  }

  /** Bytes between the position and the tail, padding included. */
  get lagBytes(): number {
    return this.#lagBytes(this.tail);
  }

  /** Bytes between the position and the tail, padding included, when the last `poll` said `"lapped"`; 0 when it did not. */
  get lostBytes(): number {
    return this.#lostBytes;
  }

  /**
   * How many writers the ring has had. When it moves, a shard thread has died, and records that it had committed may be missing here.
   * Loaded after a `poll`, it is at least that of the writer whose records the poll returned.
   */
  get epoch(): number {
    // Pairs with the add in the constructor of ChangeRingWriter.
    return Atomics.load(this.#words, CHANGE_EPOCH_WORD);
  }

  /** Moves on to (or back to) a position of this ring. One that is not in the ring makes the next poll say `"lapped"`. */
  skipTo(position: number): void {
    this.#position = position | 0;
  }

  /**
   * The next records: whole, padded up to the alignment, in a new array that the caller owns. It may be less than there is (it ends
   * at the wrap); only `"empty"` says that there is no more.
   *
   * @param maxBytes Most bytes to return; a first record that is larger comes alone.
   * @returns The records; `"empty"`; or `"lapped"`: then nothing was read, and the position still stands before the gap.
   * @throws KvCorruptError when the ring holds what no writer writes.
   */
  poll(maxBytes: number): Uint8Array<ArrayBuffer> | "empty" | "lapped" {
    this.#lostBytes = 0;
    // Pairs with the store of TAIL in ChangeRingWriter.
    const tail = Atomics.load(this.#words, CHANGE_TAIL_WORD);
    while (this.#position !== tail) {
      const lagBytes = this.#lagBytes(tail);
      if (lagBytes > this.#capacityBytes) return this.#lapped();
      const offset = (this.#position << POSITION_SHIFT) & (this.#capacityBytes - 1);
      const runBytes = Math.min(lagBytes, this.#capacityBytes - offset);
      const records = this.#pollRun(offset, runBytes, maxBytes);
      if (records !== "padding") return records;
    }
    return "empty";
  }

  /** Takes from the `runBytes` published bytes at `offset`, which end at a record's end. Padding in front is skipped, alone. */
  #pollRun(
    offset: number,
    runBytes: number,
    maxBytes: number,
  ): Uint8Array<ArrayBuffer> | "lapped" | "padding" {
    const spanBytes =
      Math.min(runBytes, Math.max(RECORD_ALIGNMENT_BYTES, maxBytes)) & -RECORD_ALIGNMENT_BYTES;
    let copy = this.#copy(offset, spanBytes);
    if (copy === undefined) return this.#lapped();
    const first = sizeAt(viewOf(copy), 0, runBytes);
    if (first < 0) {
      this.#advance(-first);
      return "padding";
    }
    if (first > spanBytes) {
      copy = this.#copy(offset, first);
      if (copy === undefined) return this.#lapped();
    }
    return this.#wholeRecords(copy, runBytes);
  }

  /** Cuts a validated copy behind its last whole record, and advances the position by that and by padding that follows. */
  #wholeRecords(copy: Uint8Array<ArrayBuffer>, runBytes: number): Uint8Array<ArrayBuffer> {
    const view = viewOf(copy);
    let end = 0;
    let skippedBytes = 0;
    while (end < copy.byteLength) {
      const size = sizeAt(view, end, runBytes);
      if (size < 0) {
        skippedBytes = -size;
        break;
      }
      if (end + size > copy.byteLength) break;
      end += size;
    }
    this.#advance(end + skippedBytes);
    return end === copy.byteLength ? copy : copy.subarray(0, end);
  }

  /** A private copy of what was published at the position; undefined when the writer may have been writing there meanwhile. */
  #copy(offset: number, bytes: number): Uint8Array<ArrayBuffer> | undefined {
    const copy = this.#bytes.slice(offset, offset + bytes);
    // Pairs with nothing but the processor: a load keeps later accesses behind itself, but the plain reads of the copy are earlier
    // ones, and where memory is weakly ordered they could sink below the load of INTENT. They can't sink below the store half of a
    // read-modify-write, and the load can't rise above it.
    Atomics.add(this.#fence, 0, 1);
    // Pairs with the exchange of INTENT in ChangeRingWriter.#publishStep.
    const intent = Atomics.load(this.#words, CHANGE_INTENT_WORD);
    return this.#lagBytes(intent) > this.#capacityBytes ? undefined : copy;
  }

  #lapped(): "lapped" {
    this.#lostBytes = this.lagBytes;
    return "lapped";
  }

  /** Unsigned, so a reader that is so far behind that the signed difference turns negative counts as lapped, and so does one ahead. */
  #lagBytes(ahead: number): number {
    return ((ahead - this.#position) >>> 0) * RECORD_ALIGNMENT_BYTES;
  }

  #advance(bytes: number): void {
    this.#position = (this.#position + (bytes >> POSITION_SHIFT)) | 0;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Aligned size of the record at `at`, or of the padding there as a negative number. It must end within the run. */
function sizeAt(view: DataView, at: number, runBytes: number): number {
  const word = view.getUint32(at, true);
  const isPadding = word >= PADDING_FLAG;
  const size = isPadding ? word - PADDING_FLAG : aligned(word);
  if (size < RECORD_ALIGNMENT_BYTES || at + size > runBytes) {
    throw new KvCorruptError(
      `change ring holds a length of ${word} with ${runBytes - at} bytes published behind it`,
    );
  }
  return isPadding ? -size : size;
}

/** End of the last record that lies within `limitBytes` of `start`; `start` itself when none does. The records were asserted. */
function lastRecordEnd(records: DataView, start: number, limitBytes: number): number {
  if (records.byteLength - start <= limitBytes) return records.byteLength;
  let end = start;
  for (;;) {
    const next = end + aligned(records.getUint32(end, true));
    if (next - start > limitBytes) return end;
    end = next;
  }
}

/** What a block must be, checked before its first byte is published. */
function assertRecords(records: DataView, recordBytesMax: number): void {
  let at = 0;
  while (at < records.byteLength) {
    const leftBytes = records.byteLength - at;
    const length = leftBytes < RECORD_ALIGNMENT_BYTES ? leftBytes : records.getUint32(at, true);
    if (length > recordBytesMax) {
      throw new KvRangeError(
        "KV_LIMIT_EXCEEDED",
        `change record is ${length} bytes, limit ${recordBytesMax}: publish a stub`,
      );
    }
    if (length < LENGTH_BYTES || leftBytes < RECORD_ALIGNMENT_BYTES || aligned(length) > leftBytes) {
      throw new KvRangeError(
        "KV_LIMIT_EXCEEDED",
        `change record at byte ${at} says ${length} bytes with ${leftBytes} bytes left in its block`,
      );
    }
    at += aligned(length);
  }
}
