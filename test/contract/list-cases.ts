/** `list`: selectors, batches, cursors, and where errors come. */
import assert from "node:assert/strict";
import { rejects, throws } from "./refusals.js";
import type { AnyKv, ContractCase } from "./subject.js";

const LETTERS = ["a", "b", "c", "d", "e", "f", "g"];

async function fill(kv: AnyKv): Promise<void> {
  const operation = kv.atomic().set(["x"], "itself").set(["w", "z"], "before").set(["y"], "after");
  for (const letter of LETTERS) operation.set(["x", letter], letter);
  await operation.commit();
}

async function values(kv: AnyKv, selector: unknown, options?: unknown): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { value } of kv.list(selector, options)) found.push(value);
  return found;
}

export const listCases: ContractCase[] = [
  {
    name: "a prefix selects the longer keys in whole parts, not itself; the empty prefix everything",
    run: async ({ kv }) => {
      await fill(kv);
      await kv.set(["x\0"], 1);
      await kv.set(["xa", 1], 1);
      assert.deepEqual(await values(kv, { prefix: ["x"] }), LETTERS);
      assert.equal((await values(kv, { prefix: [] })).length, LETTERS.length + 5);
    },
  },
  {
    name: "start is inclusive, end is exclusive, with a prefix and without",
    run: async ({ kv }) => {
      await fill(kv);
      assert.deepEqual(await values(kv, { prefix: ["x"], start: ["x", "e"] }), ["e", "f", "g"]);
      assert.deepEqual(await values(kv, { prefix: ["x"], end: ["x", "c"] }), ["a", "b"]);
      assert.deepEqual(await values(kv, { start: ["x", "b"], end: ["x", "d"] }), ["b", "c"]);
      assert.deepEqual(await values(kv, { start: ["x"], end: ["x", "b"] }), ["itself", "a"]);
      assert.deepEqual(await values(kv, { start: ["x", "b"], end: ["x", "b"] }), []);
    },
  },
  {
    name: "limit counts entries over batches; reverse must be true",
    run: async ({ kv }) => {
      await fill(kv);
      const prefix = { prefix: ["x"] };
      assert.deepEqual(await values(kv, prefix, { limit: 3, batchSize: 2 }), ["a", "b", "c"]);
      assert.deepEqual(await values(kv, prefix, { limit: 3, reverse: true, batchSize: 1 }), ["g", "f", "e"]);
      assert.deepEqual(await values(kv, prefix, { reverse: true }), [...LETTERS].reverse());
      assert.deepEqual(await values(kv, prefix, { reverse: 1 }), LETTERS);
    },
  },
  {
    name: "more than one default batch comes whole and in order",
    run: async ({ kv }) => {
      for (let from = 0; from < 600; from += 200) {
        const operation = kv.atomic();
        for (let n = from; n < from + 200; n++) operation.set(["n", n], n);
        await operation.commit();
      }
      const all = Array.from({ length: 600 }, (_, n) => n);
      assert.deepEqual(await values(kv, { prefix: ["n"] }), all);
      assert.deepEqual(await values(kv, { prefix: ["n"] }, { limit: 550 }), all.slice(0, 550));
    },
  },
  {
    name: "each batch is a snapshot of its own: later ones see what was written meanwhile",
    run: async ({ kv }) => {
      await fill(kv);
      const list = kv.list({ prefix: ["x"] }, { batchSize: 3 });
      const found = [(await list.next()).value.value];
      await kv.atomic().set(["x", "b"], "new").delete(["x", "e"]).set(["x", "f"], "new").commit();
      for await (const { value } of list) found.push(value);
      assert.deepEqual(found, ["a", "b", "c", "d", "new", "g"]);
    },
  },
  {
    name: "the iterator is its own iterable and has next and cursor, neither return nor throw",
    run: async ({ kv }) => {
      const list = kv.list({ prefix: [] });
      assert.equal(list[Symbol.asyncIterator](), list);
      assert.deepEqual(["next" in list, "return" in list, "throw" in list], [true, false, false]);
      assert.deepEqual(await list.next(), { done: true, value: undefined });
    },
  },
  {
    name: "a selector is copied at the call",
    run: async ({ kv }) => {
      await fill(kv);
      const prefix = ["x"];
      const list = kv.list({ prefix });
      prefix[0] = "w";
      assert.equal((await list.next()).value.value, "a");
    },
  },
  {
    name: "cursors are the pinned strings, empty when there is no more, the last one when the limit is reached",
    run: async ({ kv }) => {
      for (const letter of ["a", "b", "c", "d"]) await kv.set(["a", letter], letter);
      const list = kv.list({ prefix: ["a"] });
      await list.next();
      await list.next();
      assert.equal(list.cursor, "AmIA");
      await list.next();
      await list.next();
      assert.equal(list.cursor, "AmQA");
      assert.equal((await list.next()).done, true);
      assert.equal(list.cursor, "");
      const limited = kv.list({ prefix: ["a"] }, { limit: 4 });
      for (let n = 0; n < 5; n++) await limited.next();
      assert.equal(limited.cursor, "AmQA");
      const range = kv.list({ start: ["a", "a"], end: ["a", "c"] });
      await range.next();
      assert.equal(range.cursor, "YQA=");
    },
  },
  {
    name: "an iteration goes on behind its cursor, both ways, also when that key is gone",
    run: async ({ kv }) => {
      await fill(kv);
      for (const selector of [{ prefix: ["x"] }, { start: ["x", "a"], end: ["x", "z"] }]) {
        for (const reverse of [false, true]) {
          const all = reverse ? [...LETTERS].reverse() : LETTERS;
          const list = kv.list(selector, { reverse });
          for (let n = 0; n < 3; n++) await list.next();
          const { cursor } = list;
          assert.deepEqual(await values(kv, selector, { reverse, cursor }), all.slice(3));
          await kv.delete(["x", all[2]]);
          assert.deepEqual(await values(kv, selector, { reverse, cursor }), all.slice(3));
          await kv.set(["x", all[2]], all[2]);
        }
      }
    },
  },
  {
    name: "there is no cursor before the first entry, unless the iteration began at one",
    run: async ({ kv }) => {
      const text = "Cannot get cursor before first iteration";
      throws(() => kv.list({ prefix: ["x"] }).cursor, "Error", text);
      throws(() => kv.list({ prefix: ["x"] }, { cursor: "" }).cursor, "Error", text);
      assert.equal(kv.list({ prefix: ["x"] }, { cursor: "AmIA" }).cursor, "AmIA");
    },
  },
  {
    name: "a cursor that is none is refused with the first entry, one beyond the end is the end",
    run: async ({ kv }) => {
      await fill(kv);
      for (const cursor of ["!!", "AmI", "A", "//8=", "AmJ="]) {
        await rejects(() => kv.list({ prefix: ["x"] }, { cursor }).next(), "TypeError", "invalid cursor");
      }
      const range = { start: ["x", "b"], end: ["x", "c"] };
      const outOfBounds = () => kv.list(range, { cursor: "AmIA" }).next();
      await rejects(outOfBounds, "TypeError", "cursor out of bounds");
      assert.deepEqual(await values(kv, range, { cursor: "_w==" }), []);
    },
  },
  {
    name: "bad counts and selectors of the wrong shape are thrown at the call",
    run: async ({ kv }) => {
      const either = "Selector must specify either 'prefix' or both 'start' and 'end' key";
      const both = "Selector can not specify both 'start' and 'end' key when specifying 'prefix'";
      for (const selector of [{}, { start: ["x"] }, { end: ["x"] }]) {
        throws(() => kv.list(selector), "TypeError", either);
      }
      throws(() => kv.list({ prefix: ["x"], start: ["x", 1], end: ["x", 2] }), "TypeError", both);
      for (const count of [0, -1, 1.5, Number.NaN, "3"]) {
        const list = (options: unknown) => () => kv.list({ prefix: [] }, options);
        throws(list({ limit: count }), "Error", `Limit must be a positive integer: received ${count}`);
        throws(
          list({ batchSize: count }),
          "Error",
          `batchSize must be a positive integer: received ${count}`,
        );
      }
    },
  },
  {
    name: "what is wrong with the content of keys and words is thrown with the first entry",
    run: async ({ kv }) => {
      const first = (selector: unknown, options?: unknown) => {
        const list = kv.list(selector, options);
        return () => list.next();
      };
      const start = "Start key is not in the keyspace defined by prefix";
      const end = "End key is not in the keyspace defined by prefix";
      await rejects(first({ prefix: ["x"], start: ["y"] }), "TypeError", start);
      await rejects(first({ prefix: ["x"], start: ["x"] }), "TypeError", start);
      await rejects(first({ prefix: ["x"], end: ["y"] }), "TypeError", end);
      await rejects(first({ prefix: ["x"], end: ["x"] }), "TypeError", end);
      await rejects(first({ start: ["y"], end: ["x"] }), "TypeError", "Start key is greater than end key");
      await rejects(
        first({ prefix: [] }, { consistency: "foo" }),
        "TypeError",
        "unknown variant `foo`, expected `strong` or `eventual`",
      );
    },
  },
  {
    name: "a batch has up to 1000 entries if it is asked for",
    run: async ({ kv }) => {
      await fill(kv);
      assert.deepEqual(await values(kv, { prefix: ["x"] }, { batchSize: 1000 }), LETTERS);
      assert.deepEqual(await values(kv, { prefix: ["x"] }, { limit: 1001 }), LETTERS);
      const tooMany = kv.list({ prefix: ["x"] }, { batchSize: 1001 });
      await rejects(() => tooMany.next(), "TypeError", "Too many entries (max 1000)");
    },
  },
];
