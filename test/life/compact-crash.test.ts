/** `kill -9` while the files are rewritten: nothing that was acknowledged is lost, and no commit is half there. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openKv, verifyStore } from "../../src/index.js";
import { Child } from "./child-process.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const SEED = seedFrom("BELFRY_COMPACT_CRASH_SEED");
const ROUNDS = Number(process.env["BELFRY_COMPACT_CRASH_ROUNDS"] ?? 2);

test.each(["sync", "relaxed"] as const)(
  `a store that is killed while it is compacted has all of it (%s, BELFRY_COMPACT_CRASH_SEED=${SEED})`,
  async (durability) => {
    const random = randomOf(SEED);
    const path = join(temporaryDirectory(), "store");
    const acknowledged = new Map<number, number>();
    let compactions = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const child = new Child("compact-crash-program.js", [path, durability]);
      await child.saysSomething();
      await child.livesFor(random(400));
      child.kill("SIGKILL");
      const { lines } = await child.end();
      compactions += lines.filter((line) => line === "compacted").length;
      for (const line of lines.filter((one) => one !== "compacted")) {
        const [row, n] = line.split(" ").map(Number);
        acknowledged.set(row!, n!);
      }
      const { problems } = await verifyStore(path);
      expect(problems).toEqual([]);
      await using kv = await openKv(path);
      expect(existsSync(join(path, "shard-000", "compact"))).toBe(false);
      for (const [row, n] of acknowledged) {
        const [first, twin] = await kv.getMany<[number, number]>([
          ["row", row],
          ["twin", row],
        ]);
        // The last one may have been made without being said.
        expect([n, n + 1]).toContain(first.value);
        expect(twin.value).toBe(first.value);
      }
    }
    expect(acknowledged.size).toBeGreaterThan(0);
    if (ROUNDS >= 4) expect(compactions).toBeGreaterThan(0);
  },
  120_000,
);
