/**
 * Reads: single keys in scrambled order, awaited, at once and many in flight, and lists. Values are decoded.
 */
import { closedLoop, tightLoop } from "../load.js";
import type { PeerStore } from "../peer.js";
import { KEY_COUNT, sampleKey, sampleValue, scrambledKey } from "../sample-data.js";
import { RELAXED, type Workload } from "../workload.js";
import { fill } from "./write.js";

const LISTED = 1000;

export const getAwaited: Workload = {
  name: "get",
  group: "reads",
  about: `gets of ${KEY_COUNT} small objects in scrambled order, each awaited; a store that answers at once does`,
  unit: "gets",
  needs: ["get", "set"],
  durabilities: RELAXED,
  shows: "throughput",
  start: (store) => ({
    prepare: () => fill(store),
    round: ({ seconds }) =>
      tightLoop({ seconds, inFlight: 1, step: (number) => store.get!(scrambledKey(number)) }),
  }),
};

export const getSync: Workload = {
  name: "get-sync",
  group: "reads",
  about: "the same without a promise",
  unit: "gets",
  needs: ["getSync", "set"],
  durabilities: RELAXED,
  shows: "throughput",
  start: (store) => ({
    prepare: () => fill(store),
    round: ({ seconds }) =>
      tightLoop({
        seconds,
        inFlight: 1,
        step: (number) => {
          store.getSync!(scrambledKey(number));
        },
      }),
  }),
};

export const getsInFlight: Workload = {
  name: "get-1000",
  group: "reads",
  about: "the same, 1,000 in flight",
  unit: "gets",
  needs: ["get", "set"],
  durabilities: RELAXED,
  shows: "throughput",
  start: (store) => ({
    prepare: () => fill(store),
    round: ({ seconds }) =>
      closedLoop({ seconds, inFlight: 1000, step: (number) => store.get!(scrambledKey(number)) }),
  }),
};

export const list: Workload = {
  name: "list-1000",
  group: "reads",
  about: `lists of ${LISTED} small objects under one prefix`,
  unit: "entries",
  needs: ["list", "set"],
  durabilities: RELAXED,
  shows: "throughput",
  start: (store) => ({
    prepare: () => fillList(store),
    round: ({ seconds }) =>
      closedLoop({ seconds, inFlight: 1, operations: LISTED, step: () => listAll(store) }),
  }),
};

async function fillList(store: PeerStore): Promise<undefined> {
  await fill(store);
  for (let number = 0; number < LISTED; number++) await store.set(["list", 0, number], sampleValue(number));
  // A neighbour on either side, which a list must not give.
  await store.set(["list", 1, 0], sampleValue(0));
  await store.set(sampleKey(0), sampleValue(0));
}

/** What `list` gives is made sure of: a wrong range would be fast. */
async function listAll(store: PeerStore): Promise<void> {
  const found = await store.list!(["list", 0], LISTED + 1);
  if (found !== LISTED) throw new Error(`listed ${found} entries, expected ${LISTED}`);
}
