/**
 * Owns one call of `listenQueue`: its handler, how many messages it handles now, and when its promise resolves. Caller's thread.
 */

/** Handles one message. When it throws or rejects, the message is tried again as its schedule says. */
export type QueueHandler = (value: unknown) => unknown;

export interface QueueListenerOptions {
  readonly handler: QueueHandler;
  /** Messages that are handled at a time. */
  readonly concurrency: number;
  /** Hears what a handler threw. */
  readonly onError: (error: unknown) => void;
}

export class QueueListener {
  /** Resolves when this listener is stopped and handles nothing, or is closed. */
  readonly done: Promise<void>;
  readonly options: QueueListenerOptions;
  #state: "listening" | "stopping" | "ended" = "listening";
  #running = 0;
  #resolve: () => void = () => {};

  constructor(options: QueueListenerOptions) {
    this.options = options;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Messages that it could take now. */
  get freeCount(): number {
    return this.#state === "listening" ? this.options.concurrency - this.#running : 0;
  }

  /** Messages that it handles. */
  get runningCount(): number {
    return this.#running;
  }

  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** It begins with a message. Undone by one {@link leave}. */
  enter(): void {
    this.#running++;
  }

  leave(): void {
    this.#running--;
    if (this.#state === "stopping" && this.#running === 0) this.close();
  }

  /** It takes no more messages, and ends when it handles none. */
  stop(): void {
    if (this.#state !== "listening") return;
    this.#state = "stopping";
    if (this.#running === 0) this.close();
  }

  /** It ends now. What it handles still is settled when it has been handled, as long as the thread has the store. Idempotent. */
  close(): void {
    this.#state = "ended";
    this.#resolve();
  }
}
