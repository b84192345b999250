/**
 * Owns the options of `enqueue` and `listenQueue`: their types, and what is refused, in Deno KV's words.
 */
import type { KvKey } from "../codec/key.js";
import { KvTypeError } from "../errors.js";
import {
  QUEUE_BACKOFF_INTERVALS_MAX,
  QUEUE_BACKOFF_MS_MAX,
  QUEUE_CONCURRENCY_MAX,
  QUEUE_DELAY_MS_MAX,
  QUEUE_UNDELIVERED_KEYS_MAX,
} from "../limits.js";

/** Milliseconds before each further try of a message that does not say. As in Deno KV. */
export const BACKOFF_MS_DEFAULT: readonly number[] = [100, 1000, 5000, 30_000, 60_000];

export interface KvEnqueueOptions {
  /** Milliseconds from the commit until the message is due, 0 to 30 days. Default: 0. */
  readonly delay?: number;
  /**
   * Milliseconds before each further try when the handler throws: at most 5, each from 0 to one hour. An empty one: no further try.
   * Default: `[100, 1000, 5000, 30000, 60000]`.
   */
  readonly backoffSchedule?: readonly number[];
  /** Keys that the value is written under, in one commit, when the last try has failed: at most 1000. Default: none. */
  readonly keysIfUndelivered?: readonly KvKey[];
}

export interface KvListenOptions {
  /** Messages that the handler is given at a time, an integer from 1 to 1000. Default: 100. */
  readonly concurrency?: number;
  /** Hears what the handler threw. Default: it is printed with `console.error`, as Deno does. */
  readonly onError?: (error: unknown) => void;
  /** Aborting it ends the listening: no further message is taken, and the promise resolves when those that are handled now have been. */
  readonly signal?: AbortSignal;
}

/** Refuses options of `enqueue`. The keys' content is looked at when they are encoded. */
export function checkEnqueueOptions(options: KvEnqueueOptions): void {
  const { delay, backoffSchedule, keysIfUndelivered } = options;
  if (delay !== undefined) checkQueueDelay(delay);
  if (backoffSchedule !== undefined) checkBackoff(backoffSchedule);
  if (keysIfUndelivered === undefined) return;
  if (!Array.isArray(keysIfUndelivered)) throw invalid("keysIfUndelivered must be an array of keys");
  if (keysIfUndelivered.length > QUEUE_UNDELIVERED_KEYS_MAX) {
    throw new KvTypeError(
      "KV_LIMIT_EXCEEDED",
      `Too many keys in keysIfUndelivered (max ${QUEUE_UNDELIVERED_KEYS_MAX})`,
    );
  }
}

export function checkQueueDelay(delay: number): void {
  if (delay < 0) throw invalid(`Delay must be >= 0: received ${delay}`);
  if (delay > QUEUE_DELAY_MS_MAX) throw invalid(`Delay cannot be greater than 30 days: received ${delay}`);
  if (Number.isNaN(delay)) throw invalid("Delay cannot be NaN");
  if (typeof delay !== "number") throw invalid(`Delay must be a number: received ${typeof delay}`);
}

function checkBackoff(schedule: readonly number[]): void {
  if (!Array.isArray(schedule)) throw invalid("Invalid backoffSchedule, it must be an array of intervals");
  if (schedule.length > QUEUE_BACKOFF_INTERVALS_MAX) {
    throw invalid(`Invalid backoffSchedule, max ${QUEUE_BACKOFF_INTERVALS_MAX} intervals allowed`);
  }
  const bad = schedule.findIndex(
    (interval) => typeof interval !== "number" || !(interval >= 0 && interval <= QUEUE_BACKOFF_MS_MAX),
  );
  if (bad >= 0) throw invalid(`Invalid backoffSchedule, interval at index ${bad} is invalid`);
}

/** Refuses a handler or options of `listenQueue`. */
export function checkListenOptions(handler: unknown, options: KvListenOptions): void {
  if (typeof handler !== "function") {
    throw invalid(`the handler of listenQueue must be a function: received ${typeof handler}`);
  }
  const { concurrency, onError } = options;
  if (onError !== undefined && typeof onError !== "function") {
    throw invalid(`onError must be a function: received ${typeof onError}`);
  }
  if (concurrency === undefined) return;
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > QUEUE_CONCURRENCY_MAX) {
    throw invalid(
      `concurrency must be an integer from 1 to ${QUEUE_CONCURRENCY_MAX}: received ${String(concurrency)}`,
    );
  }
}

function invalid(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_OPTION", message);
}
