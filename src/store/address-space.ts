/**
 * Owns the look whether a process may have the addresses that LMDB's maps take, where it is limited (`ulimit -v`). The binding does not survive
 * a map that is refused. Any thread; Linux alone tells.
 */
import { readFileSync } from "node:fs";
import { KvStorageError } from "../errors.js";
import { MAP_BYTES } from "../limits.js";

/** Throws KvStorageError when `maps` more maps don't fit. */
export function checkAddressSpace(path: string, maps: number): void {
  if (process.platform !== "linux") return;
  const limit = /^Max address space +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  if (limit === undefined) return;
  const usedKib = /^VmSize:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const leftBytes = Number(limit) - Number(usedKib ?? 0) * 1024;
  if (leftBytes >= maps * MAP_BYTES) return;
  throw new KvStorageError(
    `can't open the store in ${path}: the process may use ${leftBytes} more bytes of addresses (ulimit -v), the maps of ${maps} shards take ${maps * MAP_BYTES}; they take no memory, so the limit can be lifted`,
  );
}
