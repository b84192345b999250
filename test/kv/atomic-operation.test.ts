/** `atomic()`: mutations in order, arithmetic, checks, and that a commit is made whole or not at all. */
import { describe, expect, test } from "vitest";
import {
  type AtomicOperation,
  type Kv,
  type KvKey,
  type KvMutation,
  KvU64,
  ManualClock,
} from "../../src/index.js";
import { everything, keyOnEachShard, tempKv } from "./temp-store.js";

const MAX = 2n ** 64n - 1n;

async function made(operation: AtomicOperation): Promise<string> {
  const result = await operation.commit();
  if (!result.ok) throw new Error("a check did not hold");
  return result.versionstamp;
}

const u64 = async (kv: Kv, key: KvKey) => (await kv.get<KvU64>(key)).value?.value;

describe.each([1, 5])("over %i shards", (shards) => {
  const open = () => tempKv(":memory:", { shards });
  const keys = keyOnEachShard("k", Math.max(3, shards)).slice(0, 3) as [KvKey, KvKey, KvKey];

  test("all mutations of a commit share one versionstamp", async () => {
    const kv = await open();
    const versionstamp = await made(kv.atomic().set(keys[0], 1).set(keys[1], 2).sum(keys[2], 3n));
    for (const entry of await kv.getMany(keys)) expect(entry.versionstamp).toBe(versionstamp);
  });

  test("later mutations see earlier ones: set then delete is gone; delete, sum 1, sum 2 is 3", async () => {
    const kv = await open();
    await kv.set(keys[1], new KvU64(100n));
    await made(
      kv
        .atomic()
        .set(keys[0], 1)
        .delete(keys[1])
        .delete(keys[0])
        .sum(keys[1], 1n)
        .set(keys[2], 0)
        .sum(keys[1], 2n),
    );
    expect((await kv.get(keys[0])).versionstamp).toBeNull();
    expect(await u64(kv, keys[1])).toBe(3n);
  });

  test("a sum wraps at 2^64; min and max keep the smaller and the larger; an absent key takes the operand", async () => {
    const kv = await open();
    await made(kv.atomic().sum(keys[0], MAX).min(keys[1], 5n).max(keys[2], 5n));
    expect(await Promise.all(keys.map((key) => u64(kv, key)))).toEqual([MAX, 5n, 5n]);
    await made(kv.atomic().sum(keys[0], 10n).min(keys[1], 7n).max(keys[2], 3n));
    expect(await Promise.all(keys.map((key) => u64(kv, key)))).toEqual([9n, 5n, 5n]);
    await made(kv.atomic().min(keys[1], 0n).max(keys[2], MAX));
    expect(await Promise.all(keys.map((key) => u64(kv, key)))).toEqual([9n, 0n, MAX]);
  });

  test.each(["sum", "min", "max"] as const)(
    "%s on something else than a KvU64 rejects, and nothing has changed",
    async (type) => {
      const kv = await open();
      await kv.set(keys[2], "no number");
      await kv.set(keys[1], "before");
      const before = await kv.getMany(keys);
      const operation = kv.atomic().set(keys[0], 1).delete(keys[1])[type](keys[2], 1n);
      await expect(operation.commit()).rejects.toMatchObject({
        code: "KV_INVALID_MUTATION",
        message: `Failed to perform '${type}' mutation on a non-U64 value in the database`,
      });
      expect(await kv.getMany(keys)).toStrictEqual(before);
    },
  );

  test("a commit that rejects costs the commits beside it nothing", async () => {
    const kv = await open();
    await kv.set(keys[2], "no number");
    const results = await Promise.allSettled([
      kv.atomic().set(keys[0], "first").set(keys[1], "first").commit(),
      kv.atomic().set(keys[0], "bad").sum(keys[2], 1n).commit(),
      kv.atomic().check({ key: keys[1], versionstamp: null }).set(keys[0], "refused").commit(),
      kv.atomic().set(keys[1], "last").set(keys[2], "last").commit(),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect((await kv.getMany(keys)).map(({ value }) => value)).toEqual(["first", "last", "last"]);
  });

  test("checks that hold let the commit through, for entries and for their absence", async () => {
    const kv = await open();
    const { versionstamp } = await kv.set(keys[0], 1);
    const checks = [
      { key: keys[0], versionstamp },
      { key: keys[0], versionstamp: versionstamp.toUpperCase() },
      { key: keys[1], versionstamp: null },
    ];
    await made(
      kv
        .atomic()
        .check(...checks)
        .set(keys[2], "done"),
    );
    expect((await kv.get(keys[2])).value).toBe("done");
  });

  test("failed checks are named with what was expected and what is there, and nothing has changed", async () => {
    const kv = await open();
    const first = await kv.set(keys[0], 1);
    const second = await kv.set(keys[0], 2);
    const there = await kv.set(keys[1], 1);
    const result = await kv
      .atomic()
      .check({ key: keys[0], versionstamp: first.versionstamp })
      .check({ key: keys[1], versionstamp: there.versionstamp })
      .check({ key: keys[1], versionstamp: null })
      .check({ key: keys[2], versionstamp: first.versionstamp })
      .set(keys[0], "changed")
      .delete(keys[1])
      .set(keys[2], "changed")
      .commit();
    expect(result).toStrictEqual({
      ok: false,
      failedChecks: [
        { index: 0, key: keys[0], expected: first.versionstamp, actual: second.versionstamp },
        { index: 2, key: keys[1], expected: null, actual: there.versionstamp },
        { index: 3, key: keys[2], expected: first.versionstamp, actual: null },
      ],
    });
    expect((await kv.getMany(keys)).map(({ value }) => value)).toEqual([2, 1, null]);
  });

  test("a thousand failed checks are all named", async () => {
    const kv = await open();
    const operation = kv.atomic();
    for (let n = 0; n < 1000; n++)
      operation.check({ key: ["none", n], versionstamp: "0".repeat(19) + (n % 10) });
    const result = await operation.commit();
    expect(result.ok === false && result.failedChecks.map(({ index }) => index)).toEqual(
      Array.from({ length: 1000 }, (_, n) => n),
    );
  });

  test("checks are about the state before the commit, whatever its own mutations do", async () => {
    const kv = await open();
    const operation = kv.atomic().set(keys[0], 1).check({ key: keys[0], versionstamp: null });
    await made(operation);
    expect((await operation.commit()).ok).toBe(false);
  });

  test("a commit without mutations gets a versionstamp of its own and changes nothing", async () => {
    const kv = await open();
    const first = await made(kv.atomic());
    const second = await made(kv.atomic().check(...keys.map((key) => ({ key, versionstamp: null }))));
    expect(second > first).toBe(true);
    expect(await everything(kv)).toEqual([]);
  });

  test("changes of one commit are heard together, in the order of the last mutation of each key", async () => {
    const kv = await open();
    const feed = kv.changes({ prefix: [] })[Symbol.asyncIterator]();
    await kv.set(keys[1], "old");
    const versionstamp = await made(
      kv
        .atomic()
        .set(keys[0], 1)
        .delete(keys[1])
        .set(keys[2], 2)
        .set(["gone"], 1)
        .delete(["gone"])
        .set(keys[0], 3),
    );
    expect((await feed.next()).value).toMatchObject({ type: "create", key: keys[1] });
    const heard = [(await feed.next()).value, (await feed.next()).value, (await feed.next()).value];
    expect(heard).toStrictEqual([
      {
        type: "delete",
        cause: "delete",
        key: keys[1],
        value: null,
        versionstamp,
        position: `${versionstamp}0001`,
      },
      { type: "create", cause: "set", key: keys[2], value: 2, versionstamp, position: `${versionstamp}0002` },
      { type: "create", cause: "set", key: keys[0], value: 3, versionstamp, position: `${versionstamp}0005` },
    ]);
  });

  test("set without expireIn clears a time to live, and so does sum", async () => {
    const clock = new ManualClock(1_000);
    const kv = await tempKv(":memory:", { shards, clock });
    await kv.set(keys[0], "x", { expireIn: 100 });
    await kv.set(keys[1], new KvU64(1n), { expireIn: 100 });
    await kv.set(keys[2], "y", { expireIn: 100 });
    await made(kv.atomic().set(keys[0], "z").sum(keys[1], 1n));
    clock.advance(1_000);
    expect((await kv.get(keys[0])).value).toBe("z");
    expect(await u64(kv, keys[1])).toBe(2n);
    expect((await kv.get(keys[2])).value).toBeNull();
  });
});

describe("mutate", () => {
  test("mutations given as data do the same", async () => {
    const kv = await tempKv(":memory:", { shards: 2 });
    await kv.set(["gone"], 1);
    await made(
      kv
        .atomic()
        .mutate({ type: "set", key: ["a"], value: 1 }, { type: "delete", key: ["gone"] })
        .mutate({ type: "sum", key: ["n"], value: new KvU64(2n) })
        .mutate(
          { type: "max", key: ["n"], value: new KvU64(9n) },
          { type: "min", key: ["m"], value: new KvU64(4n) },
        ),
    );
    expect(await everything(kv)).toEqual([
      { key: ["a"], value: 1 },
      { key: ["m"], value: new KvU64(4n) },
      { key: ["n"], value: new KvU64(9n) },
    ]);
  });

  test.each<[string, unknown, string]>([
    ["an unknown type", { type: "nope", key: ["a"], value: 1 }, "Invalid mutation type"],
    ["a set without a value", { type: "set", key: ["a"] }, "Invalid mutation 'set' without value"],
    [
      "a delete with a value",
      { type: "delete", key: ["a"], value: 1 },
      "Invalid mutation 'delete' with value",
    ],
    ["an operand that is no KvU64", { type: "min", key: ["a"], value: 1n }, "on a non-U64 operand"],
  ])("%s is refused, and nothing is written", async (_name, mutation, message) => {
    const kv = await tempKv();
    const attempt = async () => {
      await kv
        .atomic()
        .set(["b"], 1)
        .mutate(mutation as KvMutation)
        .commit();
    };
    await expect(attempt()).rejects.toThrow(message);
    await expect(attempt()).rejects.toMatchObject({ code: "KV_INVALID_MUTATION" });
    expect(await everything(kv)).toEqual([]);
  });
});

describe("misuse", () => {
  test.each(["", "xyz", "0".repeat(19), "g".repeat(20)])("the check %o is invalid", async (versionstamp) => {
    const kv = await tempKv();
    const attempt = async () =>
      kv
        .atomic()
        .check({ key: ["a"], versionstamp })
        .commit();
    await expect(attempt()).rejects.toMatchObject({ code: "KV_INVALID_CHECK", message: "Invalid check" });
  });

  test("an operand that is no 64-bit unsigned bigint is refused at once", async () => {
    const kv = await tempKv();
    expect(() => kv.atomic().sum(["a"], 1 as unknown as bigint)).toThrow(TypeError);
    expect(() => kv.atomic().sum(["a"], -1n)).toThrow("Value must be a positive bigint: received -1");
    expect(() => kv.atomic().max(["a"], MAX + 1n)).toThrow("Value must fit in a 64-bit unsigned integer");
  });

  test.each([-1, 1.5, Number.NaN, "5" as unknown as number])(
    "expireIn of %o is refused at once by atomic, and rejects in set",
    async (expireIn) => {
      const kv = await tempKv();
      const message = `expireIn must be a non-negative integer: received ${expireIn}`;
      expect(() => kv.atomic().set(["a"], 1, { expireIn })).toThrow(message);
      expect(() => kv.atomic().mutate({ type: "set", key: ["a"], value: 1, expireIn })).toThrow(message);
      await expect(kv.set(["a"], 1, { expireIn })).rejects.toThrow(message);
    },
  );

  test("awaiting an operation that was not committed says so", async () => {
    const kv = await tempKv();
    const forgotten = async () => await (kv.atomic().set(["a"], 1) as unknown as Promise<void>);
    await expect(forgotten()).rejects.toThrow("is not a promise: did you forget to call 'commit()'");
  });

  test("too many checks, too many mutations: refused, and nothing is written", async () => {
    const kv = await tempKv();
    const checks = kv.atomic().set(["a"], 1);
    for (let n = 0; n < 1001; n++) checks.check({ key: [n], versionstamp: null });
    await expect(checks.commit()).rejects.toThrow("Too many checks (max 1000)");
    const mutations = kv.atomic();
    for (let n = 0; n < 10_001; n++) mutations.set([n], n);
    await expect(mutations.commit()).rejects.toThrow("Too many mutations (max 10000)");
    expect(await everything(kv)).toEqual([]);
  });

  test("ten thousand mutations over all shards are one commit", async () => {
    const kv = await tempKv(":memory:", { shards: 5 });
    const operation = kv.atomic();
    for (let n = 0; n < 10_000; n++) operation.set(["n", n], n);
    const versionstamp = await made(operation);
    const found: number[] = [];
    for await (const entry of kv.list<number>({ prefix: ["n"] }, { batchSize: 1000 })) {
      expect(entry.versionstamp).toBe(versionstamp);
      found.push(entry.value);
    }
    expect(found).toEqual(Array.from({ length: 10_000 }, (_, n) => n));
  });
});
