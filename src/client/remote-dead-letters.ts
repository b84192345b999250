/**
 * Owns the messages of a remote store that could not be delivered. As DeadLetters of the embedded store; needs an admin token.
 */
import type { DeadLetter, DeadLetterListOptions, DeadLetterPurgeOptions } from "../index.js";
import type { Transport } from "./transport.js";

const PAGE = 100;

export class RemoteDeadLetters {
  readonly #transport: Transport;

  /** Made by `kv.deadLetters`. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The letters, in the order in which they were enqueued, page by page. */
  async *list<T = unknown>(
    options: DeadLetterListOptions = {},
  ): AsyncGenerator<DeadLetter<T>, void, undefined> {
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    let { after } = options;
    while (left > 0) {
      const limit = Math.min(PAGE, left);
      const page = await this.#call("list", { limit, ...(after !== undefined && { after }) }, "read");
      const letters = (page as { letters: DeadLetter<T>[] }).letters;
      yield* letters;
      if (letters.length < limit) return;
      left -= letters.length;
      after = letters.at(-1)!.id;
    }
  }

  async get<T = unknown>(id: string): Promise<DeadLetter<T> | null> {
    return ((await this.#call("get", { id }, "read")) as { letter: DeadLetter<T> | null }).letter;
  }

  async requeue(id: string, options: { readonly delay?: number } = {}): Promise<boolean> {
    return ((await this.#call("requeue", { id, ...options }, "write")) as { found: boolean }).found;
  }

  async delete(id: string): Promise<boolean> {
    return ((await this.#call("delete", { id }, "write")) as { found: boolean }).found;
  }

  async purge(options: DeadLetterPurgeOptions = {}): Promise<number> {
    return ((await this.#call("purge", { ...options }, "write")) as { count: number }).count;
  }

  #call(method: string, message: unknown, effect: "read" | "write"): Promise<unknown> {
    return this.#transport.call(`/v1/deadLetters/${method}`, message, effect);
  }
}
