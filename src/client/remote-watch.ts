/**
 * Owns a remote `watch(keys)`: the states of some keys, over connections that come and go.
 */
import type { KvEntryMaybe, KvKey, KvWatchOptions } from "../index.js";
import { reconnecting } from "./reconnecting.js";
import type { Transport } from "./transport.js";

/** A stream of states of keys that nobody else changes. The first is the current one; a new connection begins with the state, and one that was told already is skipped. */
export function remoteWatch<S>(
  transport: Transport,
  wanted: readonly KvKey[],
  { signal, raw }: KvWatchOptions,
): ReadableStream<S> {
  signal?.throwIfAborted();
  const ended = new AbortController();
  const events = reconnecting({
    transport,
    path: "/v1/watch",
    message: () => ({ keys: wanted }),
    signal: AbortSignal.any([ended.signal, transport.closed, ...(signal ? [signal] : [])]),
  });
  let told: string | undefined;
  const nextStates = async (): Promise<readonly KvEntryMaybe<unknown>[] | undefined> => {
    for (;;) {
      if (wanted.length === 0) return undefined;
      const { done, value } = await events.next();
      if (done === true) return undefined;
      const { entries } = value.data as { entries: KvEntryMaybe<unknown>[] };
      const stamps = entries.map(({ versionstamp }) => versionstamp).join();
      if (stamps === told && raw !== true) continue;
      told = stamps;
      return entries;
    }
  };
  return new ReadableStream<S>({
    pull: async (controller) => {
      const entries = await nextStates();
      if (entries !== undefined) controller.enqueue(entries as S);
      else if (signal?.aborted === true) controller.error(signal.reason);
      else if (!ended.signal.aborted) controller.close();
    },
    cancel: () => ended.abort(),
  });
}
