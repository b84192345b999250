/**
 * Owns the flight records of the data set `flights-20k` (US flights of early 2001), and the keys under which they are stored.
 *
 * ```
 * ["airports", code, "departures", date, number]   the flight; `number` is its place in the data set
 * ["airports", code, "departed"]                   how many have left, a KvU64
 * ["airports", code, "arrived"]                    how many have come in, a KvU64
 * ```
 * With a partition depth of 2, everything of one airport lives in one shard, and a flight concerns two airports.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import type { KvKey } from "../../src/index.js";

export interface Flight {
  /** Local time, "2001/01/01 00:47". */
  readonly date: string;
  /** Minutes; negative when it was early. */
  readonly delay: number;
  /** Miles. */
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}

/** Flights in the data set. */
export const FLIGHTS_MAX = 20_000;

/** The first `count` flights, in the order of the data set. */
export function loadFlights(count: number): Flight[] {
  const entry = pathToFileURL(createRequire(import.meta.url).resolve("vega-datasets"));
  const flights = JSON.parse(readFileSync(new URL("../data/flights-20k.json", entry), "utf8")) as Flight[];
  if (flights.length !== FLIGHTS_MAX) {
    throw new Error(`data set has ${flights.length} flights, expected ${FLIGHTS_MAX}`);
  }
  return flights.slice(0, count);
}

export function flightKey(flight: Flight, number: number): KvKey {
  return [...departuresKey(flight.origin), flight.date, number];
}

/** The prefix of an airport's flights. */
export function departuresKey(airport: string): KvKey {
  return ["airports", airport, "departures"];
}

export function departedKey(airport: string): KvKey {
  return ["airports", airport, "departed"];
}

export function arrivedKey(airport: string): KvKey {
  return ["airports", airport, "arrived"];
}

/** The prefix of everything about an airport. */
export function airportKey(airport: string): KvKey {
  return ["airports", airport];
}

/** The place in the data set of the flight under a key; `undefined` for other keys. */
export function flightNumber(key: KvKey): number | undefined {
  return key[2] === "departures" ? (key[4] as number) : undefined;
}

/** How often each airport stands in one column of the flights, the most frequent first. */
export function countAirports(
  flights: readonly Flight[],
  column: "origin" | "destination",
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const flight of flights) counts.set(flight[column], (counts.get(flight[column]) ?? 0) + 1);
  return new Map([...counts].sort(([, a], [, b]) => b - a));
}
