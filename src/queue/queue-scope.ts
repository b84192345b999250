/**
 * Owns the listeners of one Kv among those of its thread, so that closing one Kv ends its listening and no other. Caller's thread.
 */
import { QUEUE_CONCURRENCY_DEFAULT } from "../limits.js";
import { checkListenOptions, type KvListenOptions } from "./enqueue-options.js";
import type { QueueClient } from "./queue-client.js";
import type { QueueHandler, QueueListener } from "./queue-listener.js";

export class QueueScope {
  readonly #client: QueueClient;
  readonly #open = new Set<QueueListener>();

  constructor(client: QueueClient) {
    this.#client = client;
  }

  /** Handles messages until the scope is closed or the signal is aborted; resolves then. Throws KvTypeError KV_INVALID_OPTION. */
  async listen(handler: QueueHandler, options: KvListenOptions): Promise<void> {
    checkListenOptions(handler, options);
    const { concurrency = QUEUE_CONCURRENCY_DEFAULT, onError = printError, signal } = options;
    if (signal?.aborted) return;
    const listener = this.#client.listen({ handler, concurrency, onError });
    const stop = () => listener.stop();
    this.#open.add(listener);
    signal?.addEventListener("abort", stop, { once: true });
    await listener.done;
    signal?.removeEventListener("abort", stop);
    this.#open.delete(listener);
  }

  /** Ends every listener now. Doing it twice does nothing. */
  close(): void {
    for (const listener of this.#open) listener.close();
  }
}

/** As Deno does. */
function printError(error: unknown): void {
  console.error("Exception in queue handler", error);
}
