/** `watch`: the current state, then the newest one whenever a key has moved. */
import assert from "node:assert/strict";
import type { AnyKv, ContractCase } from "./subject.js";

const valuesOf = (item: AnyKv) => item.value.map(({ value }: AnyKv) => value);
const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export const watchCases: ContractCase[] = [
  {
    name: "the first item is the state of all keys in their order, null entries and duplicates too",
    run: async ({ kv }) => {
      await kv.set(["a"], 1);
      const reader = kv.watch([["a"], ["b"], ["a"]]).getReader();
      assert.deepEqual(valuesOf(await reader.read()), [1, null, 1]);
      await reader.cancel();
      const nothing = kv.watch([["none"]]).getReader();
      assert.deepEqual((await nothing.read()).value, [{ key: ["none"], value: null, versionstamp: null }]);
      await nothing.cancel();
    },
  },
  {
    name: "a change of any key gives an item of all keys, unchanged ones repeated",
    run: async ({ kv }) => {
      const reader = kv.watch([["a"], ["b"]]).getReader();
      await reader.read();
      await kv.set(["b"], 2);
      assert.deepEqual(valuesOf(await reader.read()), [null, 2]);
      await kv.set(["a"], 1);
      assert.deepEqual(valuesOf(await reader.read()), [1, 2]);
      await kv.delete(["b"]);
      assert.deepEqual(valuesOf(await reader.read()), [1, null]);
      await reader.cancel();
    },
  },
  {
    name: "rewriting the same value is news; a missing key's deletion, a child and other keys are not",
    run: async ({ kv }) => {
      await kv.set(["a"], 1);
      const reader = kv.watch([["a"]]).getReader();
      const [first] = (await reader.read()).value;
      await kv.set(["a"], 1);
      const [second] = (await reader.read()).value;
      assert(second.versionstamp > first.versionstamp);
      const empty = kv.watch([["none"]]).getReader();
      await empty.read();
      const next = empty.read();
      await kv.delete(["none"]);
      await kv.set(["none", "child"], 1);
      await kv.set(["other"], 1);
      await later(50);
      await kv.set(["none"], "news");
      assert.deepEqual(valuesOf(await next), ["news"]);
      await reader.cancel();
      await empty.cancel();
    },
  },
  {
    name: "a slow reader gets the item that was read ahead, then the newest state",
    run: async ({ kv }) => {
      await kv.set(["a"], 0);
      const reader = kv.watch([["a"]]).getReader();
      await later(100);
      for (let n = 1; n < 10; n++) await kv.set(["a"], n);
      await later(100);
      assert.deepEqual([...valuesOf(await reader.read()), ...valuesOf(await reader.read())], [0, 9]);
      await reader.cancel();
    },
  },
  {
    name: "commits of two keys are never seen torn, and the newest state always comes",
    run: async ({ kv }) => {
      const reader = kv.watch([["a"], ["b"]]).getReader();
      const writing = (async () => {
        for (let n = 1; n <= 100; n++) await kv.atomic().set(["a"], n).set(["b"], n).commit();
      })();
      for (let last = 0; last < 100; ) {
        const [a, b] = (await reader.read()).value;
        assert.deepEqual([a.value, a.versionstamp], [b.value, b.versionstamp]);
        last = a.value ?? 0;
      }
      await writing;
      await reader.cancel();
    },
  },
  {
    name: "with raw, an item comes for every change",
    run: async ({ kv }) => {
      const reader = kv.watch([["a"]], { raw: true }).getReader();
      await reader.read();
      const next = reader.read();
      await kv.set(["a"], 1);
      assert.deepEqual(valuesOf(await next), [1]);
      await kv.delete(["a"]);
      assert.deepEqual(valuesOf(await reader.read()), [null]);
      await reader.cancel();
    },
  },
  {
    name: "no keys: the stream ends at once; the empty key: a null entry",
    run: async ({ kv }) => {
      assert.equal((await kv.watch([]).getReader().read()).done, true);
      const reader = kv.watch([[]]).getReader();
      assert.deepEqual((await reader.read()).value, [{ key: [], value: null, versionstamp: null }]);
      await reader.cancel();
    },
  },
  {
    name: "cancelling twice does nothing, leaving the loop unlocks the stream, and writes go on",
    run: async ({ kv }) => {
      const reader = kv.watch([["a"]]).getReader();
      await reader.cancel();
      await reader.cancel();
      assert.equal((await reader.read()).done, true);
      const stream = kv.watch([["a"]]);
      for await (const [entry] of stream) {
        assert.equal(entry.value, null);
        break;
      }
      assert.equal(stream.locked, false);
      assert.equal((await kv.set(["a"], 1)).ok, true);
    },
  },
];
