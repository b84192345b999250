/**
 * Owns following one shard: its records in order, once each, from the ring, and from the log where the ring has lost them.
 * Runs in a caller's thread, driven by the dispatcher.
 *
 * It is in one of two sources. In `ring` it polls. When the ring has lapped it, shows a stub (a record too large for the ring), or
 * has got a new writer (the shard's thread died, and may have committed what it never published), it turns to `log`.
 *
 * Why neither a gap nor a duplicate comes of it. Let X be the queue's `sealed`: up to it nothing is missing.
 * - Turning to the log, it forgets the records behind X, which may be half a commit, notes the ring's epoch, then its tail T, then
 *   the shared counter C, and reads the log from X on. Whatever was published before T was committed to the log before that, by
 *   any writer up to that epoch whether published or not, has a counter of at most C, and follows X; so reading the log until it
 *   has no more, or until it shows a counter above C, yields all of it. The log gives whole commits: the last one read is `sealed`.
 * - Back in the ring it begins at T. Everything published before T was read. What comes at or behind T and was in the log already
 *   is at or below `sealed`, and the queue skips it: logs and rings are in the same order. What was not comes now.
 * - If the ring laps it again before it gets back to T, or gets yet another writer, the poll says so, and all begins anew from `sealed`.
 *   The epoch is looked at *after* each poll, so a record of a new writer is never believed to follow the old one's directly.
 *
 * Invariants:
 * 1. The queue holds those of the shard's records above the start that somebody wanted when they came, in order, once, whole up to `queue.sealed`.
 * 2. It says that everything below the watermark is there only when the ring was empty in a poll after the watermark was taken.
 * 3. One `fill` reads at most POLL_BYTES_MAX bytes (and one record, or one row, more), and reads nothing while the queue holds
 *    DISPATCH_BACKLOG_BYTES_MAX that nobody takes; the rest stays in the ring, and if it is lapped there, in the log.
 *
 * It does not know the other shards, and does not catch errors of the log: the dispatcher ends everything with them.
 */
import { KvCorruptError } from "../errors.js";
import { DISPATCH_BACKLOG_BYTES_MAX, POLL_BYTES_MAX } from "../limits.js";
import { ChangeRingReader } from "../ring/change-ring.js";
import { appendLog, type ReadLog } from "./log-reader.js";
import { type Interest, RecordQueue } from "./record-queue.js";
import { lastStampBelow, type Stamp } from "./stamp.js";
import { publishLap } from "./watch-diagnostics.js";

type FeedSource = "ring" | "log";

/** What one step of reading came to: bytes read; `"empty"`: nothing more in the ring; `"turned"`: now in the other source. */
type Step = number | "empty" | "turned";

export interface ShardFeedOptions {
  readonly shard: number;
  readonly ring: SharedArrayBuffer;
  readonly readLog: ReadLog;
  /** The largest counter value taken so far, by any shard. */
  readonly counter: () => number;
  /** Records at or below it are not wanted. Everything up to it must have been published when the feed is made. */
  readonly after: Stamp;
  /** Who may want a record that comes now. */
  readonly interest: Interest;
}

export class ShardFeed {
  readonly queue: RecordQueue;
  readonly #shard: number;
  readonly #reader: ChangeRingReader;
  readonly #readLog: ReadLog;
  readonly #counter: () => number;
  #source: FeedSource = "ring";
  /** The ring's writer whose records are believed to follow each other. */
  #epoch: number;
  /** In `log`: a counter above it shows that everything of the ring's lost part was read. */
  #counterAtTurn = 0;
  #hasMore = false;

  /** Begins at what is published next. The epoch is noted before the tail, so that a writer that comes between is noticed. */
  constructor(options: ShardFeedOptions) {
    this.#shard = options.shard;
    this.#readLog = options.readLog;
    this.#counter = options.counter;
    this.queue = new RecordQueue(options.after, options.interest);
    this.#reader = new ChangeRingReader(options.ring);
    this.#epoch = this.#reader.epoch;
    this.#reader.skipTo(this.#reader.tail);
  }

  get source(): FeedSource {
    return this.#source;
  }

  /** Whether the last `fill` left something that another one could read now. */
  hasMore(watermark: number): boolean {
    return this.#hasMore && this.#hasRoom(watermark);
  }

  /**
   * Reads on. `watermark` and `ownLine` were taken before the call: every record with a counter below the one has been published, and every
   * record of this shard below the other.
   *
   * @throws whatever reading the log throws, or KvCorruptError; then the feed is of no more use.
   */
  fill(watermark: number, ownLine = watermark): void {
    let bytesLeft = POLL_BYTES_MAX;
    this.#hasMore = true;
    while (bytesLeft > 0 && this.#hasRoom(watermark)) {
      const step = this.#source === "ring" ? this.#readRing(bytesLeft) : this.#readLogOnce(bytesLeft);
      if (step === "empty") {
        this.queue.coverThrough(lastStampBelow(Math.max(watermark, ownLine)));
        this.#hasMore = false;
        return;
      }
      // A turn may find the ring lapped again at once: so it ends the work of this time.
      if (step === "turned") return;
      bytesLeft -= step;
    }
  }

  /** The shard has a new thread, or the owner suspects that the ring lost something: takes what follows from the log. */
  restart(): void {
    this.#turnToLog();
  }

  /** A single commit may be larger than the backlog. It is read on, unless the watermark holds it back anyway. */
  #hasRoom(watermark: number): boolean {
    if (this.queue.bytes < DISPATCH_BACKLOG_BYTES_MAX) return true;
    return this.queue.holdsNothingWhole && this.queue.last.counter < watermark;
  }

  #readRing(bytesMax: number): Step {
    const polled = this.#reader.poll(bytesMax);
    if (polled === "lapped") publishLap({ shard: this.#shard });
    if (polled === "lapped" || this.#reader.epoch !== this.#epoch) return this.#turnToLog();
    if (polled === "empty") return "empty";
    if (!this.queue.appendRing(polled)) return this.#turnToLog();
    return polled.byteLength;
  }

  #readLogOnce(bytesMax: number): Step {
    const bytes = appendLog(this.queue, this.#readLog(this.#shard, this.queue.sealed, bytesMax));
    if (bytes > 0 && this.queue.sealed.counter <= this.#counterAtTurn) return bytes;
    this.#source = "ring";
    return bytes;
  }

  /** The order of these steps is the proof in the header. */
  #turnToLog(): Step {
    this.queue.dropUnsealed();
    this.#epoch = this.#reader.epoch;
    this.#reader.skipTo(this.#reader.tail);
    this.#counterAtTurn = this.#counter();
    if (this.#counterAtTurn < this.queue.sealed.counter) {
      throw new KvCorruptError(
        `shard ${this.#shard} has a change of counter ${this.queue.sealed.counter}, above the counter itself`,
      );
    }
    this.#source = "log";
    return "turned";
  }
}
