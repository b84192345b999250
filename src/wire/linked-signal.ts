/**
 * Owns the end of something long-lived, and signals that follow it for as long as a request takes.
 *
 * `AbortSignal.any` leaves a trace on its sources that outlives it (Node 20: some 60 bytes a call), and listeners on one signal are counted and
 * warned about beyond ten. Here followers stand in a set, and take themselves out of it.
 */

/** Whether something long-lived, such as a server or a client, is over. */
export class Ending {
  readonly #controller = new AbortController();
  readonly #followers = new Set<(reason: unknown) => void>();

  /** For whoever lives as long; requests follow. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isOver(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Ends it, and all that follow. The first reason counts. */
  end(reason: unknown): void {
    this.#controller.abort(reason);
    for (const follower of this.#followers) follower(reason);
    this.#followers.clear();
  }

  /** Hears of the end, at once if it is over. Returns what ends the listening. */
  follow(follower: (reason: unknown) => void): () => void {
    if (this.isOver) follower(this.#controller.signal.reason);
    else this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }
}

/** A signal that aborts with an ending, with a signal that lives no longer than this one, or after a time; until it is disposed of. */
export class LinkedSignal implements Disposable {
  readonly #controller = new AbortController();
  readonly #unfollow: () => void;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param timeoutMs Default: never. */
  constructor(ending: Ending, signal?: AbortSignal, timeoutMs?: number) {
    const abort = (reason: unknown): void => this.#controller.abort(reason);
    const onAbort = (): void => abort(signal?.reason);
    const unfollow = ending.follow(abort);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort);
    this.#unfollow = () => {
      unfollow();
      signal?.removeEventListener("abort", onAbort);
    };
    if (timeoutMs === undefined) return;
    const late = new DOMException(`no answer within ${timeoutMs} ms`, "TimeoutError");
    this.#timer = setTimeout(() => abort(late), timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Lets go of what it follows. The signal stays as it is. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#unfollow();
  }
}
