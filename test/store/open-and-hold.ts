/** A process of its own that opens the store in its argument, says how that went in one line of JSON, and holds it until it is told. */
import { openKv } from "../../src/index.js";

const [path, startAtMs] = process.argv.slice(2);
// Rivals begin at the same moment, however long each of them took to load.
while (Date.now() < Number(startAtMs ?? 0));
try {
  const kv = await openKv(path!, { shards: 2 });
  await kv.set(["owner"], process.pid);
  say({ opened: true, pid: process.pid });
  process.stdin.once("data", async () => {
    await kv.close();
    process.exit(0);
  });
} catch (error) {
  const { code, pid } = error as { code?: string; pid?: number };
  say({ opened: false, code, pid, message: (error as Error).message });
}

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
