/** Owns the picture of a directory, by which a test sees that nothing in it was touched. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Every file below the directory with the hash of its bytes and its time of change; directories by their names. */
export function directoryState(path: string): Record<string, string> {
  const state: Record<string, string> = {};
  for (const name of readdirSync(path, { recursive: true }) as string[]) {
    const file = join(path, name);
    const stat = statSync(file, { bigint: true });
    const bytes = stat.isFile() ? createHash("sha256").update(readFileSync(file)).digest("hex") : "directory";
    state[name] = `${bytes} ${stat.isFile() ? stat.mtimeNs : ""}`;
  }
  return state;
}
