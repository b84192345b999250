/**
 * Owns the listeners of one Kv among those of its thread's dispatcher, so that closing one Kv ends its watches and no others.
 */
import { KvClosedError } from "../errors.js";
import type { CommitListener, CommitSource, OffersFrom, Subscription } from "./dispatcher.js";
import type { LogReader } from "./log-reader.js";
import type { EncodedSelector } from "./matcher.js";
import type { Slice } from "./slice-queue.js";
import type { Stamp } from "./stamp.js";
import type { StateSnapshot } from "./state-snapshot.js";

export class DispatcherScope implements CommitSource {
  readonly #source: CommitSource;
  readonly #open = new Map<CommitListener, Subscription>();
  #closed = false;

  constructor(source: CommitSource) {
    this.#source = source;
  }

  get deliveredThrough(): Stamp {
    return this.#source.deliveredThrough;
  }

  /** As {@link CommitSource.listen}. @throws KvClosedError after `close`. */
  listen(selectors: Iterable<EncodedSelector>, listener: CommitListener, from: OffersFrom): Subscription {
    if (this.#closed) throw new KvClosedError();
    const subscription = this.#source.listen(selectors, listener, from);
    this.#open.set(listener, subscription);
    return {
      after: subscription.after,
      cancel: () => {
        this.#open.delete(listener);
        subscription.cancel();
      },
    };
  }

  get counter(): number {
    return this.#source.counter;
  }

  logReader(after: Stamp | readonly Stamp[]): LogReader {
    return this.#source.logReader(after);
  }

  schedule(slice: Slice): void {
    this.#source.schedule(slice);
  }

  onDelivered(stamp: Stamp, run: () => void): void {
    this.#source.onDelivered(stamp, run);
  }

  wantPrevious(): () => void {
    return this.#source.wantPrevious();
  }

  takeState(): Promise<StateSnapshot> {
    return this.#source.takeState();
  }

  /** Ends every listener, and admits no other. Doing it twice does nothing. */
  close(): void {
    this.#closed = true;
    const open = [...this.#open];
    this.#open.clear();
    for (const [listener, subscription] of open) {
      subscription.cancel();
      listener.end();
    }
  }
}
