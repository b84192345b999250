/**
 * Owns a naive model of the queue: messages in a list, each with its plan of what its handler will do, and the times of its tries. It knows no
 * shards, no leases and no transactions.
 */

/** A message as the tests make them. */
export interface PlannedMessage {
  readonly n: number;
  readonly delay: number;
  readonly backoff: readonly number[];
  /** Its handler throws this many times before it succeeds. */
  readonly fails: number;
  /** The first try never ends, until the store is closed. */
  readonly hangs: boolean;
}

interface ModelMessage {
  readonly plan: PlannedMessage;
  dueMs: number;
  failures: number;
  readonly triedMs: number[];
  state: "waiting" | "hanging" | "done" | "dead";
}

export class QueueModel {
  readonly #messages = new Map<number, ModelMessage>();

  enqueue(plan: PlannedMessage, nowMs: number): void {
    this.#messages.set(plan.n, {
      plan,
      dueMs: nowMs + plan.delay,
      failures: 0,
      triedMs: [],
      state: "waiting",
    });
  }

  /** Handles all that is due. */
  handle(nowMs: number): void {
    for (const message of this.#messages.values()) {
      while (message.state === "waiting" && message.dueMs <= nowMs) this.#try(message, nowMs);
    }
  }

  /** The store is closed and opened again: what was being handled waits, and nothing was counted. */
  reopen(): void {
    for (const message of this.#messages.values()) if (message.state === "hanging") message.state = "waiting";
  }

  /** A dead message is tried anew. */
  requeue(n: number, nowMs: number): void {
    const message = this.#messages.get(n)!;
    message.state = "waiting";
    message.failures = 0;
    message.dueMs = nowMs;
  }

  /** Times of the tries of each message. */
  get triedMs(): Map<number, readonly number[]> {
    return new Map([...this.#messages].map(([n, { triedMs }]) => [n, triedMs]));
  }

  numbers(state: ModelMessage["state"]): number[] {
    return [...this.#messages.values()]
      .filter((message) => message.state === state)
      .map(({ plan }) => plan.n);
  }

  get nextDueMs(): number | null {
    const due = this.numbers("waiting").map((n) => this.#messages.get(n)!.dueMs);
    return due.length === 0 ? null : Math.min(...due);
  }

  #try(message: ModelMessage, nowMs: number): void {
    const { plan, triedMs } = message;
    triedMs.push(nowMs);
    if (plan.hangs && triedMs.length === 1) message.state = "hanging";
    else if (!willThrow(plan, triedMs.length)) message.state = "done";
    else if (message.failures++ < plan.backoff.length)
      message.dueMs = nowMs + plan.backoff[message.failures - 1]!;
    else message.state = "dead";
  }
}

/** Whether try number `tries` of a message throws. One that hung counts as no failure, but was a try. */
export function willThrow({ fails, hangs }: PlannedMessage, tries: number): boolean {
  return tries - (hangs ? 1 : 0) <= fails;
}
