/** What Belfry does better than Deno KV, on purpose: each is told in README's "Differences from Deno KV". */
import assert from "node:assert/strict";
import type { AnyKv, ContractCase } from "./subject.js";

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function readWithin(reader: AnyKv, ms: number): Promise<AnyKv> {
  const read = reader.read();
  const result = await Promise.race([read, later(ms).then(() => null)]);
  assert.notEqual(result, null, `nothing was heard within ${ms} ms`);
  return result;
}

export const differenceCases: ContractCase[] = [
  {
    name: "a commit that rejects half-way has changed nothing",
    run: async ({ kv }) => {
      await kv.set(["n"], "no number");
      await assert.rejects(() => kv.atomic().set(["leak"], 1).sum(["n"], 1n).commit());
      assert.equal((await kv.get(["leak"])).versionstamp, null);
    },
  },
  {
    name: "an entry whose time is up is invisible at once",
    run: async ({ kv }) => {
      await kv.set(["a"], 1, { expireIn: 20 });
      await later(60);
      assert.equal((await kv.get(["a"])).versionstamp, null);
      assert.equal((await kv.list({ prefix: [] }).next()).done, true);
    },
  },
  {
    name: "the end of an entry's time is heard at once",
    run: async ({ kv }) => {
      await kv.set(["a"], 1, { expireIn: 200 });
      const reader = kv.watch([["a"]]).getReader();
      try {
        await reader.read();
        assert.equal((await readWithin(reader, 3000)).value[0].versionstamp, null);
      } finally {
        await reader.cancel();
      }
    },
  },
  {
    name: "a watch hears a key that got the commit's versionstamp",
    run: async ({ kv }) => {
      // The next stamp is unknown, so the key is set first, deleted, and watched while it is set again under the same name.
      const { versionstamp } = await kv.set(["log", kv.commitVersionstamp()], 1);
      const key = ["log", versionstamp];
      assert.equal((await kv.get(key)).value, 1);
      const reader = kv.watch([["log"]]).getReader();
      try {
        await reader.read();
        // Deno wakes the watch of the key without its suffix: with raw it would say so for a key that has not changed.
        const raw = kv.watch([["log"]], { raw: true }).getReader();
        await raw.read();
        const next = raw.read();
        await kv.set(["log", kv.commitVersionstamp()], 2);
        await later(100);
        await kv.set(["log"], "changed");
        assert.equal((await next).value[0].value, "changed");
        await raw.cancel();
      } finally {
        await reader.cancel();
      }
    },
  },
  {
    name: "a raw watch hears changes, and not the deletion of what is not there",
    run: async ({ kv }) => {
      const reader = kv.watch([["a"]], { raw: true }).getReader();
      await reader.read();
      const next = reader.read();
      await kv.delete(["a"]);
      await later(100);
      await kv.set(["a"], 1);
      assert.equal((await next).value[0].value, 1);
      await reader.cancel();
    },
  },
  {
    name: "failed checks are named with what was expected and what is there",
    run: async ({ kv }) => {
      const { versionstamp } = await kv.set(["a"], 1);
      const result = await kv
        .atomic()
        .check({ key: ["b"], versionstamp: null })
        .check({ key: ["a"], versionstamp: null })
        .commit();
      assert.deepEqual(result, {
        ok: false,
        failedChecks: [{ index: 1, key: ["a"], expected: null, actual: versionstamp }],
      });
    },
  },
  {
    name: "every refusal has a code",
    run: async ({ kv }) => {
      await assert.rejects(() => kv.set([], 1), { code: "KV_INVALID_KEY" });
      await assert.rejects(() => kv.set(["a"], () => {}), { code: "KV_INVALID_VALUE" });
      assert.throws(() => kv.list({}), { code: "KV_INVALID_SELECTOR" });
    },
  },
  {
    name: "prefixes can be followed change by change",
    run: async ({ kv }) => {
      const feed = kv.changes({ prefix: ["log"] })[Symbol.asyncIterator]();
      await kv.set(["log", 1], "rung");
      assert.deepEqual((await feed.next()).value.key, ["log", 1]);
      await feed.return();
    },
  },
  {
    name: "a key that ends in the commit's versionstamp is held to the limit of a key as a whole",
    run: async ({ subject }) => {
      // A store of its own: Deno writes a key that nobody can read or delete.
      const kv = await subject.openKv(":memory:");
      const own = kv.commitVersionstamp();
      await kv.set(["k".repeat(2024), own], 1);
      const refused = kv.set(["k".repeat(2025), own], 1).then(() => assert.fail("it was written"));
      await assert.rejects(refused, TypeError).finally(() => kv.close());
    },
  },
  {
    name: "the commit's versionstamp may be all of a key",
    run: async ({ kv }) => {
      const { versionstamp } = await kv.set([kv.commitVersionstamp()], 1);
      assert.equal((await kv.get([versionstamp])).value, 1);
    },
  },
  {
    name: "shared memory is refused with a TypeError, as is every other value",
    run: async ({ kv }) => {
      await assert.rejects(() => kv.set(["a"], new SharedArrayBuffer(8)), TypeError);
    },
  },
  {
    name: "a key and a value are taken as they are at the call of atomic",
    run: async ({ kv }) => {
      const [key, bytes] = [["a"], Uint8Array.of(1)];
      const operation = kv.atomic().set(key, bytes);
      key[0] = "b";
      bytes[0] = 2;
      await operation.commit();
      assert.deepEqual((await kv.get(["a"])).value, Uint8Array.of(1));
    },
  },
  {
    name: "a Blob is stored with its bytes, and counts with them",
    appliesTo: ({ hasDenoLimits }) => hasDenoLimits,
    run: async ({ kv }) => {
      await assert.rejects(() => kv.set(["a"], new Blob([new Uint8Array(65_537)])));
    },
  },
  {
    name: "by default hundreds of keys are watched, and values are larger",
    appliesTo: ({ hasDenoLimits }) => !hasDenoLimits,
    run: async ({ kv }) => {
      const keys = Array.from({ length: 500 }, (_, n) => ["n", n]);
      const reader = kv.watch(keys).getReader();
      assert.equal((await reader.read()).value.length, 500);
      await reader.cancel();
      assert.equal((await kv.getMany(keys)).length, 500);
      await kv.set(["large"], new Uint8Array(2 ** 20));
      assert.equal((await kv.get(["large"])).value.length, 2 ** 20);
    },
  },
];
