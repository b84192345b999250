/** Reads: single keys, awaited and not, and a list. Durability makes no difference to them. */
import type { Kv, KvOpenOptions } from "../../src/index.js";
import { KEY_COUNT, sampleKey, sampleValue } from "../sample-data.js";
import { measureSmall } from "../small-bench.js";
import { runTimedLoop } from "../timed-loop.js";
import type { Measurement, Workload } from "../workload.js";

const LISTED = 1000;
/** Reads in one step: a microtask or two each is less than what the clock costs. */
const GETS_PER_STEP = 100;
const OPTIONS: KvOpenOptions = { durability: "relaxed" };

export const read: Workload = {
  name: "read",
  about: `keys of ${KEY_COUNT} small objects, in scrambled order; a list of ${LISTED} entries of one shard`,
  run: ({ seconds, withStore }) =>
    withStore(OPTIONS, async (kv) => {
      await fill(kv);
      const measured = [
        await getAwaited(kv, seconds),
        await list(kv, seconds),
        ...(await getSync(kv, seconds)),
      ];
      return measured.map((measurement) => ({ ...measurement, durability: "relaxed" as const }));
    }),
};

async function fill(kv: Kv): Promise<void> {
  const sets: Promise<unknown>[] = [];
  for (let number = 0; number < KEY_COUNT; number++)
    sets.push(kv.set(sampleKey(number), sampleValue(number)));
  for (let number = 0; number < LISTED; number++) sets.push(kv.set(["list", 0, number], sampleValue(number)));
  await Promise.all(sets);
}

async function getAwaited(kv: Kv, seconds: number): Promise<Measurement> {
  const step = async (number: number): Promise<void> => {
    for (let index = 0; index < GETS_PER_STEP; index++)
      await kv.get(scrambledKey(number * GETS_PER_STEP + index));
  };
  const { stepsPerSecond, p50Us, p99Us } = await runTimedLoop({ seconds, inFlight: 1, step });
  return {
    name: "get, awaited",
    unit: "gets",
    durability: null,
    perSecond: stepsPerSecond * GETS_PER_STEP,
    p50Us: p50Us / GETS_PER_STEP,
    p99Us: p99Us / GETS_PER_STEP,
  };
}

function getSync(kv: Kv, seconds: number): Promise<Measurement[]> {
  let number = 0;
  const call = () => kv.getSync(scrambledKey(number++));
  return measureSmall([{ name: "getSync", unit: "gets", call }], seconds);
}

async function list(kv: Kv, seconds: number): Promise<Measurement> {
  const step = async (): Promise<void> => {
    let found = 0;
    for await (const _ of kv.list({ prefix: ["list", 0] }, { batchSize: LISTED })) found++;
    if (found !== LISTED) throw new Error(`listed ${found} entries, expected ${LISTED}`);
  };
  const { stepsPerSecond, p50Us, p99Us } = await runTimedLoop({ seconds, inFlight: 1, step });
  return {
    name: `list of ${LISTED}`,
    unit: "entries",
    durability: null,
    perSecond: stepsPerSecond * LISTED,
    p50Us,
    p99Us,
  };
}

/** Every key once, in an order that no cache could guess. */
function scrambledKey(number: number) {
  return sampleKey((number * 7919) % KEY_COUNT);
}
