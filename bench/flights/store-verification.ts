/**
 * Owns the judgement on what stands in the store, against the data set itself and against the history that must have been.
 */
import { isDeepStrictEqual } from "node:util";
import type { Kv, KvEntry, KvU64 } from "../../src/index.js";
import { type Check, checkOf } from "./check.js";
import { arrivedKey, countAirports, departedKey, departuresKey, type Flight } from "./flight.js";
import { type History, keyText } from "./history.js";

const BATCH_SIZE = 500;

/** Each airport's counters are what one gets by counting the data set. */
export async function verifyCounters(kv: Kv, flights: readonly Flight[]): Promise<Check> {
  const departed = countAirports(flights, "origin");
  const arrived = countAirports(flights, "destination");
  const wanted = [
    ...[...departed].map(([airport, count]) => ({ key: departedKey(airport), count })),
    ...[...arrived].map(([airport, count]) => ({ key: arrivedKey(airport), count })),
  ];
  const entries = await kv.getMany<KvU64[]>(wanted.map(({ key }) => key));
  const failures = wanted.flatMap(({ key, count }, index) => {
    const found = entries[index]!.value?.value;
    return found === BigInt(count) ? [] : [`${keyText(key)} is ${found}, the data set says ${count}`];
  });
  return checkOf("the counters add up with the data", `${wanted.length} counters`, failures);
}

/** The list of each airport's flights is what one gets by filtering and sorting the data set. */
export async function verifyLists(kv: Kv, flights: readonly Flight[]): Promise<Check> {
  const airports = [...countAirports(flights, "origin").keys()];
  const failures: string[] = [];
  for (const airport of airports) {
    const listed: Flight[] = [];
    for await (const { value } of kv.list<Flight>({ prefix: departuresKey(airport) })) listed.push(value);
    const expected = flights
      .filter(({ origin }) => origin === airport)
      .sort((a, b) => (a.date < b.date ? -1 : a.date > b.date ? 1 : 0));
    if (!isDeepStrictEqual(listed, expected)) {
      failures.push(
        `${airport} lists ${listed.length} flights, or in another order than the ${expected.length} expected`,
      );
    }
  }
  return checkOf(
    "the lists agree with the data",
    `${airports.length} airports, ${flights.length} flights`,
    failures,
  );
}

/** Every entry is there with its value and its versionstamp, and no other. */
export async function verifyEntries(kv: Kv, history: History): Promise<Check> {
  const missing = new Map(history.entries);
  const failures: string[] = [];
  for await (const entry of kv.list({ prefix: [] }, { batchSize: BATCH_SIZE })) {
    const expected: KvEntry<unknown> | undefined = missing.get(keyText(entry.key));
    if (!isDeepStrictEqual(entry, expected)) failures.push(`${keyText(entry.key)} is not as it was written`);
    missing.delete(keyText(entry.key));
  }
  for (const key of missing.keys()) failures.push(`${key} is gone`);
  return checkOf(
    "everything is there after closing and reopening",
    `${history.entries.size} entries`,
    failures,
  );
}
