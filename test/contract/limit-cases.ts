/** Deno's limits, at their boundaries and in their words. */
import assert from "node:assert/strict";
import { rejects, throws } from "./refusals.js";
import type { AnyKv, ContractCase } from "./subject.js";

/** A key of so many encoded bytes; different numbers make different keys. */
const key = (bytes: number, number = 0) => ["k".repeat(bytes - 6) + String(number).padStart(4, "0")];

/** 16 sets that together count 819,200 bytes, but for `less` of them. */
function fullCommit(kv: AnyKv, less: number): AnyKv {
  const operation = kv.atomic();
  for (let n = 0; n < 16; n++) operation.set(key(10, n), new Uint8Array(51_180 - (n === 0 ? less : 0)));
  return operation;
}

const READ = "Key too large for read (max 2049 bytes)";
const WRITE = "Key too large for write (max 2048 bytes)";
const VALUE = "Value too large (max 65536 bytes)";
const TOTAL = "Total mutation size too large (max 819200 bytes)";
const KEYS = "Total key size too large (max 81920 bytes)";

/** Those that are the same with larger limits. */
const keyCases: ContractCase[] = [
  {
    name: "2048 bytes of key can be written, checked and read, one more can't",
    run: async ({ kv }) => {
      await kv.set(key(2048), 1);
      assert.equal((await kv.get(key(2048))).value, 1);
      await kv.delete(key(2048));
      await rejects(() => kv.set(key(2049), 1), "TypeError", WRITE);
      await rejects(() => kv.delete(key(2049)), "TypeError", WRITE);
      const check = { key: key(2049), versionstamp: null };
      await rejects(() => kv.atomic().check(check).commit(), "TypeError", WRITE);
      await rejects(() => kv.atomic().set(key(2049), 1).commit(), "TypeError", WRITE);
      await rejects(() => kv.get(key(2049)), "TypeError", READ);
      await rejects(() => kv.getMany([key(2049)]), "TypeError", READ);
    },
  },
  {
    name: "2049 bytes of key can be watched and bound a list, one more can't",
    run: async ({ kv }) => {
      const reader = kv.watch([key(2049)]).getReader();
      assert.equal((await reader.read()).value[0].value, null);
      await reader.cancel();
      throws(() => kv.watch([key(2050)]), "TypeError", READ);
      const first = (selector: unknown) => kv.list(selector).next();
      assert.equal((await first({ prefix: key(2048) })).done, true);
      assert.equal((await first({ start: key(2049), end: ["l"] })).done, true);
      await rejects(() => first({ prefix: key(2049) }), "TypeError", READ);
      await rejects(() => first({ start: key(2050), end: ["l"] }), "TypeError", READ);
      await rejects(() => first({ start: ["a"], end: key(2050) }), "TypeError", READ);
    },
  },
];

const sizeCases: ContractCase[] = [
  {
    name: "a value has up to 65,536 serialized bytes; atomic tells at the commit",
    run: async ({ kv }) => {
      await kv.set(["v"], new Uint8Array(65_536));
      await kv.set(["v"], "x".repeat(65_530));
      await rejects(() => kv.set(["v"], new Uint8Array(65_537)), "TypeError", VALUE);
      await rejects(() => kv.set(["v"], "x".repeat(65_531)), "TypeError", VALUE);
      const operation = kv.atomic().set(["v"], new Uint8Array(65_537));
      await rejects(() => operation.commit(), "TypeError", VALUE);
      await rejects(() => operation.delete([]).commit(), "TypeError", "key cannot be empty");
    },
  },
  {
    name: "getMany takes 10 keys, watch 10",
    run: async ({ kv }) => {
      const keys = Array.from({ length: 11 }, (_, n) => ["n", n]);
      assert.equal((await kv.getMany(keys.slice(1))).length, 10);
      await rejects(() => kv.getMany(keys), "TypeError", "Too many ranges (max 10)");
      await kv.watch(keys.slice(1)).cancel();
      throws(() => kv.watch(keys), "TypeError", "Too many keys (max 10)");
    },
  },
  {
    name: "a commit takes 100 checks and 1000 mutations, and checks are counted first",
    run: async ({ kv }) => {
      const withChecks = (count: number) => {
        const operation = kv.atomic();
        for (let n = 0; n < count; n++) operation.check({ key: ["c", n], versionstamp: null });
        return operation;
      };
      const withDeletes = (operation: AnyKv, count: number) => {
        for (let n = 0; n < count; n++) operation.delete(["c", n]);
        return operation;
      };
      assert.equal((await withChecks(100).commit()).ok, true);
      assert.equal((await withDeletes(kv.atomic(), 1000).commit()).ok, true);
      await rejects(
        () => withDeletes(kv.atomic(), 1001).commit(),
        "TypeError",
        "Too many mutations (max 1000)",
      );
      const both = withDeletes(withChecks(101), 1001).check({ key: ["a"], versionstamp: "x" });
      await rejects(() => both.commit(), "TypeError", "Too many checks (max 100)");
    },
  },
  {
    name: "a commit counts up to 819,200 bytes: its keys, and its values with their keys again",
    run: async ({ kv }) => {
      assert.equal((await fullCommit(kv, 0).commit()).ok, true);
      await rejects(() => fullCommit(kv, -1).commit(), "TypeError", TOTAL);
      const check = { key: key(10, 99), versionstamp: null };
      assert.equal((await fullCommit(kv, 10).check(check).commit()).ok, true);
      await rejects(() => fullCommit(kv, 9).check(check).commit(), "TypeError", TOTAL);
      assert.equal((await fullCommit(kv, 10).delete(key(10, 99)).commit()).ok, true);
      await rejects(() => fullCommit(kv, 9).delete(key(10, 99)).commit(), "TypeError", TOTAL);
      await rejects(() => fullCommit(kv, 27).sum(key(10, 99), 1n).commit(), "TypeError", TOTAL);
      assert.equal((await fullCommit(kv, 28).sum(key(10, 98), 1n).commit()).ok, true);
    },
  },
  {
    name: "keys that get a value count up to 81,920 bytes, after the whole",
    run: async ({ kv }) => {
      const full = (value: unknown) => {
        const operation = kv.atomic();
        for (let n = 0; n < 40; n++) operation.set(key(2048, n), value);
        return operation;
      };
      assert.equal((await full(1).delete(["a"]).commit()).ok, true);
      await rejects(() => full(1).set(["a"], 1).commit(), "TypeError", KEYS);
      await rejects(() => full(1).sum(["a"], 1n).commit(), "TypeError", KEYS);
      await rejects(() => full(new Uint8Array(60_000)).set(["a"], 1).commit(), "TypeError", TOTAL);
    },
  },
];

export const limitCases: ContractCase[] = [
  ...keyCases,
  ...sizeCases.map((one) => ({
    ...one,
    appliesTo: ({ hasDenoLimits }: { hasDenoLimits: boolean }) => hasDenoLimits,
  })),
];
