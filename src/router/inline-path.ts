/**
 * Owns when a caller makes commits by itself (shard/inline-commits.ts) rather than sending them to their shard, and sees to it that its event loop gets
 * its turns all the same. Only on a process's main thread, and only where a commit needs no flush: it must not wait for a disk.
 *
 * Invariants
 * 1. What is made inline in one turn of the event loop takes a bounded time before answers and watchers have to wait for the next turn. So
 *    a loop of `await kv.set()`, which is all microtasks then, starves neither timers nor sockets.
 * 2. Answers are given, and watchers told, in the order of the commits.
 * 3. After a transaction that took long (a disk that can't keep up) everything goes to the shards for a while.
 */
import type { CommitFields } from "../codec/commit-frame.js";
import type { Reply } from "../codec/reply-frame.js";
import { INLINE_BYTES_MAX, INLINE_LOOP_MS, INLINE_PAUSE_FACTOR, INLINE_SLOW_MS } from "../limits.js";
import type { InlineCommits } from "../shard/inline-commits.js";

export interface InlinePathOptions {
  /** Makes the inline commits of a shard, when the first of them is made. */
  readonly open: (shard: number) => InlineCommits;
  /** There may be something for this thread's watchers. */
  readonly onCommitted: () => void;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
}

export class InlinePath {
  readonly #options: InlinePathOptions;
  readonly #shards: (InlineCommits | undefined)[] = [];
  /** Answers that wait for the next turn of the event loop. */
  #waiting: (() => void)[] = [];
  #spentMs = 0;
  #notBeforeMs = 0;
  #isTurnPlanned = false;

  constructor(options: InlinePathOptions) {
    this.#options = options;
  }

  /** Whether a commit is small enough, and one that a caller can make. */
  suits({ queue, mutations, checks }: CommitFields): boolean {
    if (queue !== undefined) return false;
    let bytes = 0;
    for (let index = 0; index < mutations.length; index++) {
      const { key, value } = mutations[index]!;
      bytes += key.length + value.length;
    }
    // A look-up costs about as much as writing this many bytes.
    return bytes + 100 * (mutations.length + checks.length) <= INLINE_BYTES_MAX;
  }

  /** Makes commits in one transaction and gives their answers to `settle`, now or in the next turn of the event loop. False: not now; nothing was done. */
  run(shard: number, commits: readonly CommitFields[], settle: (replies: readonly Reply[]) => void): boolean {
    const startedMs = this.#options.nowMs();
    if (startedMs < this.#notBeforeMs) return false;
    const replies = this.#commitsOf(shard)?.run(commits) ?? null;
    if (replies === null) return false;
    const endedMs = this.#options.nowMs();
    this.#spend(endedMs - startedMs, endedMs);
    const isOverdrawn = this.#spentMs > INLINE_LOOP_MS;
    if (isOverdrawn || this.#waiting.length > 0) {
      this.#waiting.push(() => settle(replies));
      return true;
    }
    settle(replies);
    this.#options.onCommitted();
    return true;
  }

  /** Lets go of the shards' stores. What is made after that opens them again. */
  async close(): Promise<void> {
    const shards = this.#shards.splice(0);
    await Promise.all(shards.map((commits) => commits?.close()));
  }

  #commitsOf(shard: number): InlineCommits | null {
    try {
      this.#shards[shard] ??= this.#options.open(shard);
      return this.#shards[shard];
    } catch (error) {
      // The shards' threads have theirs open, and do the work.
      this.#notBeforeMs = Number.POSITIVE_INFINITY;
      process.emitWarning(
        `all commits go to the shards' threads: ${(error as Error).message}`,
        "BelfryWarning",
      );
      return null;
    }
  }

  #spend(ms: number, nowMs: number): void {
    this.#spentMs += ms;
    if (ms > INLINE_SLOW_MS) this.#notBeforeMs = nowMs + INLINE_PAUSE_FACTOR * ms;
    if (this.#isTurnPlanned) return;
    this.#isTurnPlanned = true;
    setImmediate(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#isTurnPlanned = false;
    this.#spentMs = 0;
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const settle of waiting) settle();
    this.#options.onCommitted();
  };
}
