/** Queues: from the call of enqueue to the handler, one message at a time and many; with a handler that does nothing. */
import { EventEmitter, once } from "node:events";
import type { Durability, Kv } from "../../src/index.js";
import { spreadOf } from "../percentiles.js";
import { sampleValue } from "../sample-data.js";
import { DURABILITIES, type Measurement, type Workload } from "../workload.js";

const WARMUP_SHARE = 0.25;
/** Few messages, and there is no 99th percentile. */
const MESSAGES_MIN = 20;
const IN_FLIGHT = 500;
const UNIT = "messages";

export const queue: Workload = {
  name: "queue",
  about: "one listener; a message is timed from the call of enqueue to the beginning of its handling",
  run: async ({ seconds, withStore }) => {
    const measurements: Measurement[] = [];
    for (const durability of DURABILITIES) {
      for (const inFlight of [1, IN_FLIGHT]) {
        const line = await withStore({ durability }, async (kv) => {
          const handled = new EventEmitter().setMaxListeners(0);
          const listening = kv.listenQueue<{ readonly at: number }>(({ at }) => handled.emit(String(at)));
          await measure(kv, handled, seconds * WARMUP_SHARE, inFlight);
          const result = await measure(kv, handled, seconds, inFlight);
          await kv.close();
          await listening;
          return measurementOf(result, inFlight, durability);
        });
        measurements.push(line);
      }
    }
    return measurements;
  },
};

interface QueueTimes {
  readonly samplesMs: readonly number[];
  readonly elapsedMs: number;
}

let next = 0;

async function measure(
  kv: Kv,
  handled: EventEmitter,
  seconds: number,
  inFlight: number,
): Promise<QueueTimes> {
  const samplesMs: number[] = [];
  const startMs = performance.now();
  const work = async (): Promise<void> => {
    do {
      const at = next++;
      const calledMs = performance.now();
      const begun = once(handled, String(at)).then(() => samplesMs.push(performance.now() - calledMs));
      await Promise.all([kv.enqueue({ at, value: sampleValue(at) }), begun]);
    } while (performance.now() - startMs < seconds * 1000 || samplesMs.length < MESSAGES_MIN);
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  return { samplesMs, elapsedMs: performance.now() - startMs };
}

function measurementOf(
  { samplesMs, elapsedMs }: QueueTimes,
  inFlight: number,
  durability: Durability,
): Measurement {
  const { p50, p99 } = spreadOf(samplesMs);
  const name = `queue: enqueue called → handled, ${inFlight === 1 ? "one after the other" : `${inFlight} in flight`}`;
  const perSecond = (samplesMs.length * 1000) / elapsedMs;
  return { name, unit: UNIT, durability, perSecond, p50Us: p50 * 1000, p99Us: p99 * 1000 };
}
