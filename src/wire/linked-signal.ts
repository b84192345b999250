/**
 * Owns one signal that aborts with the first of several, for as long as it is needed.
 *
 * `AbortSignal.any` leaves a trace on its sources that outlives it, which adds up on a source that lives as long as a server or a client
 * (Node 20: some 60 bytes a call). This one takes its listeners with it.
 */
export class LinkedSignal implements Disposable {
  readonly #controller = new AbortController();
  readonly #sources: readonly AbortSignal[];
  readonly #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param timeoutMs After it the signal aborts too. Default: never. */
  constructor(sources: readonly AbortSignal[], timeoutMs?: number) {
    this.#sources = sources;
    for (const source of sources) {
      if (source.aborted) this.#controller.abort(source.reason);
      source.addEventListener("abort", this.#onAbort);
    }
    if (timeoutMs === undefined) return;
    const late = (): void =>
      this.#controller.abort(new DOMException(`no answer within ${timeoutMs} ms`, "TimeoutError"));
    this.#timer = setTimeout(late, timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Lets go of the sources. The signal stays as it is. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const source of this.#sources) source.removeEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (event: Event): void => {
    this.#controller.abort((event.target as AbortSignal).reason);
  };
}
