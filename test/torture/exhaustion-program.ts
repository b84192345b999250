/**
 * Opens a store in a process that may have no more address space than it has, and says `BROKEN <what>` for each promise that it sees broken.
 *
 *   node exhaustion-program.js <path>
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { KvError, openKv } from "../../src/index.js";

const [path] = process.argv.slice(2);
/** Room for Node's own threads, and for no map of a shard: that reserves a TiB of addresses. */
const SPARE_BYTES = 2 ** 36;

function limitAddresses(bytes: string): void {
  execFileSync("prlimit", ["--pid", String(process.pid), `--as=${bytes}:unlimited`]);
}

async function exhaust(): Promise<void> {
  const pages = Number(readFileSync("/proc/self/statm", "utf8").split(" ")[0]);
  try {
    limitAddresses(String(pages * 4096 + SPARE_BYTES));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    console.log("there is no prlimit here");
    return;
  }
  try {
    const kv = await openKv(path!);
    await kv.close();
    console.log("BROKEN a store was opened without room for its maps");
  } catch (error) {
    if (!(error instanceof KvError) || error.code !== "KV_STORAGE")
      console.log(`BROKEN a lack of addresses is called ${String(error)}`);
  }
  limitAddresses("unlimited");
  const kv = await openKv(path!);
  if ((await kv.get(["row"])).value !== 1) console.log("BROKEN the entry is gone");
  await kv.set(["row"], 2);
  await kv.close();
}

await exhaust();
