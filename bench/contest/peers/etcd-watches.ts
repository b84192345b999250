/**
 * Owns the watch stream of etcd that all watchers of a store share: each has a number of its own, by which the server's answers find it.
 * A stream that fails is told by the next `add`, and by `close`.
 */

/** The server's answers, as etcd3 decodes them: 64-bit numbers are decimal text. */
interface WatchResponse {
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly cancel_reason: string;
  readonly events: readonly { readonly type: "Put" | "Delete"; readonly kv: { readonly value: Buffer } }[];
}

export interface WatchStream {
  write(request: object): unknown;
  on(event: "data", listener: (response: WatchResponse) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  cancel(): void;
}

interface Watcher {
  readonly heard: (value: Buffer) => void;
  readonly created: () => void;
  /** Heard of by nobody once the watch is made. */
  readonly failed: (error: Error) => void;
}

export class EtcdWatches {
  readonly #stream: WatchStream;
  readonly #watchers = new Map<string, Watcher>();
  #lastId = 0;
  #isClosed = false;
  #failure: Error | undefined;

  constructor(stream: WatchStream) {
    this.#stream = stream;
    stream.on("data", (response) => this.#take(response));
    stream.on("error", (error) => this.#fail(error));
  }

  /** Resolves, when the server has the watch, with what ends it. */
  add(key: Buffer, heard: (value: Buffer) => void): Promise<() => void> {
    // The server reads 0 as "choose one".
    const id = String(++this.#lastId);
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      const remove = (): void => {
        if (this.#watchers.delete(id)) this.#stream.write({ cancel_request: { watch_id: id } });
      };
      this.#watchers.set(id, { heard, created: () => resolve(remove), failed: reject });
      this.#stream.write({ create_request: { key, watch_id: id } });
    });
  }

  /** @throws what the stream or a watch has failed of before. */
  close(): void {
    this.#isClosed = true;
    this.#stream.cancel();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** A stream that is cancelled says so as an error. */
  #fail(error: Error): void {
    if (this.#isClosed) return;
    this.#failure ??= error;
    for (const { failed } of this.#watchers.values()) failed(error);
  }

  #take({ watch_id, created, canceled, cancel_reason, events }: WatchResponse): void {
    const watcher = this.#watchers.get(watch_id);
    if (watcher === undefined) return;
    if (canceled) this.#fail(new Error(`etcd cancelled a watch: ${cancel_reason}`));
    else if (created) watcher.created();
    for (const { type, kv } of events) if (type === "Put") watcher.heard(kv.value);
  }
}
