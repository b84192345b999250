/** Commits: how many a second, and how long each takes, one after the other and many at a time. */
import type { Durability, Kv } from "../../src/index.js";
import { sampleKey, sampleValue } from "../sample-data.js";
import { runTimedLoop } from "../timed-loop.js";
import { DURABILITIES, type Measurement, type Workload, type WorkloadContext } from "../workload.js";

const SETS_PER_COMMIT = 100;

interface CommitCase {
  readonly name: string;
  readonly inFlight: number;
  /** Sets in one step. */
  readonly sets: number;
  readonly step: (kv: Kv, number: number) => Promise<unknown>;
}

const CASES: readonly CommitCase[] = [
  { name: "set, one after the other", inFlight: 1, sets: 1, step: setOne },
  { name: "set, 1,000 in flight", inFlight: 1000, sets: 1, step: setOne },
  {
    name: `commit of ${SETS_PER_COMMIT} sets on one shard, 16 in flight`,
    inFlight: 16,
    sets: SETS_PER_COMMIT,
    step: commitMany,
  },
  { name: "commit over several shards, one after the other", inFlight: 1, sets: 2, step: commitTwo },
  { name: "commit over several shards, 256 in flight", inFlight: 256, sets: 2, step: commitTwo },
];

export const commit: Workload = {
  name: "commit",
  about: "sets of small objects; a set, and a commit of several, resolve when they are acknowledged",
  run: async (context) => {
    const measurements: Measurement[] = [];
    for (const durability of DURABILITIES) {
      for (const commitCase of CASES) measurements.push(await measure(commitCase, durability, context));
    }
    return measurements;
  },
};

function measure(
  { name, inFlight, sets, step }: CommitCase,
  durability: Durability,
  { seconds, withStore }: WorkloadContext,
): Promise<Measurement> {
  return withStore({ durability }, async (kv) => {
    const result = await runTimedLoop({ seconds, inFlight, step: (number) => step(kv, number) });
    const { p50Us, p99Us } = result;
    return { name, unit: "sets", durability, perSecond: result.stepsPerSecond * sets, p50Us, p99Us };
  });
}

function setOne(kv: Kv, number: number): Promise<unknown> {
  return kv.set(sampleKey(number), sampleValue(number));
}

/** Keys that share their first two parts, so that they live in one shard. */
function commitMany(kv: Kv, number: number): Promise<unknown> {
  const operation = kv.atomic();
  for (let index = 0; index < SETS_PER_COMMIT; index++) {
    operation.set(["users", number % 100, index], sampleValue(index));
  }
  return operation.commit();
}

/** Two keys that differ in their first two parts: with several shards they are, more often than not, in different ones. */
function commitTwo(kv: Kv, number: number): Promise<unknown> {
  return kv
    .atomic()
    .set(["from", number % 1000], sampleValue(number))
    .set(["to", (number * 7) % 1000], sampleValue(number))
    .commit();
}
