/**
 * A short run of every torture, and the proof that each can fail: with every one of its ways to break a promise it must find something.
 * For longer runs: `npm run torture`.
 */
import { describe, expect, test } from "vitest";
import { seedFrom } from "../life/random.js";
import { TORTURES } from "./registry.js";
import { runTorture } from "./torture.js";

const SEED = seedFrom("BELFRY_TORTURE_SEED");
const SECONDS = 0.3;
const TIMEOUT_MS = 120_000;

describe.each(TORTURES.map((torture) => [torture.name, torture] as const))("torture %s", (_, torture) => {
  test(
    `every promise holds (BELFRY_TORTURE_SEED=${SEED})`,
    async () => {
      const { broken, tried, skipped } = await runTorture(torture, { seconds: SECONDS, seed: SEED });
      expect(broken).toEqual([]);
      if (skipped === undefined) expect(Math.max(...Object.values(tried))).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  test.each(Object.keys(torture.breaks))(
    `finds a promise that is broken on purpose: %s (BELFRY_TORTURE_SEED=${SEED})`,
    async (breakage) => {
      // What depends on chance gets a few tries.
      for (let tries = 0; tries < 8; tries++) {
        const { broken, skipped } = await runTorture(torture, { seconds: 0.9, seed: SEED + tries, breakage });
        if (skipped !== undefined || broken.length > 0) return;
      }
      expect.fail("nothing was found");
    },
    TIMEOUT_MS,
  );
});
