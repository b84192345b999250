/**
 * Owns the verification of one shard's queue: what the rows of its tables must be, and how the tables must agree. It is fed with all rows
 * of them, the messages first.
 *
 * What must hold
 * 1. Every row has the form that queue-store.ts tells: ids, due times, holders, counts of tries; every message can be decoded.
 * 2. A message is in exactly one of delayed, ready, leased and dead; what is in one of them has its message, and no message is in none.
 * 3. An id has a versionstamp that the shard has given out; a dead letter says how many bytes its message has.
 * 4. The counts in `meta` are those of the tables.
 */
import { decodeKey } from "../codec/key-decoder.js";
import { decodeMessage, MESSAGE_ID_BYTES } from "../codec/queue-message.js";
import { decodeValue } from "../codec/value.js";
import { readVersionstamp } from "../codec/versionstamp.js";
import { QUEUE_ERROR_BYTES_MAX } from "../limits.js";
import { decodeCounts, type QueueCounts, readDead, readLeased, readWaiting } from "../store/queue-store.js";

/** The tables, in the order in which they have to come. */
export const QUEUE_TABLES = [
  "queue-messages",
  "queue-delayed",
  "queue-ready",
  "queue-leased",
  "queue-dead",
] as const;
export type QueueTable = (typeof QUEUE_TABLES)[number];

const WAITING_KEY_BYTES = 8 + MESSAGE_ID_BYTES;
const WAITING_BYTES = 2;
const LEASED_BYTES = 18;
const DEAD_HEADER_BYTES = 14;

const NOTHING: QueueCounts = { delayed: 0, ready: 0, leased: 0, dead: 0, deadBytes: 0, dropped: 0 };

export class QueueVerification {
  readonly #report: (what: string) => void;
  /** By id: the bytes of the message, and the state in which it was found. */
  readonly #messages = new Map<string, { readonly bytes: number; state: QueueTable | null }>();
  readonly #found: QueueCounts = { ...NOTHING };
  #said: QueueCounts = NOTHING;
  /** No id may be above it; `null` while nobody has said where the shard stands. */
  #lastVersionstamp: string | null = null;

  constructor(report: (what: string) => void) {
    this.#report = report;
  }

  /** Where the shard stands. Comes before the tables. */
  stands(lastVersionstamp: string): void {
    this.#lastVersionstamp = lastVersionstamp;
  }

  /** What `meta` says of the tables. Throws what is wrong with the row. */
  counts(payload: Uint8Array): void {
    this.#said = decodeCounts(payload);
  }

  /** One row of a table. Throws what is wrong with it. */
  row(table: QueueTable, key: Uint8Array, value: Uint8Array): void {
    if (table === "queue-messages") this.#message(key, value);
    else if (table === "queue-leased") this.#leased(key, value);
    else if (table === "queue-dead") this.#dead(key, value);
    else this.#waiting(table, key, value);
  }

  /** All rows have come: what they must be together. The number of messages. */
  finish(): number {
    for (const [id, { state }] of this.#messages) {
      if (state === null) this.#report(`queue-messages: ${id} is in no state: nobody will ever get it`);
    }
    for (const name of ["delayed", "ready", "leased", "dead", "deadBytes"] as const) {
      if (this.#said[name] !== this.#found[name])
        this.#report(
          `meta: the queue is said to have ${this.#said[name]} ${name}, it has ${this.#found[name]}`,
        );
    }
    return this.#messages.size;
  }

  #message(id: Uint8Array, payload: Uint8Array): void {
    demandBytes("an id", id, MESSAGE_ID_BYTES);
    const versionstamp = readVersionstamp(id, 0);
    if (this.#lastVersionstamp === null || versionstamp > this.#lastVersionstamp)
      this.#report(`queue-messages: ${hex(id)} is above the last versionstamp of the shard`);
    // Noted first, so that a message which can't be read is one problem, and not also a missing one.
    this.#messages.set(hex(id), { bytes: payload.length, state: null });
    const { encoding, value, enqueuedAtMs, backoffMs, keys } = decodeMessage(payload);
    decodeValue(encoding, value);
    for (const key of keys) decodeKey(key);
    demandTime("the time at which it was enqueued", enqueuedAtMs);
    for (const intervalMs of backoffMs) demandTime("an interval of its schedule", intervalMs);
  }

  #waiting(table: "queue-delayed" | "queue-ready", key: Uint8Array, value: Uint8Array): void {
    demandBytes("a key", key, WAITING_KEY_BYTES);
    demandBytes("a row", value, WAITING_BYTES);
    const { id, dueMs } = readWaiting({ key, value });
    this.#enter(table, id);
    this.#found[table === "queue-delayed" ? "delayed" : "ready"]++;
    demandTime("a due time", dueMs);
  }

  #leased(key: Uint8Array, value: Uint8Array): void {
    demandBytes("an id", key, MESSAGE_ID_BYTES);
    demandBytes("a row", value, LEASED_BYTES);
    const { id, holder, dueMs } = readLeased({ key, value });
    this.#enter("queue-leased", id);
    this.#found.leased++;
    demandTime("a due time", dueMs);
    if (!Number.isSafeInteger(holder) || holder < 0)
      throw new Error(`the holder ${holder} is no name of one`);
  }

  #dead(key: Uint8Array, value: Uint8Array): void {
    demandBytes("an id", key, MESSAGE_ID_BYTES);
    if (value.length < DEAD_HEADER_BYTES || value.length > DEAD_HEADER_BYTES + QUEUE_ERROR_BYTES_MAX)
      throw new Error(`a dead letter is ${value.length} bytes`);
    const { id, diedAtMs, bytes } = readDead({ key, value });
    const message = this.#enter("queue-dead", id);
    this.#found.dead++;
    this.#found.deadBytes += bytes;
    demandTime("the time of its death", diedAtMs);
    if (message !== undefined && message.bytes !== bytes)
      throw new Error(`a dead letter says ${bytes} bytes, its message has ${message.bytes}`);
  }

  /** A message has been found in a state: it must be there, and in no other. */
  #enter(state: QueueTable, id: Uint8Array): { readonly bytes: number } | undefined {
    const message = this.#messages.get(hex(id));
    if (message === undefined) this.#report(`${state}: ${hex(id)} has no message`);
    else if (message.state === null) message.state = state;
    else this.#report(`${state}: ${hex(id)} is in ${message.state} as well`);
    return message;
  }
}

function demandBytes(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new Error(`${what} is ${bytes.length} bytes, not ${length}`);
}

/** Milliseconds, of a time or between times: due times sort only when they are positive. */
function demandTime(what: string, ms: number): void {
  if (!(ms >= 0 && Number.isFinite(ms))) throw new Error(`${what} is ${ms} ms`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
