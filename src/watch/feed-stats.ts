/**
 * Owns what a change feed tells of itself. Types only.
 */

/** Where a feed stands: fed as commits happen; with a full buffer; reading the log or the state; at its end. */
export type FeedState = "live" | "behind" | "catching-up" | "closed";

/** How a feed is doing. */
export interface FeedStats {
  readonly state: FeedState;
  /** Changes that wait in memory for the consumer. */
  readonly bufferedChanges: number;
  /** Their bytes. */
  readonly bufferedBytes: number;
  /**
   * Selected changes that were committed while the feed is open and that the consumer does not have: those in the buffer, and those that a
   * feed which is not live has still to read from the log. What was in the log before it was opened is not counted.
   */
  readonly lagChanges: number;
  /** Milliseconds since the consumer last had everything; 0 when it has. */
  readonly lagMs: number;
  /** Changes that were handed over. */
  readonly delivered: number;
  /** Changes that the overflow policy has dropped. */
  readonly dropped: number;
  /** How often the feed has become live again after it was behind or began in the past. */
  readonly catchUps: number;
  /** Of the last thing that was handed over; at first, where the feed begins. */
  readonly position: string;
}
