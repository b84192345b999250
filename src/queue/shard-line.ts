/**
 * Owns what one thread and one shard have to say to each other about messages: which the thread holds, what became of them, and that there is
 * one turn at a time. Caller's thread.
 *
 * Invariants
 * 1. At most one turn is under way. What is settled meanwhile goes with the next, so a busy line settles and leases many at a time.
 * 2. A message is held from the answer that leased it until the answer that settled it.
 * 3. Saying a settlement twice does no harm: the shard ignores what the thread has no lease of. So one whose answer is unknown is said again.
 * 4. When the shard has a new thread, the next turn names all that is held: what the old thread had leased and could not tell goes back.
 */
import type { Outcome, QueueCommand, Settlement } from "../codec/queue-command.js";
import { QUEUE_TURN_MESSAGES_MAX } from "../limits.js";

/** A message that this thread has the lease of. */
export interface Held {
  readonly shard: number;
  readonly id: Uint8Array;
  readonly failures: number;
  readonly interruptions: number;
  /** Handled, or written under its keys, or waiting to be settled. */
  state: "handling" | "burying" | "settling";
}

/** Between turns, in one, or given up: waiting for a while, or for good. */
export type LineState = "idle" | "asking" | "pausing" | "lost";

export class ShardLine {
  state: LineState = "idle";
  readonly #held = new Map<string, Held>();
  #settlements: Settlement[] = [];
  #resumes = false;

  constructor(readonly shard: number) {}

  /** Messages of this shard that the thread holds. */
  get heldCount(): number {
    return this.#held.size;
  }

  /** Whether there is something that the shard should hear. */
  get hasNews(): boolean {
    return this.#settlements.length > 0 || this.#resumes;
  }

  /** Whether some settlement is not acknowledged yet. */
  get isSettling(): boolean {
    return this.#settlements.length > 0 || this.state === "asking";
  }

  /** Takes a message over. */
  hold(held: Held): void {
    this.#held.set(nameOf(held.id), held);
  }

  /** Lets a message go that was buried, or whose lease is gone. */
  drop(held: Held): void {
    this.#held.delete(nameOf(held.id));
  }

  /** Says what became of a message; nothing happens where it was said before. */
  settle(held: Held, outcome: Outcome): void {
    if (held.state === "settling" || this.state === "lost") return;
    held.state = "settling";
    this.#settlements.push({ id: held.id, outcome });
  }

  /** The shard has a new thread. */
  resume(): void {
    this.#resumes = true;
  }

  /** Messages that are being handled. */
  *handled(): Iterable<Held> {
    for (const held of this.#held.values()) if (held.state === "handling") yield held;
  }

  /** Begins a turn. */
  begin(want: number): Extract<QueueCommand, { kind: "turn" }> {
    this.state = "asking";
    const held = this.#resumes ? Array.from(this.#held.values(), ({ id }) => id) : null;
    this.#resumes = false;
    const settlements = this.#settlements.splice(0, QUEUE_TURN_MESSAGES_MAX);
    return { kind: "turn", want, settlements, held };
  }

  /** Ends a turn that was answered. */
  end(turn: Extract<QueueCommand, { kind: "turn" }>): void {
    this.state = "idle";
    for (const { id } of turn.settlements) this.#held.delete(nameOf(id));
  }

  /** Ends a turn of which nobody knows whether it was executed, or that was not: its news are to be told again. */
  undo(turn: Extract<QueueCommand, { kind: "turn" }>, isUnknown: boolean): void {
    this.state = "idle";
    this.#settlements.unshift(...turn.settlements);
    this.#resumes ||= isUnknown || turn.held !== null;
  }

  /** The shard takes no writes any more: what it has leased is ready again when the store is opened anew. */
  lose(): void {
    this.state = "lost";
    this.#settlements = [];
    this.#resumes = false;
    this.#held.clear();
  }
}

function nameOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}
