/**
 * Owns the handling of messages on one thread: leases as many as its listeners have room for, hands them out in turn, and tells the shards
 * what became of them. Runs on the caller's thread; every thread that shares a store has one.
 *
 * How a message gets here: a shard that has some ready says so in shared memory and rings the threads that could take some. Each of those
 * asks for as many as it has free handlers, gets its share, reads the messages from the shard's memory map, and handles them. Nothing is
 * asked for in advance, so a slow thread keeps no message from a quick one.
 *
 * Invariants
 * 1. It says that it could take messages before it looks whether there are some; a shard says that there are some before it looks who could
 *    take them. So no message waits for a thread that does not know of it.
 * 2. Messages that are asked for and messages that are handled are together no more than the listeners' concurrency.
 * 3. A message is handled only when every shard has committed its commit: its handler reads all of it.
 * 4. A message that can't be delivered dies by a commit, which writes its keys, too; that commit is made only while it is leased here.
 */

import { debuglog } from "node:util";
import type { CommitFields } from "../codec/commit-frame.js";
import { Outcome, type QueueCommand } from "../codec/queue-command.js";
import type { MessageFields } from "../codec/queue-message.js";
import { type LeaseFields, type Reply, ReplyStatus } from "../codec/reply-frame.js";
import { decodeValue } from "../codec/value.js";
import { KvShardFailedError, KvUnknownOutcomeError } from "../errors.js";
import { DRAIN_MS_MAX, QUEUE_HELD_MAX, QUEUE_RETRY_MS, QUEUE_TURN_MESSAGES_MAX } from "../limits.js";
import type { Control } from "../ring/control.js";
import { QueueListener, type QueueListenerOptions } from "./queue-listener.js";
import { type Held, ShardLine } from "./shard-line.js";
import { burialOf, type CauseOfDeath, readMessage, reasonNotToHandle, textOf } from "./undeliverable.js";

const debug = debuglog("belfry:queue");

export interface QueueClientOptions {
  readonly control: Control;
  readonly caller: number;
  /** Names this thread as a holder of leases. */
  readonly holder: number;
  readonly command: (shard: number, command: QueueCommand) => Promise<Reply>;
  readonly commit: (fields: CommitFields) => Promise<Reply>;
  readonly shardOf: (key: Uint8Array) => number;
  /** Messages of a shard, private bytes, once whatever they were committed with is there. */
  readonly read: (shard: number, ids: readonly Uint8Array[]) => Promise<(Uint8Array | undefined)[]>;
  /** There is a listener, or something to tell a shard, or there is none any more: the process must live, or may end. */
  readonly hold: () => void;
  readonly release: () => void;
}

export class QueueClient {
  readonly #options: QueueClientOptions;
  readonly #lines: readonly ShardLine[];
  readonly #listeners = new Set<QueueListener>();
  /** Room that is promised to messages which were asked for. */
  #reserved = 0;
  #firstLine = 0;
  #isHolding = false;
  #isListening = false;
  #isPumpScheduled = false;
  #isClosed = false;

  constructor(options: QueueClientOptions) {
    this.#options = options;
    this.#lines = Array.from({ length: options.control.shardCount }, (_, shard) => new ShardLine(shard));
  }

  /** Messages that this thread handles. */
  get runningCount(): number {
    let count = 0;
    for (const { runningCount } of this.#listeners) count += runningCount;
    return count;
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  /** A shard has rung. Hot path: also every answer to a commit comes with a ring. */
  onBell(): void {
    if (this.#listeners.size > 0) this.poll();
  }

  /** Begins to listen. */
  listen(options: QueueListenerOptions): QueueListener {
    const listener = new QueueListener(options);
    this.#listeners.add(listener);
    void listener.done.then(() => {
      this.#listeners.delete(listener);
      this.poll();
    });
    this.poll();
    return listener;
  }

  /** Asks the shards for messages where there are some and room for them, and tells them what became of others. */
  poll(): void {
    const { control } = this.#options;
    let free = this.#freeCount();
    this.#sayListening(free > 0);
    const lines = this.#inTurn().filter(({ state }) => state === "idle");
    let withReady = lines.filter(({ shard }) => control.queueReady(shard) > 0).length;
    for (const line of lines) {
      let want = 0;
      if (free > 0 && control.queueReady(line.shard) > 0) {
        want = Math.min(Math.ceil(free / Math.max(1, withReady--)), QUEUE_TURN_MESSAGES_MAX, free);
      }
      if (want === 0 && !line.hasNews) continue;
      free -= want;
      this.#reserved += want;
      void this.#turn(line, want);
    }
    this.#keepAlive();
  }

  /** A shard has a new thread, and its old one's answers have been taken. */
  shardRestarted(shard: number): void {
    const line = this.#lines[shard]!;
    // In a turn of its own, when whoever waits for those answers has heard them.
    setImmediate(() => {
      if (line.heldCount === 0 && line.state !== "asking") return this.poll();
      line.resume();
      this.poll();
    });
  }

  /**
   * Ends the listeners, and gives back what is being handled. Resolves when the shards know of everything that was handled before, or
   * refuse to hear it.
   */
  async drain(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    this.#isClosed = true;
    if (!this.#lines.some(({ heldCount, isSettling }) => heldCount > 0 || isSettling)) return;
    // A handler may itself have closed the store, and end right after it.
    await new Promise((resolve) => setImmediate(resolve));
    for (const line of this.#lines) if (line.state === "pausing") line.state = "idle";
    const deadlineMs = Date.now() + DRAIN_MS_MAX;
    do {
      for (const line of this.#lines) {
        for (const held of line.handled()) line.settle(held, Outcome.returned);
      }
      this.poll();
      await new Promise((resolve) => setTimeout(resolve, 1));
    } while (this.#isSettling && Date.now() < deadlineMs);
  }

  /** Whether a shard that listens has yet to hear something. */
  get #isSettling(): boolean {
    return this.#lines.some(({ isSettling, state }) => isSettling && state !== "pausing");
  }

  // ── turns ────────────────────────────────────────────────────────────────────────────────────────

  async #turn(line: ShardLine, want: number): Promise<void> {
    const turn = line.begin(want);
    try {
      const reply = await this.#options.command(line.shard, turn);
      if (reply.status === ReplyStatus.queue) {
        line.end(turn);
        this.#accept(line, reply.leases, want);
      } else {
        this.#reserved -= want;
        line.undo(turn, reply.status === ReplyStatus.unknown);
        if (reply.status !== ReplyStatus.unknown) this.#pause(line);
      }
    } catch (error) {
      this.#reserved -= want;
      if (error instanceof KvShardFailedError) line.lose();
      else {
        // It was not sent, or nobody knows: the shard is stuck, or too much waits for it.
        line.undo(turn, true);
        this.#pause(line);
      }
    }
    this.poll();
  }

  #pause(line: ShardLine): void {
    debug("shard %d is not asked for %d ms", line.shard, QUEUE_RETRY_MS);
    line.state = "pausing";
    setTimeout(() => {
      if (line.state === "pausing") line.state = "idle";
      this.poll();
    }, QUEUE_RETRY_MS).unref();
  }

  /** Hands out what was leased. */
  #accept(line: ShardLine, leases: readonly LeaseFields[], want: number): void {
    this.#reserved -= want;
    const work: { held: Held; listener: QueueListener }[] = [];
    for (const lease of leases) {
      const held: Held = { shard: line.shard, ...lease, state: "handling" };
      line.hold(held);
      const listener = this.#nextListener();
      // Whoever asked for it is gone.
      if (listener === undefined) line.settle(held, Outcome.returned);
      else {
        listener.enter();
        work.push({ held, listener });
      }
    }
    if (work.length > 0) void this.#begin(line, work);
  }

  async #begin(
    line: ShardLine,
    work: readonly { readonly held: Held; readonly listener: QueueListener }[],
  ): Promise<void> {
    let messages: readonly (Uint8Array | undefined)[];
    try {
      messages = await this.#options.read(
        line.shard,
        work.map(({ held }) => held.id),
      );
    } catch (error) {
      this.#warn(`messages of shard ${line.shard} can't be read now`, error);
      for (const { held, listener } of work) this.#finish(held, listener, Outcome.returned);
      this.#pause(line);
      return;
    }
    work.forEach(({ held, listener }, index) => {
      const bytes = messages[index];
      // It was given back meanwhile, since the store closes or the shard is lost.
      if (held.state !== "handling") this.#finish(held, listener, Outcome.returned);
      else void this.#handle(held, listener, bytes);
    });
  }

  async #handle(held: Held, listener: QueueListener, bytes: Uint8Array | undefined): Promise<void> {
    const message = readMessage(bytes);
    const reason = reasonNotToHandle(held, message);
    if (reason !== null)
      return this.#bury(held, listener, message, { failures: held.failures, error: reason });
    try {
      await listener.options.handler(decodeValue(message.encoding, message.value));
    } catch (error) {
      try {
        listener.options.onError(error);
      } finally {
        const failures = held.failures + 1;
        if (failures <= message.backoffMs.length) this.#finish(held, listener, Outcome.failed);
        else await this.#bury(held, listener, message, { failures, error: textOf(error) });
      }
      return;
    }
    this.#finish(held, listener, Outcome.done);
  }

  #finish(held: Held, listener: QueueListener, outcome: Outcome): void {
    this.#lines[held.shard]!.settle(held, outcome);
    listener.leave();
    this.#schedulePoll();
  }

  // ── messages that can't be delivered ─────────────────────────────────────────────────────────────

  /** Makes a dead letter of it, and writes it under its keys. Tries until that is done, or the store closes: then it is tried anew. */
  async #bury(
    held: Held,
    listener: QueueListener,
    message: MessageFields,
    cause: CauseOfDeath,
  ): Promise<void> {
    if (held.state !== "handling") return listener.leave();
    held.state = "burying";
    while (!(await this.#tryBury(held, message, cause))) {
      await new Promise((resolve) => setTimeout(resolve, QUEUE_RETRY_MS).unref());
      if (this.#isClosed) return listener.leave();
    }
    debug("a message of shard %d is a dead letter: %s", held.shard, cause.error);
    this.#lines[held.shard]!.drop(held);
    listener.leave();
    this.#schedulePoll();
  }

  async #tryBury(held: Held, message: MessageFields, cause: CauseOfDeath): Promise<boolean> {
    try {
      const reply = await this.#options.commit(burialOf(held, message, cause, this.#options));
      // Refused: the lease is gone, since an earlier try was made whose answer was lost, or the shard is lost.
      return reply.status === ReplyStatus.committed || reply.status === ReplyStatus.refused;
    } catch (error) {
      const isNews = !this.#isClosed && !(error instanceof KvUnknownOutcomeError);
      if (isNews) this.#warn("a message that can't be delivered could not be put aside yet", error);
      return false;
    }
  }

  // ── room ─────────────────────────────────────────────────────────────────────────────────────────

  #sayListening(isListening: boolean): void {
    if (isListening === this.#isListening) return;
    this.#isListening = isListening;
    this.#options.control.setListening(this.#options.caller, isListening);
  }

  #freeCount(): number {
    if (this.#isClosed) return 0;
    let free = -this.#reserved;
    for (const { freeCount } of this.#listeners) free += freeCount;
    const held = this.#lines.reduce((sum, { heldCount }) => sum + heldCount, 0);
    return Math.max(0, Math.min(free, QUEUE_HELD_MAX - this.#reserved - held));
  }

  /** The next one with room; they take turns. */
  #nextListener(): QueueListener | undefined {
    for (const listener of this.#listeners) {
      if (listener.freeCount === 0) continue;
      this.#listeners.delete(listener);
      this.#listeners.add(listener);
      return listener;
    }
    return undefined;
  }

  /** All lines, each time beginning with another. */
  #inTurn(): ShardLine[] {
    const first = this.#firstLine++ % this.#lines.length;
    return [...this.#lines.slice(first), ...this.#lines.slice(0, first)];
  }

  /** Once for all handlers that end in one turn of the event loop's microtasks. */
  #schedulePoll(): void {
    if (this.#isPumpScheduled) return;
    this.#isPumpScheduled = true;
    queueMicrotask(() => {
      this.#isPumpScheduled = false;
      this.poll();
    });
  }

  #keepAlive(): void {
    const isNeeded = this.#listeners.size > 0 || this.#lines.some(({ isSettling }) => isSettling);
    if (isNeeded === this.#isHolding) return;
    this.#isHolding = isNeeded;
    if (isNeeded) this.#options.hold();
    else this.#options.release();
  }

  #warn(what: string, error: unknown): void {
    process.emitWarning(`${what}: ${textOf(error)}`, "BelfryWarning");
  }
}
