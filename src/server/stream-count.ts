/**
 * Owns the count of open streams, in all and on each connection.
 */
import { HttpError } from "./http-error.js";

export type StreamKind = "changes" | "watch";

export class StreamCount {
  readonly #perConnectionMax: number;
  readonly #counts: Record<StreamKind, number> = { changes: 0, watch: 0 };
  readonly #perConnection = new WeakMap<object, number>();

  constructor(perConnectionMax: number) {
    this.#perConnectionMax = perConnectionMax;
  }

  count(kind: StreamKind): number {
    return this.#counts[kind];
  }

  /** Counts one until it is disposed of. @throws HttpError 429 when its connection has as many as it may. */
  begin(kind: StreamKind, connection: object): Disposable {
    const open = this.#perConnection.get(connection) ?? 0;
    if (open >= this.#perConnectionMax) {
      throw new HttpError(
        429,
        "TOO_MANY_WATCHES",
        `this connection has ${open} watches, limit ${this.#perConnectionMax}`,
      );
    }
    this.#perConnection.set(connection, open + 1);
    this.#counts[kind]++;
    return {
      [Symbol.dispose]: () => {
        this.#counts[kind]--;
        this.#perConnection.set(connection, this.#perConnection.get(connection)! - 1);
      },
    };
  }
}
