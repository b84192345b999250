/**
 * Uses a store of which something is taken away, and says `BROKEN <what>` for each promise that it sees broken.
 *
 *   node full-disk-program.js <path> limit     its files may not grow beyond a size, by `prlimit`
 *   node full-disk-program.js <path> forbid    as a user who may not write the directory
 */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { KvError, openKv } from "../../src/index.js";

const FILE_BYTES = 3_000_000;
/** A user without rights: nobody. */
const NOBODY = 65_534;

const [path, what] = process.argv.slice(2);

function broken(sentence: string): void {
  console.log(`BROKEN ${sentence}`);
}

async function limit(): Promise<void> {
  process.on("SIGXFSZ", () => {});
  const kv = await openKv(path!, { shards: 2 });
  const acknowledged: number[] = [];
  try {
    execFileSync("prlimit", ["--pid", String(process.pid), `--fsize=${FILE_BYTES}:unlimited`]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    console.log("there is no prlimit here");
    await kv.close();
    return;
  }
  let refused = 0;
  for (let n = 0; n < 400 && refused < 10; n++) {
    try {
      await kv.set(["row", n], new Uint8Array(40_000).fill(n));
      acknowledged.push(n);
    } catch (error) {
      refused++;
      if (!(error instanceof KvError) || error.code !== "KV_STORAGE")
        broken(`the limit is called ${String(error)}`);
    }
  }
  if (refused === 0) broken("the limit was never reached");
  for (const n of acknowledged) {
    const { value } = await kv.get<Uint8Array>(["row", n]);
    if (value?.[9] !== n % 256) broken(`row ${n} is not there`);
  }
  execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=unlimited:unlimited"]);
  for (let n = 0; n < 20; n++) await kv.set(["later", n], new Uint8Array(40_000));
  await kv.close();
}

async function forbid(): Promise<void> {
  const kv = await openKv(path!, { shards: 2 });
  await kv.set(["row"], 1);
  await kv.close();
  if (process.getuid?.() !== 0) return;
  const files = ["", ...readdirSync(path!), ...["shard-000/data.mdb", "shard-001/data.mdb"]];
  for (const file of files) chmodSync(join(path!, file), 0o555);
  // Root may do everything; so this process is nobody from here on. The way to the directory must be open to it.
  chmodSync(join(path!, ".."), 0o755);
  process.seteuid?.(NOBODY);
  try {
    const forbidden = await openKv(path!);
    await forbidden.close();
    broken("a directory that may not be written was opened");
  } catch (error) {
    if (!(error instanceof KvError) || error.code !== "KV_STORAGE")
      broken(`no permission is called ${String(error)}`);
  }
  process.seteuid?.(0);
  for (const file of files) chmodSync(join(path!, file), 0o755);
  for (const file of files) chownSync(join(path!, file), 0, 0);
  const again = await openKv(path!);
  if ((await again.get(["row"])).value !== 1) broken("the entry is gone");
  await again.close();
}

await (what === "limit" ? limit() : forbid());
