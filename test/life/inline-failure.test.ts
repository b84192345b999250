/** A commit that the caller has made and could not publish: the shard's thread dies of it, and the next one has the change from the log. */
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { KvUnknownOutcomeError } from "../../src/errors.js";
import { Kv } from "../../src/kv/kv.js";
import { limitsOf } from "../../src/kv/kv-limits.js";
import { CHANGE_INTENT_WORD } from "../../src/ring/layout.js";
import { acquireEngine } from "../../src/router/engine-registry.js";
import { tempPath } from "../kv/temp-store.js";

const HISTORY = { bytesMax: 2 ** 24, ageMsMax: Number.POSITIVE_INFINITY };

test("is unknown to its caller, heard once by everybody else, and the store goes on", {
  timeout: 60_000,
}, async () => {
  const options = { shards: 1, durability: "relaxed", clock: systemClock, history: HISTORY } as const;
  const { engine, release } = await acquireEngine(tempPath(), options);
  const kv = new Kv(engine.caller, { limits: limitsOf(undefined), ifChanged: false, release, share: null });
  onTestFinished(() => kv[Symbol.asyncDispose]());
  const { control, shared } = engine.caller;
  const feed = kv.changes({ prefix: [] });
  await kv.set(["k"], 1);
  // Until the thread sleeps commits go through it, and it would meet the fault itself.
  while (!control.tryLockWriter(0)) await new Promise((resolve) => setTimeout(resolve, 1));
  control.unlockWriter(0);
  // As if somebody wrote beside the lock: the ring finds that out.
  Atomics.add(new Int32Array(shared.changes[0]!), CHANGE_INTENT_WORD, 1);
  await expect(kv.set(["k"], 2)).rejects.toBeInstanceOf(KvUnknownOutcomeError);
  await kv.set(["k"], 3);
  const heard: unknown[] = [];
  for await (const { value } of feed) {
    heard.push(value);
    if (value === 3) break;
  }
  expect(heard).toEqual([1, 2, 3]);
  expect(control.incarnation(0)).toBe(1);
});
