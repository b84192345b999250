/**
 * Writes to a store and compacts it again and again, until it is killed; says `<row> <n>` for each write that was acknowledged.
 *
 *   node compact-crash-program.js <path> sync|relaxed
 */
import { openKv } from "../../src/index.js";

const [path, durability] = process.argv.slice(2);
const kv = await openKv(path!, { shards: 2, durability: durability as "sync" | "relaxed" });

async function write(row: number): Promise<never> {
  for (let n = Number((await kv.get<number>(["row", row])).value ?? 0) + 1; ; n++) {
    await kv
      .atomic()
      .set(["row", row], n)
      .set(["twin", row], n)
      .set(["bulk", row], new Uint8Array(50_000))
      .commit();
    console.log(`${row} ${n}`);
  }
}

for (let row = 0; row < 4; row++) void write(row);
for (;;) {
  await kv.compact();
  console.log("compacted");
}
