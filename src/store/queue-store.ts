/**
 * Owns the tables of a shard's queue. The shard's own thread writes, inside the store's transaction; any thread reads.
 *
 * Tables (an id is 12 bytes, due times are big-endian doubles, which sort because they are positive):
 *   `queue-messages`  id → message (codec/queue-message.ts)
 *   `queue-delayed`   due time, id → failures (u8), interruptions (u8)
 *   `queue-ready`     the same, for messages whose time has come
 *   `queue-leased`    id → holder (f64), due time (f64), failures (u8), interruptions (u8)
 *   `queue-dead`      id → time of death (f64), bytes of the message (u32), failures (u8), interruptions (u8), error (UTF-8)
 *   `meta` "queue"    how many rows each of them has, the bytes of the dead, and how many of those were dropped (6 × f64)
 *
 * Invariants
 * 1. An id is in exactly one of delayed, ready, leased, dead; and in messages as long as it is in one of them.
 * 2. The counts in `meta` are those of the tables. Whoever writes rows writes them, too, in the same transaction (shard/queue-batch.ts).
 */
import { KvCorruptError } from "../errors.js";
import { plain, type Row, type Table } from "./table.js";

/** Rows of the tables, and what became of the dead. */
export interface QueueCounts {
  delayed: number;
  ready: number;
  leased: number;
  dead: number;
  deadBytes: number;
  /** Dead letters that went because there were too many. */
  dropped: number;
}

/** What is known of the tries of a message. */
export interface Tries {
  /** Times that its handler has thrown. */
  readonly failures: number;
  /** Times that nobody knows how its handling ended. */
  readonly interruptions: number;
}

/** A message that waits. Arrays are private. */
export interface WaitingRow extends Tries {
  readonly dueMs: number;
  readonly id: Uint8Array;
}

/** A message that somebody handles. `dueMs` is its place among the ready ones. */
export interface LeasedRow extends WaitingRow {
  readonly holder: number;
}

/** A message that was given up. */
export interface DeadRow extends Tries {
  readonly id: Uint8Array;
  readonly diedAtMs: number;
  /** Bytes of its message. */
  readonly bytes: number;
  /** What the last handler threw, in UTF-8. */
  readonly error: Uint8Array;
}

const NAMES = ["delayed", "ready", "leased", "dead", "deadBytes", "dropped"] as const;
const COUNTS = Buffer.from("queue");
const ID_BYTES = 12;
const FIRST = Uint8Array.of(0);
const DEAD_HEADER_BYTES = 14;

export class QueueStore {
  readonly #messages: Table;
  readonly #waiting: { readonly delayed: Table; readonly ready: Table };
  readonly #leased: Table;
  readonly #dead: Table;
  readonly #meta: Table;

  /** @param openTable Opens, and where needed creates, a table of the shard's environment. */
  constructor(openTable: (name: string) => Table, meta: Table) {
    this.#messages = openTable("queue-messages");
    this.#waiting = { delayed: openTable("queue-delayed"), ready: openTable("queue-ready") };
    this.#leased = openTable("queue-leased");
    this.#dead = openTable("queue-dead");
    this.#meta = meta;
  }

  // ── counts ───────────────────────────────────────────────────────────────────────────────────────

  counts(): QueueCounts {
    return decodeCounts(this.#meta.getBinary(COUNTS) ?? new Uint8Array(8 * NAMES.length));
  }

  putCounts(counts: QueueCounts): void {
    const bytes = new Uint8Array(8 * NAMES.length);
    const view = viewOf(bytes);
    for (const [index, name] of NAMES.entries()) view.setFloat64(8 * index, counts[name]);
    this.#meta.put(COUNTS, bytes);
  }

  // ── messages ─────────────────────────────────────────────────────────────────────────────────────

  /** The message's bytes, private; `undefined` where there is none. */
  message(id: Uint8Array): Uint8Array | undefined {
    const bytes = this.#messages.getBinary(id);
    return bytes && plain(bytes);
  }

  putMessage(id: Uint8Array, message: Uint8Array): void {
    this.#messages.put(id, message);
  }

  removeMessage(id: Uint8Array): void {
    this.#messages.remove(id);
  }

  // ── delayed and ready ────────────────────────────────────────────────────────────────────────────

  /** The first messages in the order in which they are due, those of one time in the order of their commits. */
  firstWaiting(state: "delayed" | "ready", limit: number): WaitingRow[] {
    const rows: WaitingRow[] = [];
    for (const row of this.#waiting[state].getRange({ start: FIRST, limit })) rows.push(readWaiting(row));
    return rows;
  }

  putWaiting(state: "delayed" | "ready", row: WaitingRow): void {
    this.#waiting[state].put(waitingKey(row), Uint8Array.of(row.failures, row.interruptions));
  }

  removeWaiting(state: "delayed" | "ready", row: WaitingRow): void {
    this.#waiting[state].remove(waitingKey(row));
  }

  // ── leased ───────────────────────────────────────────────────────────────────────────────────────

  lease(id: Uint8Array): LeasedRow | undefined {
    const value = this.#leased.getBinary(id);
    return value && readLeased({ key: id, value });
  }

  /** All leases: they are no more than all listeners together handle at a time, and what a crash left. */
  leases(): LeasedRow[] {
    return Array.from(this.#leased.getRange({ start: FIRST }), readLeased);
  }

  putLease(row: LeasedRow): void {
    const bytes = new Uint8Array(18);
    const view = viewOf(bytes);
    view.setFloat64(0, row.holder);
    view.setFloat64(8, row.dueMs);
    bytes[16] = row.failures;
    bytes[17] = row.interruptions;
    this.#leased.put(row.id, bytes);
  }

  removeLease(id: Uint8Array): void {
    this.#leased.remove(id);
  }

  // ── dead ─────────────────────────────────────────────────────────────────────────────────────────

  dead(id: Uint8Array): DeadRow | undefined {
    const value = this.#dead.getBinary(id);
    return value && readDead({ key: id, value });
  }

  /** Dead messages whose ids are above `after` (`null`: from the first), in the order in which they were enqueued. */
  deadAfter(after: Uint8Array | null, limit: number): DeadRow[] {
    const start = new Uint8Array(ID_BYTES + 1);
    if (after !== null) start.set(after);
    return Array.from(this.#dead.getRange({ start: after === null ? FIRST : start, limit }), readDead);
  }

  putDead(row: DeadRow): void {
    const bytes = new Uint8Array(DEAD_HEADER_BYTES + row.error.length);
    const view = viewOf(bytes);
    view.setFloat64(0, row.diedAtMs);
    view.setUint32(8, row.bytes);
    bytes[12] = row.failures;
    bytes[13] = row.interruptions;
    bytes.set(row.error, DEAD_HEADER_BYTES);
    this.#dead.put(row.id, bytes);
  }

  removeDead(id: Uint8Array): void {
    this.#dead.remove(id);
  }
}

/** The row of `meta` that has the counts. Throws KvCorruptError. */
export function decodeCounts(bytes: Uint8Array): QueueCounts {
  if (bytes.length !== 8 * NAMES.length)
    throw new KvCorruptError(`the counts of a queue are ${bytes.length} bytes, not ${8 * NAMES.length}`);
  const view = viewOf(bytes);
  const values = NAMES.map((name, index) => [name, view.getFloat64(8 * index)] as const);
  return Object.fromEntries(values) as unknown as QueueCounts;
}

function waitingKey({ dueMs, id }: WaitingRow): Uint8Array {
  const bytes = new Uint8Array(8 + ID_BYTES);
  viewOf(bytes).setFloat64(0, dueMs);
  bytes.set(id, 8);
  return bytes;
}

/** A row of `queue-delayed` or `queue-ready`, in memory of its own. So are the others. */
export function readWaiting({ key, value }: Row): WaitingRow {
  const dueMs = viewOf(key).getFloat64(0);
  return { dueMs, id: copyOf(key, 8, 8 + ID_BYTES), failures: value[0]!, interruptions: value[1]! };
}

export function readLeased({ key, value }: Row): LeasedRow {
  const view = viewOf(value);
  return {
    id: copyOf(key, 0, ID_BYTES),
    holder: view.getFloat64(0),
    dueMs: view.getFloat64(8),
    failures: value[16]!,
    interruptions: value[17]!,
  };
}

export function readDead({ key, value }: Row): DeadRow {
  const view = viewOf(value);
  return {
    id: copyOf(key, 0, ID_BYTES),
    diedAtMs: view.getFloat64(0),
    bytes: view.getUint32(8),
    failures: value[12]!,
    interruptions: value[13]!,
    error: copyOf(value, DEAD_HEADER_BYTES, value.length),
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A plain private array: what LMDB hands out is a Buffer, and may be reused. */
function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(plain(bytes).subarray(start, end));
}
