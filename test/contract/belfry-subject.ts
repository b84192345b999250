/** Owns Belfry as a subject of the contract. */
import { KeyObject } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { type Kv, type KvOpenOptions, KvU64, openKv } from "../../src/index.js";
import type { Subject } from "./subject.js";

/**
 * The same store when all its shards run. They come up one after the other, on a busy machine at intervals that are longer than the times to live of the cases, and
 * than their handlers.
 */
export async function untilRunning(kv: Kv): Promise<Kv> {
  while (kv.stats().shards.some(({ state }) => state === "starting"))
    await new Promise((resolve) => setTimeout(resolve, 1));
  return kv;
}

/** A subject whose stores are opened with the options, and what removes the paths that it gave. */
export function belfrySubject(options: KvOpenOptions): { subject: Subject; dispose: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "belfry-contract-"));
  let paths = 0;
  const subject: Subject = {
    openKv: async (path) => untilRunning(await openKv(path, options)),
    KvU64,
    newPath: () => join(directory, String(paths++)),
    inspect: (value) => inspect(value),
    hasDenoLimits: options.limits === "deno",
    hasCryptoKeys: "toCryptoKey" in KeyObject.prototype,
    hasQueues: true,
  };
  return { subject, dispose: () => rmSync(directory, { recursive: true, force: true }) };
}
