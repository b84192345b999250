/**
 * What many keys cost: sets and gets in stores of a hundred thousand to ten million keys.
 */
import { LatencyRecorder } from "../latency.js";
import { closedLoop, tightLoop } from "../load.js";
import type { BenchKey, PeerStore } from "../peer.js";
import { sampleValue } from "../sample-data.js";
import { RELAXED, type Workload } from "../workload.js";

const SETS_PER_COMMIT = 1000;
const COMMITS_AT_ONCE = 8;
const OPENED = 1_000_000;
const SIZES = [100_000, 1_000_000, 10_000_000];

export const growth: readonly Workload[] = SIZES.flatMap((keys) => [
  grown("get", keys, (store, seconds) =>
    tightLoop({
      seconds,
      inFlight: 1,
      step: (number) => (store.getSync ?? store.get!)(scattered(number, keys)),
    }),
  ),
  grown("set", keys, (store, seconds) =>
    closedLoop({
      seconds,
      inFlight: 1000,
      step: (number) => store.set(scattered(number, keys), sampleValue(number)),
    }),
  ),
]);

/** A store of a million keys is closed and opened again: until its first get, and its first set, have been answered. */
export const opening: readonly Workload[] = (["get", "set"] as const).map((what) => ({
  name: `open-${what}`,
  group: "many keys",
  about: `opening a store of ${OPENED.toLocaleString("en-US")} keys until its first ${what} is answered`,
  unit: "openings",
  needs: ["reopen", "setAll", "get", "set"],
  durabilities: RELAXED,
  shows: "latency",
  peers: ["belfry", "lmdb"],
  isLarge: true,
  start: (store) => ({
    prepare: () => fillWith(store, OPENED),
    round: async () => {
      const latency = new LatencyRecorder();
      const openedMs = await store.reopen!();
      const startMs = performance.now();
      if (what === "get") await (store.getSync ?? store.get!)(keyOf(7));
      else await store.set(keyOf(7), sampleValue(7));
      const elapsedMs = openedMs + performance.now() - startMs;
      latency.add(elapsedMs * 1000);
      return { operations: 1, elapsedMs, latency: latency.toHistogram() };
    },
  }),
}));

function grown(
  what: "get" | "set",
  keys: number,
  run: (store: PeerStore, seconds: number) => ReturnType<typeof closedLoop>,
): Workload {
  return {
    name: `${what}-of-${keys}`,
    group: "many keys",
    about: `${what}s at random in a store of ${keys.toLocaleString("en-US")} keys`,
    unit: `${what}s`,
    needs: ["get", "set", "setAll"],
    durabilities: RELAXED,
    shows: "throughput",
    peers: ["belfry", "lmdb"],
    series: { name: `${what}s by number of keys`, at: keys },
    isLarge: keys > 100_000,
    start: (store) => ({
      prepare: () => fillWith(store, keys),
      round: ({ seconds }) => run(store, seconds),
    }),
  };
}

function keyOf(number: number): BenchKey {
  return ["many", Math.floor(number / 1000), number % 1000];
}

function scattered(number: number, keys: number): BenchKey {
  return keyOf((number * 7919 + 13) % keys);
}

async function fillWith(store: PeerStore, keys: number): Promise<{ "fill seconds": number }> {
  const startMs = performance.now();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < keys) {
      const first = next;
      next += SETS_PER_COMMIT;
      const numbers = Array.from({ length: SETS_PER_COMMIT }, (_, index) => first + index);
      await store.setAll!(numbers.map((number) => [keyOf(number), sampleValue(number)] as const));
    }
  };
  await Promise.all(Array.from({ length: COMMITS_AT_ONCE }, work));
  return { "fill seconds": (performance.now() - startMs) / 1000 };
}
