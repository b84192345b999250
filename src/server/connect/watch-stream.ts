/**
 * Owns KV Connect's watch: a stream of states of some keys.
 *
 *     stream := frame*
 *     frame  := length (u32, little-endian) WatchOutput       length 0: a heartbeat
 *
 * The first state has every key marked as changed; later ones only those that are. *Lag*: a watch is level-triggered, so a slow client
 * skips states; what waits for it is one.
 */
import type { EncodedKv, KvEncodedEntry } from "../../index.js";
import { SERVER_HEARTBEAT_MS } from "../../limits.js";
import type { Principal } from "../access.js";
import { demandKey } from "../demands.js";
import type { Exchange } from "../exchange.js";
import { badRequest } from "../http-error.js";
import { itemsOf, pump } from "../pump.js";
import { readWatch, writeWatchOutput } from "./messages.js";

const HEARTBEAT = new Uint8Array(4);

/** Streams until the client or the store goes, or `signal` aborts. */
export async function watchStream(
  exchange: Exchange,
  kv: EncodedKv,
  principal: Principal,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const keys = readWatch(body);
  if (keys.length === 0) throw badRequest("No keys to watch.");
  for (const key of keys) demandKey(principal, "read", key);
  const stream = exchange.stream(200, { "content-type": "application/octet-stream" });
  stream.flush();
  let sent: readonly (string | null)[] | null = null;
  try {
    await pump({
      items: itemsOf(kv.watch(keys)),
      idleMs: SERVER_HEARTBEAT_MS,
      signal,
      onIdle: () => stream.write(HEARTBEAT),
      onItem: (entries) => {
        const before = sent;
        sent = entries.map((entry) => entry?.versionstamp ?? null);
        return stream.write(frame(changedSince(before, entries)));
      },
    });
  } finally {
    stream.end();
  }
}

function changedSince(
  before: readonly (string | null)[] | null,
  entries: readonly (KvEncodedEntry | null)[],
): Uint8Array {
  const states = entries.map((entry, index) => ({
    entry,
    isChanged: before === null || before[index] !== (entry?.versionstamp ?? null),
  }));
  return writeWatchOutput(states);
}

function frame(output: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + output.length);
  new DataView(bytes.buffer).setUint32(0, output.length, true);
  bytes.set(output, 4);
  return bytes;
}
