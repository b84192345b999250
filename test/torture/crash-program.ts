/**
 * A program that writes as fast as it can, and follows its own changes, until it is killed.
 *
 *   node crash-program.js <path> <number of the first commit> <durability>
 *
 * It says `<n> <versionstamp>` for each acknowledged commit of the ledger, and `heard <versionstamp>` for each change of the feed.
 */
import { writeSync } from "node:fs";
import { type Durability, openKv } from "../../src/index.js";
import { ledgerCommit } from "../life/ledger.js";

const SHARDS = 5;
const WRITERS = 48;
/** Small, so that every life trims. */
const HISTORY_BYTES = 200_000;

const [path, first, durability] = process.argv.slice(2);
const kv = await openKv(path!, {
  shards: SHARDS,
  durability: durability as Durability,
  history: { bytesMax: HISTORY_BYTES },
});
let next = Number(first);

async function write(): Promise<void> {
  for (;;) {
    const n = next++;
    const result = await ledgerCommit(kv, n, "mixed").commit();
    // Synchronously, so that what was acknowledged is known to have been.
    if (result.ok) writeSync(1, `${n} ${result.versionstamp}\n`);
    if (n % 5 === 0) await kv.set(["fleeting", n % 100], n, { expireIn: n % 60 });
  }
}

async function follow(): Promise<void> {
  for await (const { versionstamp } of kv.changes({ prefix: ["note"] }))
    writeSync(1, `heard ${versionstamp}\n`);
}

await Promise.all([follow(), ...Array.from({ length: WRITERS }, write)]);
