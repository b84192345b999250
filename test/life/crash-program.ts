/**
 * A program that writes as fast as it can until it is killed. The tests in crash.test.ts start it.
 *
 *   node crash-program.js <path> <number of the first commit> <durability>
 *
 * It says `<n> <versionstamp>` for each acknowledged commit of the ledger (ledger.ts).
 */
import { writeSync } from "node:fs";
import { type Durability, openKv } from "../../src/index.js";
import { ledgerCommit } from "./ledger.js";

const SHARDS = 5;
const WRITERS = 48;

const [path, first, durability] = process.argv.slice(2);
const kv = await openKv(path!, { shards: SHARDS, durability: durability as Durability });
let next = Number(first);

async function write(): Promise<void> {
  for (;;) {
    const n = next++;
    const result = await ledgerCommit(kv, n, "mixed").commit();
    // Synchronously, so that what was acknowledged is known to have been.
    if (result.ok) writeSync(1, `${n} ${result.versionstamp}\n`);
  }
}

await Promise.all(Array.from({ length: WRITERS }, write));
