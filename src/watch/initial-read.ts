/**
 * Owns the state that a feed begins with: everything that it selects, at one moment of the store. Runs in the feed's thread.
 *
 * The naive way lists the keys and then follows the changes: what happens in between is missing, or comes twice. Here the state is that
 * of exactly one stamp M, so that the changes above M follow it without gap or duplicate:
 * 1. A cut of all shards is held. Each shard's snapshot holds its own changes up to its own last stamp; M is the greatest of them.
 * 2. What a shard lacks are its changes above its own stamp and up to M: what was in flight when the cut was taken. When the dispatcher
 *    has delivered M, all of that is in the logs.
 * 3. It is read from there and laid over the snapshot. A commit over several shards is in all snapshots or in none (the cut says so), so
 *    nothing is half there.
 *
 * It reads when it is asked, one chunk at a time: a slow consumer makes it hold the snapshot, and nothing in memory. The snapshot pins
 * pages of the files, so it is let go after the last chunk, and at the latest when its age is INITIAL_STATE_AGE_MS_MAX.
 *
 * Invariants:
 * 1. `demand` leads to one call of `onChunk` with changes or the end, or of `onError`, unless it is ended before.
 * 2. Keys come in order, once each. What has expired by the time it is read does not exist.
 *
 * It does not know of buffers and states: see `feed-core.ts`.
 */
import { type ChangeRecord, ChangeType } from "../codec/change-record.js";
import { encodeEntry, entryEncoding, entryValue, entryVersionstamp, isExpired } from "../codec/entry.js";
import { compareBytes, decodeKey } from "../codec/key.js";
import { decodeValue } from "../codec/value.js";
import { KvSnapshotExpiredError } from "../errors.js";
import { INITIAL_CHUNK_BYTES, INITIAL_CHUNK_ENTRIES_MAX, INITIAL_STATE_AGE_MS_MAX } from "../limits.js";
import type { ShownAs } from "./committed-change.js";
import type { CommitSource } from "./dispatcher.js";
import type { KvSetChange } from "./kv-change.js";
import type { EncodedSelector } from "./matcher.js";
import { START_POSITION } from "./position.js";
import { RecordFilter } from "./record-filter.js";
import { type KeySpan, selectorSpans } from "./selector-spans.js";
import { FIRST_STAMP, laterStamp, type Stamp } from "./stamp.js";
import type { StateRow, StateSnapshot } from "./state-snapshot.js";

/** One entry of the state. */
export class InitialChange {
  readonly kind = "initial";
  readonly #row: StateRow;
  readonly #shownAs: ShownAs;

  constructor(row: StateRow, shownAs: ShownAs) {
    this.#row = row;
    this.#shownAs = shownAs;
  }

  get bytes(): number {
    return this.#row.key.length + this.#row.entry.length;
  }

  decode(): KvSetChange {
    const { key, entry } = this.#row;
    const value = this.#shownAs === "key" ? undefined : decodeValue(entryEncoding(entry), entryValue(entry));
    return Object.freeze({
      type: "create",
      cause: "set",
      key: Object.freeze(decodeKey(key)),
      value,
      versionstamp: entryVersionstamp(entry),
      position: START_POSITION,
      initial: true,
      ...(this.#shownAs === "previous" ? { previous: null } : undefined),
    });
  }
}

export interface InitialReadOptions {
  readonly source: CommitSource;
  readonly selectors: readonly EncodedSelector[];
  readonly shownAs: ShownAs;
  /** The next part of the state; with `isLast` nothing follows but the changes above `through`. */
  readonly onChunk: (changes: readonly InitialChange[], isLast: boolean) => void;
  readonly onError: (error: unknown) => void;
}

/** `idle` until somebody asks; `taking` the cut, and waiting until the logs have all up to its stamp; `reading`; `ended`. */
type InitialState = "idle" | "taking" | "reading" | "ended";

/** A row that the log lays over the snapshot; without an entry there is nothing under the key. */
interface Overlaid {
  readonly key: Uint8Array;
  readonly entry: Uint8Array | undefined;
}

export class InitialRead {
  readonly #options: InitialReadOptions;
  readonly #filter: RecordFilter;
  #state: InitialState = "idle";
  #snapshot: StateSnapshot | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #through: Stamp = FIRST_STAMP;
  /** What is left to read, and to lay over it, in key order. */
  #spans: KeySpan[];
  #overlaid: Overlaid[] = [];
  #isAsked = false;
  #hasBegun = false;
  /** Mean bytes of the rows so far: they decide how many are read at once. */
  #rowBytes = INITIAL_CHUNK_BYTES / 16;

  constructor(options: InitialReadOptions) {
    this.#options = options;
    this.#filter = new RecordFilter(options.selectors, undefined);
    this.#spans = selectorSpans(options.selectors);
  }

  /** The stamp whose state this is. It means something from the first chunk on. */
  get through(): Stamp {
    return this.#through;
  }

  /** Whether a part of the state was given out. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Asks for the next chunk. Asking again before it has come does nothing. */
  demand(): void {
    if (this.#isAsked || this.#state === "ended") return;
    this.#isAsked = true;
    if (this.#state === "reading") this.#scheduleChunk();
    else if (this.#state === "idle") void this.#take();
  }

  /** Lets go of everything. Doing it twice does nothing. */
  end(): void {
    this.#state = "ended";
    clearTimeout(this.#expiry);
    this.#snapshot?.done();
    this.#snapshot = undefined;
    this.#overlaid = [];
    this.#spans = [];
  }

  async #take(): Promise<void> {
    this.#state = "taking";
    const { source } = this.#options;
    try {
      const snapshot = await source.takeState();
      // Ended meanwhile: the narrowing of the compiler does not see that.
      if ((this.#state as InitialState) === "ended") {
        snapshot.done();
        return;
      }
      this.#snapshot = snapshot;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#expiry = setTimeout(
      () => this.#fail(new KvSnapshotExpiredError(INITIAL_STATE_AGE_MS_MAX)),
      INITIAL_STATE_AGE_MS_MAX,
    ).unref();
    this.#through = this.#snapshot.lastStamps.reduce(laterStamp);
    this.awaitDelivery();
  }

  /** Goes on when the logs have all up to the cut's stamp. Once more when the delivery was interrupted meanwhile. */
  awaitDelivery(): void {
    const { source } = this.#options;
    if (this.#state !== "taking" || this.#snapshot === undefined) return;
    source.onDelivered(this.#through, () => source.schedule(() => this.#begin()));
  }

  #begin(): number {
    if (this.#state !== "taking") return 0;
    try {
      this.#overlaid = this.#readOverlay(this.#snapshot!.lastStamps);
    } catch (error) {
      this.#fail(error);
      return 0;
    }
    this.#state = "reading";
    return this.#readChunk();
  }

  #scheduleChunk(): void {
    this.#options.source.schedule(() => this.#readChunk());
  }

  /** One bounded step. A chunk in which nothing is selected is followed by the next without being asked for. */
  #readChunk(): number {
    if (this.#state !== "reading") return 0;
    try {
      const rows = this.#nextRows();
      const isLast = this.#spans.length === 0;
      if (rows.length === 0 && !isLast) {
        this.#scheduleChunk();
        return INITIAL_CHUNK_BYTES;
      }
      this.#isAsked = false;
      this.#hasBegun = true;
      if (isLast) this.end();
      const { shownAs, onChunk } = this.#options;
      onChunk(
        rows.map((row) => new InitialChange(row, shownAs)),
        isLast,
      );
    } catch (error) {
      this.#fail(error);
    }
    return INITIAL_CHUNK_BYTES;
  }

  #nextRows(): StateRow[] {
    const span = this.#spans[0];
    if (span === undefined) return [];
    const limit = Math.min(INITIAL_CHUNK_ENTRIES_MAX, Math.ceil(INITIAL_CHUNK_BYTES / this.#rowBytes));
    const rows = this.#snapshot!.read(span.start, span.end, limit);
    this.#learnBytes(rows);
    if (rows.length < limit) this.#spans.shift();
    else this.#spans[0] = { start: successor(rows.at(-1)!.key), end: span.end };
    const end = rows.length < limit ? span.end : this.#spans[0]!.start;
    return this.#overlay(rows, end).filter((row) => this.#filter.wantsKey(row.key));
  }

  #learnBytes(rows: readonly StateRow[]): void {
    if (rows.length === 0) return;
    const bytes = rows.reduce((sum, row) => sum + row.key.length + row.entry.length, 0);
    this.#rowBytes = Math.max(1, bytes / rows.length);
  }

  /** The rows, which are all that the snapshot has before `end`, with what the log says of these and other keys before `end`. */
  #overlay(rows: readonly StateRow[], end: Uint8Array): StateRow[] {
    const nowMs = this.#snapshot!.nowMs();
    const merged: StateRow[] = [];
    let next = 0;
    while (this.#overlaid[0] !== undefined && compareBytes(this.#overlaid[0].key, end) < 0) {
      const { key, entry } = this.#overlaid.shift()!;
      while (next < rows.length && compareBytes(rows[next]!.key, key) < 0) merged.push(rows[next++]!);
      if (next < rows.length && compareBytes(rows[next]!.key, key) === 0) next++;
      if (entry !== undefined && !isExpired(entry, nowMs)) merged.push({ key, entry });
    }
    return merged.concat(rows.slice(next));
  }

  /** What the shards' snapshots lack up to `through`, the newest of each key, in key order. At most one batch and one round of each shard. */
  #readOverlay(lastStamps: readonly Stamp[]): Overlaid[] {
    const newest = new Map<string, Overlaid>();
    const log = this.#options.source.logReader(FIRST_STAMP, lastStamps);
    for (;;) {
      const records = log.next(this.#through);
      if (records === "met") break;
      if (records === "paused") log.beginSlice();
      else for (const record of records) this.#note(record, newest);
    }
    return [...newest.values()].sort((a, b) => compareBytes(a.key, b.key));
  }

  #note(record: ChangeRecord, newest: Map<string, Overlaid>): void {
    if (!this.#filter.wants(record)) return;
    const key = record.key.slice();
    const entry = record.type === ChangeType.delete ? undefined : encodeEntry(record, record.value);
    newest.set(key.join(), { key, entry });
  }

  #fail(error: unknown): void {
    if (this.#state === "ended") return;
    this.end();
    this.#options.onError(error);
  }
}

/** The first key behind a key. */
function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
