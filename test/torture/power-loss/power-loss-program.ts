/**
 * A program that writes for a while, under the recorder. What it acknowledges it writes to a file that is recorded as well, so that the
 * recording says what was acknowledged when.
 *
 *   node power-loss-program.js <path> <shards> <durability> <milliseconds> <first number> <seed>
 */
import { mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Durability, openKv } from "../../../src/index.js";
import { ledgerCommit } from "../../life/ledger.js";
import { randomOf } from "../../life/random.js";

const WRITERS = 16;

const [path, shards, durability, milliseconds, first, seed] = process.argv.slice(2);
mkdirSync(path!, { recursive: true });
const acknowledgements = openSync(join(path!, "acknowledged"), "a");
const random = randomOf(Number(seed));
const kv = await openKv(join(path!, "store"), {
  shards: Number(shards),
  durability: durability as Durability,
  history: { bytesMax: 100_000 },
});
const deadlineMs = Date.now() + Number(milliseconds);
let next = Number(first);
/** Of this life: the acknowledgements of an earlier one stand before. */
let acknowledged = 0;

async function write(): Promise<void> {
  while (Date.now() < deadlineMs) {
    const n = next++;
    const bulk = random(40) === 0 ? new Uint8Array(20_000 + random(60_000)).fill(n) : undefined;
    const begunAfter = acknowledged;
    const result = await ledgerCommit(kv, n, "mixed", bulk).commit();
    if (!result.ok) throw new Error(`commit ${n} was refused without a check`);
    writeSync(acknowledgements, `${n} ${result.versionstamp} ${Date.now()} ${begunAfter}\n`);
    acknowledged++;
    if (random(8) === 0) await kv.set(["fleeting", n % 50], n, { expireIn: 1 + random(100) });
    await new Promise((resolve) => setTimeout(resolve, random(4)));
  }
}

await Promise.all(Array.from({ length: WRITERS }, write));
if (random(2) === 0) await kv.close();
else process.exit(0);
