/**
 * Owns positions: places between two changes of the one order of the store, as the text that a consumer keeps.
 *
 *     position := versionstamp (20 hex digits) place (4 hex digits)
 *     the third change of counter 1, order 2   is   000000000000000100020002   (places begin at 0)
 *     behind that whole commit                 is   00000000000000010002ffff
 *
 * Pure functions. Invariants:
 * 1. Positions sort as text as the changes do. No change has the place ffff: a commit has fewer mutations.
 */
import { formatVersionstamp } from "../codec/versionstamp.js";
import type { Stamp } from "./stamp.js";

/** A position as numbers: behind the change at `place` of the commit at `stamp`. */
export interface Position {
  readonly stamp: Stamp;
  readonly place: number;
}

/** The place behind the last change of a commit. */
export const WHOLE_COMMIT = 0xffff;

/** The position before everything: that of what belongs to an initial state. */
export const START_POSITION = "0".repeat(24);

const POSITION_TEXT = /^[0-9a-f]{20}([0-9a-f]{4})?$/i;

export function formatPosition(stamp: Stamp, place: number): string {
  return formatVersionstamp(stamp.counter, stamp.order) + place.toString(16).padStart(4, "0");
}

export function formatStamp(stamp: Stamp): string {
  return formatVersionstamp(stamp.counter, stamp.order);
}

/** The position behind a whole commit. */
export function positionBehind(stamp: Stamp): string {
  return formatPosition(stamp, WHOLE_COMMIT);
}

/** Reads a position, or a versionstamp, which means the position behind that commit; `undefined` when it is neither. */
export function parsePosition(text: string): Position | undefined {
  if (!POSITION_TEXT.test(text)) return undefined;
  const counter = Number.parseInt(text.slice(0, 16), 16);
  const order = Number.parseInt(text.slice(16, 20), 16);
  const place = text.length === 20 ? WHOLE_COMMIT : Number.parseInt(text.slice(20), 16);
  return { stamp: { counter, order }, place };
}
