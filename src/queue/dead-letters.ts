/**
 * Owns what callers can do with messages that could not be delivered: look at them, try them again, forget them. Reads straight from the
 * shards' memory maps; what changes something is asked of the shard. Caller's thread.
 */
import { decodeKey, type KvKey } from "../codec/key.js";
import type { QueueCommand } from "../codec/queue-command.js";
import { decodeMessage } from "../codec/queue-message.js";
import { type Reply, ReplyStatus } from "../codec/reply-frame.js";
import { decodeValue } from "../codec/value.js";
import { readVersionstamp } from "../codec/versionstamp.js";
import { KvStorageError, KvTypeError, KvUnknownOutcomeError } from "../errors.js";
import { DEAD_LETTERS_PAGE_MAX, QUEUE_TURN_MESSAGES_MAX } from "../limits.js";
import type { DeadRow } from "../store/queue-store.js";
import type { ShardStore } from "../store/shard-store.js";
import { checkQueueDelay } from "./enqueue-options.js";
import { type MessageAddress, messageName, parseMessageName } from "./message-name.js";

/** A message that could not be delivered. */
export interface DeadLetter<T = unknown> {
  /** 26 hex digits. Stays the same when it is tried again and dies again. */
  readonly id: string;
  readonly value: T;
  /** What the last handler threw, or why there was none: at most 1024 bytes. */
  readonly error: string;
  /** Times that a handler has thrown. */
  readonly failures: number;
  /** Times that a process or thread has ended while it handled the message. */
  readonly interruptions: number;
  /** Versionstamp of the commit that it was enqueued with. */
  readonly versionstamp: string;
  /** Milliseconds since 1970. */
  readonly enqueuedAtMs: number;
  /** Milliseconds since 1970. */
  readonly diedAtMs: number;
  /** Keys that its value was written under when it died. */
  readonly keysIfUndelivered: readonly KvKey[];
}

export interface DeadLetterListOptions {
  /** Letters in all, an integer from 1. Default: no limit. */
  readonly limit?: number;
  /** Where to go on: the id of the letter before. */
  readonly after?: string;
}

export interface DeadLetterPurgeOptions {
  /** Only letters that died before this time, in milliseconds since 1970. Default: all. */
  readonly diedBeforeMs?: number;
}

/** What it needs of the store. */
export interface DeadLetterSource {
  /** Throws when the store is closed. */
  readonly stores: () => readonly ShardStore[];
  readonly command: (shard: number, command: QueueCommand) => Promise<Reply>;
}

interface DeadMessage extends MessageAddress {
  readonly row: DeadRow;
}

/**
 * The messages of a store that could not be delivered: their handler has failed as often as their schedule allows, or has ended its process
 * again and again. Also those that were written under `keysIfUndelivered`.
 *
 * *Bounds*: a store keeps the newest 100,000 letters, and no more than 256 MiB of them; `queueStats().dropped` counts those that had to go.
 */
export class DeadLetters {
  readonly #source: DeadLetterSource;

  /** Made by `kv.deadLetters`. */
  constructor(source: DeadLetterSource) {
    this.#source = source;
  }

  /**
   * The letters, in the order in which they were enqueued. They are read a page at a time: no snapshot is held between pages, and letters that
   * die or go meanwhile may be seen or not.
   *
   * @throws with the first letter KvTypeError KV_INVALID_OPTION; KvClosedError.
   */
  async *list<T = unknown>(
    options: DeadLetterListOptions = {},
  ): AsyncGenerator<DeadLetter<T>, void, undefined> {
    let left = checkLimit(options.limit);
    const { after } = options;
    const start = after === undefined ? null : parseMessageName(after, this.#source.stores().length).id;
    for (const dead of this.#merged(start)) {
      if (left-- === 0) return;
      const letter = this.#letter<T>(dead);
      if (letter !== null) yield letter;
    }
  }

  /** A letter; `null` when there is none with this id. Throws KvTypeError KV_INVALID_OPTION; KvClosedError. */
  async get<T = unknown>(id: string): Promise<DeadLetter<T> | null> {
    const address = this.#address(id);
    const store = this.#store(address.shard);
    const row = store.queue.dead(address.id);
    return row === undefined ? null : this.#letter<T>({ ...address, row });
  }

  /**
   * Lets a letter be delivered again, with its schedule begun anew. False when there is none with this id.
   *
   * @param options `delay` in milliseconds, 0 to 30 days. Default: 0.
   * @throws KvTypeError KV_INVALID_OPTION; KvClosedError; what a write throws.
   */
  async requeue(id: string, options: { readonly delay?: number } = {}): Promise<boolean> {
    const address = this.#address(id);
    const delayMs = options.delay ?? 0;
    checkQueueDelay(delayMs);
    return (await this.#run(address.shard, { kind: "requeue", ids: [address.id], delayMs })) === 1;
  }

  /** Forgets a letter. False when there is none with this id. Throws KvTypeError KV_INVALID_OPTION; KvClosedError; what a write throws. */
  async delete(id: string): Promise<boolean> {
    const { shard, id: bytes } = this.#address(id);
    return (await this.#run(shard, { kind: "remove", ids: [bytes] })) === 1;
  }

  /** Forgets letters, in many small transactions, and says how many. Throws KvTypeError KV_INVALID_OPTION; KvClosedError; what a write throws. */
  async purge(options: DeadLetterPurgeOptions = {}): Promise<number> {
    const { diedBeforeMs = Number.POSITIVE_INFINITY } = options;
    if (typeof diedBeforeMs !== "number" || Number.isNaN(diedBeforeMs)) {
      throw invalid(`diedBeforeMs must be a number: received ${String(diedBeforeMs)}`);
    }
    let count = 0;
    for (const shard of this.#source.stores().keys()) {
      let after: Uint8Array | null = null;
      for (;;) {
        const rows: DeadRow[] = this.#store(shard).queue.deadAfter(after, QUEUE_TURN_MESSAGES_MAX);
        if (rows.length === 0) break;
        after = rows.at(-1)!.id;
        const ids = rows.filter(({ diedAtMs }) => diedAtMs < diedBeforeMs).map(({ id }) => id);
        if (ids.length > 0) count += await this.#run(shard, { kind: "remove", ids });
      }
    }
    return count;
  }

  // ── reading ──────────────────────────────────────────────────────────────────────────────────────

  /** The letters of all shards after an id, merged. */
  *#merged(after: Uint8Array | null): Generator<DeadMessage> {
    const sources = [...this.#source.stores().keys()].map((shard) => this.#ofShard(shard, after));
    const heads = sources.map((source) => source.next());
    for (;;) {
      const first = firstOf(heads);
      if (first < 0) return;
      yield heads[first]!.value as DeadMessage;
      heads[first] = sources[first]!.next();
    }
  }

  *#ofShard(shard: number, start: Uint8Array | null): Generator<DeadMessage> {
    let after = start;
    for (;;) {
      const rows = this.#store(shard).queue.deadAfter(after, DEAD_LETTERS_PAGE_MAX);
      for (const row of rows) yield { shard, id: row.id, row };
      if (rows.length < DEAD_LETTERS_PAGE_MAX) return;
      after = rows.at(-1)!.id;
    }
  }

  /** `null` when it has gone meanwhile. */
  #letter<T>({ shard, id, row }: DeadMessage): DeadLetter<T> | null {
    const bytes = this.#store(shard).queue.message(id);
    if (bytes === undefined) return null;
    const message = decodeMessage(bytes);
    return {
      id: messageName({ shard, id }),
      value: decodeValue(message.encoding, message.value) as T,
      error: Buffer.from(row.error).toString(),
      failures: row.failures,
      interruptions: row.interruptions,
      versionstamp: readVersionstamp(id, 0),
      enqueuedAtMs: message.enqueuedAtMs,
      diedAtMs: row.diedAtMs,
      keysIfUndelivered: message.keys.map(decodeKey),
    };
  }

  #store(shard: number): ShardStore {
    const store = this.#source.stores()[shard]!;
    store.renew();
    return store;
  }

  #address(id: string): MessageAddress {
    return parseMessageName(id, this.#source.stores().length);
  }

  /** Letters that the command was about and that were there. */
  async #run(shard: number, command: QueueCommand): Promise<number> {
    const reply = await this.#source.command(shard, command);
    if (reply.status === ReplyStatus.queue) return reply.count;
    if (reply.status === ReplyStatus.storage) throw new KvStorageError(reply.message);
    throw new KvUnknownOutcomeError(shard);
  }
}

function firstOf(heads: readonly IteratorResult<DeadMessage>[]): number {
  let first = -1;
  heads.forEach((head, index) => {
    if (head.done) return;
    const best = first < 0 ? null : (heads[first]!.value as DeadMessage);
    if (best === null || Buffer.compare(head.value.id, best.id) < 0) first = index;
  });
  return first;
}

function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  if (Number.isInteger(limit) && limit > 0) return limit;
  throw invalid(`limit must be a positive integer: received ${String(limit)}`);
}

function invalid(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_OPTION", message);
}
