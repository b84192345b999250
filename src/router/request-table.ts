/**
 * Owns a caller's requests that are not answered yet, by their ids. Runs on the caller's thread.
 *
 * A Map would do the same and cost more than its look-ups: each time that it makes itself a new table the old one points to it, so once one of
 * them is old enough for the garbage collector's old space, it keeps its successors, and all that ever stood in them, until the next full
 * collection. Here a place is the id's lowest bits, and nothing is made anew while the number of requests stays what it is.
 *
 * Invariants
 * 1. Ids are given in order, without those whose place is taken; so an id comes again after 2³² others at the earliest.
 * 2. At most half of the places are taken.
 */

const PLACES_MIN = 1024;
const ID_MAX = 0xffff_ffff;

export interface Request {
  readonly requestId: number;
}

export class RequestTable<T extends Request> {
  #places: (T | undefined)[] = new Array<T | undefined>(PLACES_MIN).fill(undefined);
  #size = 0;
  #lastId: number;

  /** @param lastId The id before the first. Only a test has a reason to choose it. */
  constructor(lastId = 0) {
    this.#lastId = lastId;
  }

  get size(): number {
    return this.#size;
  }

  /** The id of the next request, which is given once. */
  takeId(): number {
    do this.#lastId = this.#lastId === ID_MAX ? 0 : this.#lastId + 1;
    while (this.#places[this.#placeOf(this.#lastId)] !== undefined);
    return this.#lastId;
  }

  /** Adds a request with an id that was taken, before the next id is. */
  add(request: T): void {
    this.#places[this.#placeOf(request.requestId)] = request;
    if (++this.#size > this.#places.length / 2) this.#resize(this.#places.length * 2);
  }

  get(requestId: number): T | undefined {
    const request = this.#places[this.#placeOf(requestId)];
    return request?.requestId === requestId ? request : undefined;
  }

  /** Takes a request out. Doing it twice does nothing. */
  delete(requestId: number): void {
    if (this.get(requestId) === undefined) return;
    this.#places[this.#placeOf(requestId)] = undefined;
    // What a burst has blown up is let go when it is over.
    if (--this.#size === 0 && this.#places.length > PLACES_MIN) this.#resize(PLACES_MIN);
  }

  /** All requests of this moment, in no order. */
  all(): T[] {
    return this.#places.filter((request) => request !== undefined);
  }

  #placeOf(requestId: number): number {
    return requestId & (this.#places.length - 1);
  }

  /** Ids that differ in their lowest bits differ in more of them, too: nothing meets in the larger table. */
  #resize(places: number): void {
    const requests = this.all();
    this.#places = new Array<T | undefined>(places).fill(undefined);
    for (const request of requests) this.#places[this.#placeOf(request.requestId)] = request;
  }
}
