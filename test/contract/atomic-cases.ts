/** `atomic()`: checks, mutations in order, arithmetic, versionstamps, and what is refused where. */
import assert from "node:assert/strict";
import { rejects, throws } from "./refusals.js";
import type { AnyKv, Bench, ContractCase } from "./subject.js";

const MAX = 2n ** 64n - 1n;

async function valueAt(kv: AnyKv, key: unknown[]): Promise<unknown> {
  return (await kv.get(key)).value;
}

/** What `sum` makes of what is there (`undefined`: nothing) and an operand. */
async function summed({ kv }: Bench, before: unknown, value: unknown): Promise<unknown> {
  if (before === undefined) await kv.delete(["n"]);
  else await kv.set(["n"], before);
  await kv
    .atomic()
    .mutate({ type: "sum", key: ["n"], value })
    .commit();
  return valueAt(kv, ["n"]);
}

export const atomicCases: ContractCase[] = [
  {
    name: "all mutations of a commit share one versionstamp, an empty commit has one of its own",
    run: async ({ kv }) => {
      const { ok, versionstamp } = await kv.atomic().set(["a"], 1).sum(["b"], 2n).commit();
      assert.equal(ok, true);
      for (const entry of await kv.getMany([["a"], ["b"]])) assert.equal(entry.versionstamp, versionstamp);
      assert((await kv.atomic().commit()).versionstamp > versionstamp);
    },
  },
  {
    name: "later mutations see earlier ones: set then delete is gone; delete, sum 1, sum 2 is 3",
    run: async ({ kv, subject }) => {
      await kv.set(["n"], new subject.KvU64(100n));
      await kv.atomic().set(["a"], 1).delete(["a"]).delete(["n"]).sum(["n"], 1n).sum(["n"], 2n).commit();
      assert.equal(await valueAt(kv, ["a"]), null);
      assert.equal(((await valueAt(kv, ["n"])) as { value: bigint }).value, 3n);
    },
  },
  {
    name: "sum wraps at 2^64, min and max keep the smaller and the larger, an absent key takes the operand",
    run: async ({ kv }) => {
      await kv.atomic().sum(["s"], MAX).min(["i"], 5n).max(["a"], 5n).commit();
      await kv.atomic().sum(["s"], 10n).min(["i"], 7n).max(["a"], 3n).commit();
      const entries = await kv.getMany([["s"], ["i"], ["a"]]);
      assert.deepEqual(
        entries.map(({ value }: AnyKv) => value.value),
        [9n, 5n, 5n],
      );
    },
  },
  {
    name: "sum, min and max on something else than a KvU64 reject",
    run: async ({ kv, subject }) => {
      const value = new subject.KvU64(1n);
      for (const before of ["no number", 5n, 5, new Uint8Array(8)]) {
        await kv.set(["n"], before);
        for (const type of ["sum", "min", "max"]) {
          const message = `Failed to perform '${type}' mutation on a non-U64 value in the database`;
          await rejects(() => kv.atomic()[type](["n"], 1n).commit(), "TypeError", message);
          await rejects(
            () =>
              kv
                .atomic()
                .mutate({ type, key: ["n"], value })
                .commit(),
            "TypeError",
            message,
          );
        }
      }
    },
  },
  {
    name: "min and max take a KvU64 and nothing else, and say so at the commit",
    run: async ({ kv }) => {
      for (const type of ["min", "max"]) {
        for (const value of [1n, 1, "1", null]) {
          const operation = kv.atomic().mutate({ type, key: ["n"], value });
          const message = `Failed to perform '${type}' mutation on a non-U64 operand`;
          await rejects(() => operation.commit(), "TypeError", message);
        }
      }
    },
  },
  {
    name: "sum works on bigints and on numbers, without a bound",
    run: async (bench) => {
      assert.equal(await summed(bench, undefined, 1n), 1n);
      assert.equal(await summed(bench, undefined, 1.5), 1.5);
      assert.equal(await summed(bench, 5n, -7n), -2n);
      assert.equal(await summed(bench, MAX, 10n), MAX + 10n);
      assert.equal(await summed(bench, 5, 1.5), 6.5);
      assert.equal(await summed(bench, Number.POSITIVE_INFINITY, 1), Number.POSITIVE_INFINITY);
    },
  },
  {
    name: "a bigint is added to a KvU64 if it is one, and wraps",
    run: async (bench) => {
      const { KvU64 } = bench.subject;
      assert.deepEqual(await summed(bench, new KvU64(5n), 1n), new KvU64(6n));
      assert.deepEqual(await summed(bench, new KvU64(MAX), 10n), new KvU64(9n));
      for (const value of [-3n, 2n ** 64n]) {
        await rejects(() => summed(bench, new KvU64(5n), value), "TypeError", "Cannot sum KvU64 with BigInt");
      }
    },
  },
  {
    name: "sum refuses kinds that do not go together",
    run: async (bench) => {
      const { KvU64 } = bench.subject;
      const refused: [unknown, unknown, string][] = [
        [5, 1n, "Cannot sum Number with BigInt"],
        [5n, 1, "Cannot sum BigInt with Number"],
        [new KvU64(5n), 1, "Cannot sum KvU64 with Number"],
        ["s", 1n, "unsupported value type"],
        [new Uint8Array(8), 1n, "unsupported value type"],
        [5n, "1", "Some of the parameters are not valid V8 values"],
        [undefined, null, "Some of the parameters are not valid V8 values"],
      ];
      for (const [before, value, message] of refused) {
        await rejects(() => summed(bench, before, value), "TypeError", message);
      }
    },
  },
  {
    name: "operands of sum, min and max are refused at the call",
    run: async ({ kv }) => {
      for (const type of ["sum", "min", "max"]) {
        const call = (operand: unknown) => () => kv.atomic()[type](["n"], operand);
        throws(call(1), "TypeError", "Value must be a bigint: received number");
        throws(call(-1n), "RangeError", "Value must be a positive bigint: received -1");
        throws(call(MAX + 1n), "RangeError", "Value must fit in a 64-bit unsigned integer");
      }
    },
  },
  {
    name: "mutate does the same with data, and refuses what is incomplete at the call",
    run: async ({ kv, subject }) => {
      await kv.set(["gone"], 1);
      await kv
        .atomic()
        .mutate({ type: "set", key: ["a"], value: undefined }, { type: "delete", key: ["gone"] })
        .mutate({ type: "max", key: ["n"], value: new subject.KvU64(9n) })
        .commit();
      assert.notEqual((await kv.get(["a"])).versionstamp, null);
      assert.equal((await kv.get(["gone"])).versionstamp, null);
      const call = (mutation: unknown) => () => kv.atomic().mutate(mutation);
      throws(call({ type: "nope", key: ["a"], value: 1 }), "TypeError", "Invalid mutation type");
      for (const type of ["set", "sum", "min", "max"]) {
        throws(call({ type, key: ["a"] }), "TypeError", `Invalid mutation '${type}' without value`);
      }
      throws(
        call({ type: "delete", key: ["a"], value: 1 }),
        "TypeError",
        "Invalid mutation 'delete' with value",
      );
    },
  },
  {
    name: "checks hold for an entry (upper case too) and for its absence; else ok is false and nothing changes",
    run: async ({ kv }) => {
      const { versionstamp } = await kv.set(["a"], 1);
      const absent = { key: ["b"], versionstamp: null };
      const made = await kv
        .atomic()
        .check({ key: ["a"], versionstamp: versionstamp.toUpperCase() }, absent)
        .set(["b"], 1)
        .commit();
      assert.equal(made.ok, true);
      const refused = await kv.atomic().check(absent).set(["a"], 2).commit();
      assert.equal(refused.ok, false);
      assert.equal("versionstamp" in refused, false);
      assert.equal(await valueAt(kv, ["a"]), 1);
      assert.equal((await kv.get(["a"])).versionstamp, versionstamp);
    },
  },
  {
    name: "checks are about the state before the commit, whatever its own mutations do",
    run: async ({ kv }) => {
      const operation = kv
        .atomic()
        .set(["a"], 1)
        .check({ key: ["a"], versionstamp: null });
      assert.equal((await operation.commit()).ok, true);
      assert.equal((await operation.commit()).ok, false);
    },
  },
  {
    name: "a versionstamp that is none is an invalid check, told at the commit",
    run: async ({ kv }) => {
      for (const versionstamp of ["", "xyz", "0".repeat(19), "0".repeat(21), "g".repeat(20)]) {
        const operation = kv.atomic().check({ key: ["a"], versionstamp });
        await rejects(() => operation.commit(), "TypeError", "Invalid check");
      }
      assert.equal(
        (
          await kv
            .atomic()
            .check({ key: ["none"] })
            .commit()
        ).ok,
        true,
      );
    },
  },
  {
    name: "a bad key is told at the commit, not at the call",
    run: async ({ kv }) => {
      const text = "expected string, number, bigint, ArrayBufferView, boolean";
      const operations = [
        kv.atomic().set([{}], 1),
        kv.atomic().delete([{}]),
        kv.atomic().sum([{}], 1n),
        kv.atomic().check({ key: [{}], versionstamp: null }),
      ];
      for (const operation of operations) await rejects(() => operation.commit(), "TypeError", text);
      await rejects(() => kv.atomic().set([], 1).commit(), "TypeError", "key cannot be empty");
    },
  },
  {
    name: "commit validates in Deno's order",
    run: async ({ kv }) => {
      const long = ["k".repeat(2047)];
      const badCheck = { key: ["a"], versionstamp: "x" };
      const late = { expireIn: 2 ** 53 };
      const tooLate = `Invalid mutation: expireIn is too large: ${2 ** 53}`;
      const order: [AnyKv, string][] = [
        [kv.atomic().set([], 1).check(badCheck), "Invalid check"],
        [kv.atomic().set(["a"], 1, late).check(badCheck), "Invalid check"],
        [kv.atomic().set([], 1).set(["a"], 1, late), tooLate],
        [kv.atomic().set([], 1).set(long, 1), "key cannot be empty"],
        [kv.atomic().set(long, 1).set([], 1), "Key too large for write (max 2048 bytes)"],
        [
          kv.atomic().check({ key: long, versionstamp: null }).delete(["a"]),
          "Key too large for write (max 2048 bytes)",
        ],
      ];
      for (const [operation, message] of order) await rejects(() => operation.commit(), "TypeError", message);
    },
  },
  {
    name: "expireIn is refused at the call by atomic, and rejects in set",
    run: async ({ kv }) => {
      for (const expireIn of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "5", null, 5n, true]) {
        const text = `expireIn must be a non-negative integer: received ${expireIn}`;
        throws(() => kv.atomic().set(["a"], 1, { expireIn }), "TypeError", text);
        if (typeof expireIn === "number") {
          throws(
            () => kv.atomic().mutate({ type: "set", key: ["a"], value: 1, expireIn }),
            "TypeError",
            text,
          );
        }
        await rejects(() => kv.set(["a"], 1, { expireIn }), "TypeError", text);
      }
    },
  },
  {
    name: "awaiting an operation that was not committed says so",
    run: async ({ kv }) => {
      const text = "'Deno.AtomicOperation' is not a promise: did you forget to call 'commit()'";
      throws(() => kv.atomic().then(), "TypeError", text);
      await rejects(async () => await kv.atomic(), "TypeError", text);
    },
  },
  {
    name: "an operation is inspected as the calls that it holds",
    run: async ({ kv, subject }) => {
      assert.equal(subject.inspect(kv.atomic()), "AtomicOperation (empty)");
      const operation = kv
        .atomic()
        .set(["b"], 1)
        .delete(["z"])
        .check({ key: ["a"], versionstamp: null })
        .sum(["x"], 1n);
      const shown = subject.inspect(operation).replaceAll("'", '"').split("\n");
      assert.deepEqual(shown, [
        "AtomicOperation",
        '  check({ key: [ "a" ], versionstamp: null })',
        '  set([ "b" ], 1)',
        '  delete([ "z" ])',
        '  sum([ "x" ], [Deno.KvU64: 1n])',
      ]);
    },
  },
  {
    name: "a key that ends in commitVersionstamp() gets the commit's own, and only where it is set",
    run: async ({ kv }) => {
      const own = kv.commitVersionstamp();
      assert.equal(typeof own, "symbol");
      assert.equal(kv.commitVersionstamp(), own);
      const { versionstamp } = await kv.atomic().set(["log", own], 1).set(["log", "x", own], 2).commit();
      assert.equal(await valueAt(kv, ["log", versionstamp]), 1);
      assert.equal(await valueAt(kv, ["log", "x", versionstamp]), 2);
      const text = "expected string, number, bigint, ArrayBufferView, boolean";
      await rejects(() => kv.set([own, "a"], 1), "TypeError", text);
      await rejects(() => kv.get(["a", own]), "TypeError", text);
      await rejects(() => kv.delete(["a", own]), "TypeError", text);
      await rejects(() => kv.atomic().sum(["a", own], 1n).commit(), "TypeError", text);
      await rejects(
        () =>
          kv
            .atomic()
            .check({ key: ["a", own], versionstamp: null })
            .commit(),
        "TypeError",
        text,
      );
    },
  },
  {
    name: "versionstamps grow strictly, over commits, failed checks and refusals",
    run: async ({ kv }) => {
      let last = "";
      for (let n = 0; n < 20; n++) {
        const { versionstamp } = await kv.set(["n", n], n);
        assert(versionstamp > last);
        last = versionstamp;
        await kv
          .atomic()
          .check({ key: ["n", n], versionstamp: null })
          .set(["n"], 1)
          .commit();
      }
    },
  },
  {
    name: "of 20 increments in flight together with checks and retries, none is lost",
    run: async ({ kv }) => {
      const increment = async (): Promise<void> => {
        for (;;) {
          const entry = await kv.get(["count"]);
          const next = (entry.value ?? 0) + 1;
          if ((await kv.atomic().check(entry).set(["count"], next).commit()).ok) return;
        }
      };
      await Promise.all(Array.from({ length: 20 }, increment));
      assert.equal(await valueAt(kv, ["count"]), 20);
    },
  },
];
