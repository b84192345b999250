/** Belfry keeps the contract of Deno KV, over any number of shards, in both durabilities, in memory and on disk. */
import { describe, expect, test } from "vitest";
import type { KvOpenOptions } from "../../src/index.js";
import { belfrySubject } from "./belfry-subject.js";
import { contract } from "./contract.js";
import { differenceCases } from "./difference-cases.js";
import { queueDifferenceCases } from "./queue-cases.js";
import { runContract } from "./subject.js";

const DIRECTORY = "a directory";

/** The cases that open stores of their own have the same options. */
const CONFIGURATIONS: [path: string, options: KvOpenOptions, withQueues: boolean][] = [
  [":memory:", { shards: 2, limits: "deno" }, false],
  [DIRECTORY, { shards: 1, limits: "deno", durability: "sync" }, true],
  [DIRECTORY, { shards: 5, limits: "deno", durability: "relaxed" }, true],
  [DIRECTORY, { shards: 2 }, false],
];

describe.each(CONFIGURATIONS)("%o with %o", (path, options, withQueues) => {
  test("keeps every promise of Deno KV, and those beyond", { timeout: 240_000 }, async () => {
    const { subject: belfry, dispose } = belfrySubject(options);
    const subject = { ...belfry, hasQueues: withQueues };
    try {
      const cases = [...contract, ...differenceCases, ...queueDifferenceCases];
      const results = await runContract(cases, subject, path === DIRECTORY ? subject.newPath() : path);
      expect(results.filter(({ failure }) => failure !== null)).toEqual([]);
      expect(results.length).toBeGreaterThan(100);
    } finally {
      dispose();
    }
  });
});
