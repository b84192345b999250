/** Owns Belfry as a subject of the contract. */
import { KeyObject } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { type KvOpenOptions, KvU64, openKv } from "../../src/index.js";
import type { Subject } from "./subject.js";

/** A subject whose stores are opened with the options, and what removes the paths that it gave. */
export function belfrySubject(options: KvOpenOptions): { subject: Subject; dispose: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "belfry-contract-"));
  let paths = 0;
  const subject: Subject = {
    openKv: (path) => openKv(path, options),
    KvU64,
    newPath: () => join(directory, String(paths++)),
    inspect: (value) => inspect(value),
    hasDenoLimits: options.limits === "deno",
    hasCryptoKeys: "toCryptoKey" in KeyObject.prototype,
    hasQueues: true,
  };
  return { subject, dispose: () => rmSync(directory, { recursive: true, force: true }) };
}
