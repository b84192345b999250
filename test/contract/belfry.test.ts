/** Belfry keeps the contract of Deno KV, over any number of shards, in both durabilities, in memory and on disk. */
import { describe, expect, test } from "vitest";
import type { KvOpenOptions } from "../../src/index.js";
import { belfrySubject } from "./belfry-subject.js";
import { contract } from "./contract.js";
import { differenceCases } from "./difference-cases.js";
import { queueDifferenceCases } from "./queue-cases.js";
import { runContract } from "./subject.js";

/** `undefined` as a path: a directory; the cases that open stores of their own have the same options. */
const CONFIGURATIONS: [path: string | undefined, options: KvOpenOptions, withQueues: boolean][] = [
  [":memory:", { shards: 2, limits: "deno" }, false],
  [undefined, { shards: 1, limits: "deno", durability: "sync" }, true],
  [undefined, { shards: 5, limits: "deno", durability: "relaxed" }, true],
  [undefined, { shards: 2 }, false],
];

describe.each(CONFIGURATIONS)("%o with %o", (path, options, withQueues) => {
  test("keeps every promise of Deno KV, and those beyond", { timeout: 240_000 }, async () => {
    const { subject: belfry, dispose } = belfrySubject(options);
    const subject = { ...belfry, hasQueues: withQueues };
    try {
      const cases = [...contract, ...differenceCases, ...queueDifferenceCases];
      const results = await runContract(cases, subject, path ?? subject.newPath());
      expect(results.filter(({ failure }) => failure !== null)).toEqual([]);
      expect(results.length).toBeGreaterThan(100);
    } finally {
      dispose();
    }
  });
});
