/** Opening, closing, disposing, what is exposed, expiry, and what two openings of one path have in common. */
import assert from "node:assert/strict";
import { rejects, throws } from "./refusals.js";
import type { AnyKv, ContractCase } from "./subject.js";

const CLOSED = "Bad resource ID";
const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export const lifeCases: ContractCase[] = [
  {
    name: "a path can't be empty or begin with a colon",
    run: async ({ subject }) => {
      await rejects(() => subject.openKv(""), "TypeError", "Filename cannot be empty");
      const colon = "Filename cannot start with ':' unless prefixed with './'";
      await rejects(() => subject.openKv(":elsewhere"), "TypeError", colon);
    },
  },
  {
    name: "Kv can't be constructed, and what is inspected looks as in Deno",
    run: async ({ kv, subject }) => {
      const text = "Deno.Kv can not be constructed: use Deno.openKv instead";
      throws(() => new kv.constructor(), "TypeError", text);
      assert.equal(Object.prototype.toString.call(kv), "[object Object]");
      assert.equal(subject.inspect(kv), "Kv {}");
      assert.equal(subject.inspect(kv.list({ prefix: [] })), "KvListIterator {}");
      assert.equal(subject.inspect(kv.commitVersionstamp()), "Symbol(KvCommitVersionstamp)");
    },
  },
  {
    name: "a KvU64 is frozen, has a tag, and turns into a bigint, a text, a number",
    run: async ({ subject }) => {
      const { KvU64 } = subject;
      const one = new KvU64(1n) as AnyKv;
      assert(Object.isFrozen(one));
      throws(() => {
        one.value = 2n;
      }, "TypeError");
      assert.deepEqual([one + 1n, `${one}`, Number(one), one > 0n], [2n, "1", 1, true]);
      assert.deepEqual([one.valueOf(), one.toString(), Object.keys(one)], [1n, "1", ["value"]]);
      assert.equal(Object.prototype.toString.call(one), "[object Deno.KvU64]");
      assert.equal(subject.inspect(one), "[Deno.KvU64: 1n]");
      throws(() => new KvU64(1), "TypeError", "Value must be a bigint: received number");
      throws(() => new KvU64(-1n), "RangeError", "Value must be a positive bigint: received -1");
      throws(() => new KvU64(2n ** 64n), "RangeError", "Value must fit in a 64-bit unsigned integer");
    },
  },
  {
    name: "after close every call is a BadResource, atomic() and list() themselves are none",
    run: async ({ subject }) => {
      const kv = await subject.openKv(":memory:");
      await kv.set(["a"], 1);
      await kv.set(["b"], 1);
      const whole = kv.list({ prefix: [] });
      const single = kv.list({ prefix: [] }, { batchSize: 1 });
      await Promise.all([whole.next(), single.next()]);
      const operation = kv.atomic().set(["a"], 1);
      kv.close();
      const calls = [
        () => kv.get(["a"]),
        () => kv.getMany([["a"]]),
        () => kv.getMany([]),
        () => kv.set(["a"], 1),
        () => kv.delete(["a"]),
        () => kv.list({ prefix: [] }).next(),
        () => single.next(),
        () => operation.commit(),
        () => kv.atomic().commit(),
      ];
      for (const call of calls) await rejects(call, "BadResource", CLOSED);
      throws(() => kv.watch([["a"]]), "BadResource", CLOSED);
      throws(() => kv.close(), "BadResource", CLOSED);
      assert.equal((await whole.next()).value.value, 1);
      assert.equal(typeof kv.commitVersionstamp(), "symbol");
      kv[Symbol.dispose]();
    },
  },
  {
    name: "after close, what is wrong with the arguments is told first",
    run: async ({ subject }) => {
      const kv = await subject.openKv(":memory:");
      kv.close();
      await rejects(() => kv.get([{}]), "TypeError");
      await rejects(() => kv.set(["a"], () => {}), "TypeError");
      throws(() => kv.list({}), "TypeError");
    },
  },
  {
    name: "disposing closes, and a second time does nothing",
    run: async ({ subject }) => {
      const kv = await subject.openKv(":memory:");
      kv[Symbol.dispose]();
      await rejects(() => kv.get(["a"]), "BadResource", CLOSED);
      kv[Symbol.dispose]();
      throws(() => kv.close(), "BadResource", CLOSED);
    },
  },
  {
    name: "what is in flight at close ends well or rejects as closed",
    run: async ({ subject }) => {
      const kv = await subject.openKv(":memory:");
      const pending: Promise<unknown>[] = [];
      for (let n = 0; n < 20; n++) pending.push(kv.set(["n", n], n), kv.get(["n", n]));
      kv.close();
      for (const result of await Promise.allSettled(pending)) {
        if (result.status === "fulfilled") continue;
        await rejects(() => Promise.reject(result.reason), "TypeError", "Database is closed.");
      }
    },
  },
  {
    name: "a pending read of a watch is done at close",
    run: async ({ subject }) => {
      const kv = await subject.openKv(":memory:");
      const reader = kv.watch([["a"]]).getReader();
      await reader.read();
      const pending = reader.read();
      kv.close();
      assert.equal((await pending).done, true);
    },
  },
  {
    name: "each private store is its own",
    run: async ({ kv, subject }) => {
      const other = await subject.openKv(":memory:");
      await other.set(["a"], 1);
      assert.equal((await kv.get(["a"])).versionstamp, null);
      other.close();
    },
  },
  {
    name: "two openings of one path see each other, wake each other's watches, and keep everything",
    run: async ({ subject }) => {
      const path = subject.newPath();
      const [one, two] = [await subject.openKv(path), await subject.openKv(path)];
      const reader = two.watch([["a"]]).getReader();
      await reader.read();
      const { versionstamp } = await one.set(["a"], new Map([[1, 2n]]));
      assert.equal((await reader.read()).value[0].versionstamp, versionstamp);
      await reader.cancel();
      await one.close();
      await two.close();
      const again = await subject.openKv(path);
      const entry = await again.get(["a"]);
      assert.deepEqual([entry.value, entry.versionstamp], [new Map([[1, 2n]]), versionstamp]);
      assert((await again.set(["b"], 1)).versionstamp > versionstamp);
      await again.close();
    },
  },
  {
    name: "an entry is there until its time is up, and gone when the store was opened again",
    run: async ({ subject }) => {
      const path = subject.newPath();
      const kv = await subject.openKv(path);
      await kv.set(["long"], 1, { expireIn: 3_600_000 });
      await kv.set(["short"], 1, { expireIn: 1 });
      await kv.close();
      await later(10);
      const again = await subject.openKv(path);
      for (let tries = 0; (await again.get(["short"])).versionstamp !== null; tries++) {
        assert(tries < 100, "it is still there after 5 s");
        await later(50);
      }
      assert.equal((await again.get(["long"])).value, 1);
      await again.close();
    },
  },
  {
    name: "set without expireIn and sum clear a time to live",
    run: async ({ subject }) => {
      const path = subject.newPath();
      const kv = await subject.openKv(path);
      await kv.set(["set"], 1, { expireIn: 300 });
      await kv.set(["sum"], new subject.KvU64(1n), { expireIn: 300 });
      await kv.set(["expires"], 1, { expireIn: 300 });
      await kv.atomic().set(["set"], 2).sum(["sum"], 1n).commit();
      await later(350);
      await kv.close();
      const again = await subject.openKv(path);
      for (let tries = 0; (await again.get(["expires"])).versionstamp !== null; tries++) {
        assert(tries < 100, "it is still there after 5 s");
        await later(50);
      }
      assert.equal((await again.get(["set"])).value, 2);
      assert.equal((await again.get(["sum"])).value.value, 2n);
      await again.close();
    },
  },
  {
    name: "expireIn can't be beyond what a time can hold",
    run: async ({ kv }) => {
      await kv.set(["a"], 1, { expireIn: 100 * 365 * 24 * 3_600_000 });
      const text = `Invalid mutation: expireIn is too large: ${2 ** 53}`;
      await rejects(() => kv.set(["a"], 1, { expireIn: 2 ** 53 }), "TypeError", text);
      await rejects(
        () =>
          kv
            .atomic()
            .set(["a"], 1, { expireIn: 2 ** 53 })
            .commit(),
        "TypeError",
        text,
      );
    },
  },
];
