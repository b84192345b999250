/**
 * Owns `kv.compact()` as callers see it.
 */
import type { Engine } from "../router/engine.js";

/** What {@link Kv.compact} and {@link compactStore} have done. */
export interface Compaction {
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** See `Kv.compact`. */
export async function compactEngine(engine: Engine): Promise<Compaction> {
  const bytesBefore = engine.dataBytes;
  await engine.compact();
  return { bytesBefore, bytesAfter: engine.dataBytes };
}
