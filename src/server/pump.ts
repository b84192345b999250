/**
 * Owns the taking of items from an iterator for a stream: one at a time, with a heartbeat where there is none for a while, until an end.
 *
 * *Back-pressure*: the next item is asked for when the last one was written, so a slow client stops the feed from being read, and the
 * feed does what it does when its consumer is slow.
 */
import type { ReadableStream } from "node:stream/web";

export interface Pump<T> {
  readonly items: AsyncIterator<T, unknown>;
  readonly onItem: (item: T) => Promise<void>;
  readonly onIdle: () => Promise<void>;
  readonly idleMs: number;
  /** Aborting it ends the pump, which then returns. */
  readonly signal: AbortSignal;
}

/** Resolves with what ended it. Rejects with what the iterator rejects with. Ends the iterator in every case. */
export async function pump<T>({
  items,
  onItem,
  onIdle,
  idleMs,
  signal,
}: Pump<T>): Promise<"done" | "aborted"> {
  try {
    for (;;) {
      const found = await nextItem(items.next(), { idleMs, onIdle, signal });
      if (found === "aborted") return "aborted";
      if (found.done === true) return "done";
      await onItem(found.value);
    }
  } finally {
    await items.return?.();
  }
}

/**
 * The items of a stream. Its own iterator lets `return` wait for a `next` that is under way, which for a watch may be for ever.
 */
export function itemsOf<T>(stream: ReadableStream<T>): AsyncIterator<T, unknown> {
  const reader = stream.getReader();
  return {
    next: async () => {
      const { done, value } = await reader.read();
      return done ? { done, value: undefined } : { done, value };
    },
    return: async () => {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

/**
 * The next item, or that the signal has aborted. Nothing of it stays on the signal, and one reaction is on the item, however long that takes:
 * `Promise.race` would leave one on each promise for every race, until they settle, which for a quiet stream may be in a year.
 */
function nextItem<T>(
  next: Promise<IteratorResult<T, unknown>>,
  { idleMs, onIdle, signal }: Pick<Pump<T>, "idleMs" | "onIdle" | "signal">,
): Promise<IteratorResult<T, unknown> | "aborted"> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      clearInterval(timer);
      signal.removeEventListener("abort", onAbort);
      finish();
    };
    const onAbort = (): void => settle(() => resolve("aborted"));
    const fail = (error: unknown): void => settle(() => reject(error));
    let isBeating = false;
    const beat = async (): Promise<void> => {
      // A client that has not taken the last one gets no further one.
      if (isBeating) return;
      isBeating = true;
      await onIdle().catch(fail);
      isBeating = false;
    };
    const timer = setInterval(() => void beat(), idleMs);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    // Once the signal has aborted nobody waits for it any more, and both do nothing.
    next.then((item) => settle(() => resolve(item)), fail);
  });
}
