/**
 * Owns the listeners of one Kv among those of its thread's dispatcher, so that closing one Kv ends its watches and no others.
 */
import { KvClosedError } from "../errors.js";
import type { CommitListener, CommitSource, DeliveryOrder, OffersFrom, Subscription } from "./dispatcher.js";
import type { FeedStats } from "./feed-stats.js";
import type { LogReader } from "./log-reader.js";
import type { EncodedSelector } from "./matcher.js";
import type { Slice } from "./slice-queue.js";
import type { Stamp } from "./stamp.js";
import type { StateSnapshot } from "./state-snapshot.js";

/** One of a scope's, which it forgets when it is cancelled. */
class ScopedSubscription implements Subscription {
  readonly #open: Map<CommitListener, Subscription>;
  readonly #listener: CommitListener;
  readonly #subscription: Subscription;

  constructor(open: Map<CommitListener, Subscription>, listener: CommitListener, subscription: Subscription) {
    this.#open = open;
    this.#listener = listener;
    this.#subscription = subscription;
  }

  get after(): Stamp {
    return this.#subscription.after;
  }

  offerAgain(): void {
    this.#subscription.offerAgain();
  }

  cancel(): void {
    this.#open.delete(this.#listener);
    this.#subscription.cancel();
  }
}

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
  listen(
    selectors: Iterable<EncodedSelector>,
    listener: CommitListener,
    from: OffersFrom,
    order: DeliveryOrder = "commit",
  ): Subscription {
    if (this.#closed) throw new KvClosedError();
    const subscription = this.#source.listen(selectors, listener, from, order);
    this.#open.set(listener, subscription);
    return new ScopedSubscription(this.#open, listener, subscription);
  }

  get counter(): number {
    return this.#source.counter;
  }

  logReader(after: Stamp, ahead?: readonly (Stamp | undefined)[]): LogReader {
    return this.#source.logReader(after, ahead);
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

  /** How the feeds among the listeners are doing. */
  feedStats(): FeedStats[] {
    const stats: FeedStats[] = [];
    for (const listener of this.#open.keys()) {
      if (listener.stats !== undefined) stats.push(listener.stats());
    }
    return stats;
  }

  /** Listeners that are no feeds: level watches. */
  get watchCount(): number {
    let count = 0;
    for (const { stats } of this.#open.keys()) if (stats === undefined) count++;
    return count;
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
