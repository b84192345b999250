/**
 * Queues: from the call of enqueue to the beginning of the message's handling, one message at a time and many.
 */
import { LatencyRecorder } from "../latency.js";
import { closedLoop } from "../load.js";
import { sampleValue } from "../sample-data.js";
import { BOTH, type Workload } from "../workload.js";

const IN_FLIGHT = 500;

export const queues: readonly Workload[] = [1, IN_FLIGHT].map((inFlight) => ({
  name: inFlight === 1 ? "queue" : `queue-${inFlight}`,
  group: "queues",
  about: `enqueue called → handled, ${inFlight === 1 ? "one message at a time" : `${inFlight} messages in flight`}; the handler does nothing`,
  unit: "messages",
  needs: ["listen", "enqueue"],
  durabilities: BOTH,
  shows: inFlight === 1 ? "latency" : "throughput",
  start: (store) => {
    const waiting = new Map<number, () => void>();
    let nextId = 0;
    return {
      prepare: async () => {
        await store.listen!((message) => waiting.get((message as { id: number }).id)?.());
        return undefined;
      },
      round: async ({ seconds }) => {
        const latency = new LatencyRecorder();
        const step = async (): Promise<void> => {
          const id = nextId++;
          const calledMs = performance.now();
          const handled = new Promise<void>((resolve) => {
            waiting.set(id, () => {
              latency.add((performance.now() - calledMs) * 1000);
              resolve();
            });
          });
          await Promise.all([store.enqueue!({ id, value: sampleValue(id) }), handled]);
          waiting.delete(id);
        };
        const round = await closedLoop({ seconds, inFlight, step });
        return { ...round, latency: latency.toHistogram() };
      },
    };
  },
}));
