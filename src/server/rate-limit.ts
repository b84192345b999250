/**
 * Owns how often one client may ask: a bucket of requests for each, that fills with time. Memory is bounded: the bucket that was idle
 * longest goes first.
 */
import { SERVER_RATES_MAX } from "../limits.js";
import { HttpError } from "./http-error.js";

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

interface Bucket {
  left: number;
  atMs: number;
}

export class RateLimiter {
  readonly #limit: RateLimit;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limit: RateLimit) {
    this.#limit = limit;
  }

  /** Takes one request of `client`'s. @throws HttpError 429 when there is none left. */
  take(client: string, nowMs: number): void {
    const { perSecond, burst } = this.#limit;
    const bucket = this.#buckets.get(client) ?? { left: burst, atMs: nowMs };
    const elapsedMs = Math.max(0, nowMs - bucket.atMs);
    bucket.left = Math.min(burst, bucket.left + (elapsedMs * perSecond) / 1000);
    bucket.atMs = nowMs;
    this.#buckets.delete(client);
    this.#buckets.set(client, bucket);
    if (this.#buckets.size > SERVER_RATES_MAX) this.#buckets.delete(this.#buckets.keys().next().value!);
    if (bucket.left < 1) {
      throw new HttpError(429, "RATE_LIMITED", `too many requests, limit ${perSecond} a second`, {
        "retry-after": "1",
      });
    }
    bucket.left--;
  }
}
