/**
 * A consumer that keeps its position with each change that it handles, in a process that is killed at any moment, again and again.
 *
 * `BELFRY_FEED_CRASH_ROUNDS` asks for more rounds (default 5), `BELFRY_CRASH_SEED` repeats their moments (as far as moments can be).
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import { KvU64, openKv } from "../../src/index.js";
import { Child } from "./child-process.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const ROUNDS = Number(process.env["BELFRY_FEED_CRASH_ROUNDS"] ?? 5);
const SEED = seedFrom("BELFRY_CRASH_SEED");
const KILL_MS_MAX = 300;
/** Numbers that one life of the program may use. */
const LIFE = 1_000_000;

test(`a consumer that is killed ${ROUNDS} times misses nothing and handles nothing twice (BELFRY_CRASH_SEED=${SEED})`, {
  timeout: 20_000 + ROUNDS * 5_000,
}, async () => {
  const path = join(temporaryDirectory(), "store");
  const random = randomOf(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const child = new Child("feed-crash-program.js", [path, String(round * LIFE)]);
    await child.saysLine("begun");
    await child.livesFor(random(KILL_MS_MAX));
    child.kill("SIGKILL");
    const end = await child.end();
    expect(end.how, end.errors).toBe("SIGKILL");
  }
  const drained = await new Child("feed-crash-program.js", [path, "drain"]).end();
  expect(drained.how, drained.errors).toBe(0);

  await using kv = await openKv(path);
  const written: string[] = [];
  for await (const { key } of kv.list({ prefix: ["in"] })) written.push(key.slice(2).join());
  const handled: string[] = [];
  for await (const { key, value } of kv.list<KvU64>({ prefix: ["handled"] })) {
    expect(value, `times that ${key.join()} was handled`).toEqual(new KvU64(1n));
    handled.push(key.slice(1).join());
  }
  expect(written.length).toBeGreaterThan(ROUNDS);
  expect(handled.sort()).toEqual(written.sort());
});
