/**
 * Owns the taking of items from an iterator for a stream: one at a time, with a heartbeat where there is none for a while, until an end.
 *
 * *Back-pressure*: the next item is asked for when the last one was written, so a slow client stops the feed from being read, and the
 * feed does what it does when its consumer is slow.
 */
import type { ReadableStream } from "node:stream/web";
import { setTimeout as sleep } from "node:timers/promises";

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
  const aborted = new Promise<"aborted">((resolve) => {
    if (signal.aborted) resolve("aborted");
    else signal.addEventListener("abort", () => resolve("aborted"), { once: true });
  });
  try {
    for (;;) {
      const next = items.next();
      // Nobody waits for it any more once the signal has aborted.
      next.catch(() => {});
      const found = await nextItem(next, aborted, idleMs, onIdle);
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

async function nextItem<T>(
  next: Promise<IteratorResult<T, unknown>>,
  aborted: Promise<"aborted">,
  idleMs: number,
  onIdle: () => Promise<void>,
): Promise<IteratorResult<T, unknown> | "aborted"> {
  for (;;) {
    const ended = new AbortController();
    const idle = sleep(idleMs, "idle" as const, { signal: ended.signal }).catch(() => "idle" as const);
    const found = await Promise.race([next, aborted, idle]).finally(() => ended.abort());
    if (found !== "idle") return found;
    await onIdle();
  }
}
