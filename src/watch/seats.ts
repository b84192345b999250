/**
 * Owns who sits under one selector: nobody, one seat, or a set of them. Runs in the thread that delivers.
 *
 * Nearly every selector has one watcher, and a set for each of them would be most of their memory and a cache miss in each delivery. So one
 * seat stands by itself, and the second makes a set.
 *
 * Invariants:
 * 1. A seat is under a selector at most once, and seats are visited in the order in which they came.
 * 2. Seats may come and go while they are visited: one that has gone is not met any more, and one that has come carries the visit already.
 */

/** What the matcher keeps of a watcher. Only the matcher changes it. */
export interface Visitable {
  /** The last visit in which it was met, or during which it came. */
  visit: number;
}

/** A selector's seats. */
export interface Seats<S> {
  seats: S | Set<S> | undefined;
}

export function addSeat<S>(to: Seats<S>, seat: S): void {
  const { seats } = to;
  if (seats === undefined) to.seats = seat;
  else if (seats instanceof Set) seats.add(seat);
  else if (seats !== seat) to.seats = new Set([seats, seat]);
}

/** Returns whether it was the last one. */
export function removeSeat<S>(from: Seats<S>, seat: S): boolean {
  const { seats } = from;
  if (seats instanceof Set) {
    if (!seats.delete(seat) || seats.size > 0) return false;
  } else if (seats !== seat) return false;
  from.seats = undefined;
  return true;
}

/** Calls `call` for each seat that this visit has not met. */
export function visitSeats<S extends Visitable>(
  { seats }: Seats<S>,
  visit: number,
  call: (seat: S) => void,
): void {
  if (seats instanceof Set) {
    for (const seat of seats) visitSeat(seat, visit, call);
  } else if (seats !== undefined) visitSeat(seats, visit, call);
}

function visitSeat<S extends Visitable>(seat: S, visit: number, call: (seat: S) => void): void {
  if (seat.visit === visit) return;
  seat.visit = visit;
  call(seat);
}
