/** Reads, single writes, the order of keys, and the fidelity of values. */
import assert from "node:assert/strict";
import { rejects, throws } from "./refusals.js";
import type { AnyKv, ContractCase } from "./subject.js";

/** Keys of every type in Deno's order: a bigint stands before every number. */
const KEYS_IN_ORDER: unknown[][] = [
  [new Uint8Array()],
  [Uint8Array.of(0)],
  [""],
  ["a"],
  ["a\0b"],
  ["z"],
  ["é"],
  [-(2n ** 70n)],
  [-1n],
  [0n],
  [1n],
  [2n ** 70n],
  [Number.NEGATIVE_INFINITY],
  [-1],
  [-0],
  [0],
  [1.5],
  [Number.POSITIVE_INFINITY],
  [Number.NaN],
  [false],
  [true],
];

const KEY_PART_TEXT = "expected string, number, bigint, ArrayBufferView, boolean";

async function allKeys(kv: AnyKv): Promise<unknown[]> {
  const keys: unknown[] = [];
  for await (const { key } of kv.list({ prefix: [] })) keys.push(key);
  return keys;
}

async function storedAndRead(kv: AnyKv, value: unknown): Promise<unknown> {
  await kv.set(["value"], value);
  return (await kv.get(["value"])).value;
}

const sparse: unknown[] = [1];
sparse[5] = 2;

const VALUES: [string, unknown][] = [
  ["a string with a lone surrogate", "\ud800"],
  ["negative zero", -0],
  ["NaN", Number.NaN],
  ["a bigint", -(2n ** 100n)],
  ["null", null],
  ["undefined", undefined],
  ["a map with object keys", new Map([[{ a: 1 }, new Set([1, "2"])]])],
  ["a date", new Date(1_700_000_000_000)],
  ["a regular expression", /a+/giu],
  ["a typed array", { view: new Float64Array([1.5, -0]) }],
  ["an array buffer", Uint8Array.of(1, 2, 3).buffer],
  ["a sparse array", sparse],
  ["nested plain data", { a: [1, { b: [null, undefined, true] }], "": "" }],
  ["an empty Uint8Array", new Uint8Array()],
  ["an error with a cause", new RangeError("far", { cause: { a: 1 } })],
];

const nothing = () => {};

const UNCLONEABLE: [string, unknown, string][] = [
  ["a function", nothing, `${nothing} could not be cloned.`],
  ["a hidden function", { a: [nothing] }, `${nothing} could not be cloned.`],
  ["a symbol", Symbol("s"), "Symbol(s) could not be cloned."],
  ["a WeakMap", new WeakMap(), "#<WeakMap> could not be cloned."],
  ["a WeakSet", new WeakSet(), "#<WeakSet> could not be cloned."],
  ["a promise", Promise.resolve(), "#<Promise> could not be cloned."],
];

export const entryCases: ContractCase[] = [
  {
    name: "a missing key has a null value and a null versionstamp, and the empty key holds nothing",
    run: async ({ kv }) => {
      assert.deepEqual(await kv.get(["nothing"]), { key: ["nothing"], value: null, versionstamp: null });
      assert.deepEqual(await kv.get([]), { key: [], value: null, versionstamp: null });
    },
  },
  {
    name: "set tells the versionstamp, 20 hex digits, with which the entry is read",
    run: async ({ kv }) => {
      const result = await kv.set(["a", 1], "x");
      assert.deepEqual(Object.keys(result).sort(), ["ok", "versionstamp"]);
      assert.match(result.versionstamp, /^[0-9a-f]{20}$/);
      assert.deepEqual(await kv.get(["a", 1]), {
        key: ["a", 1],
        value: "x",
        versionstamp: result.versionstamp,
      });
    },
  },
  {
    name: "delete resolves to undefined, also for a missing key, and consumes a versionstamp",
    run: async ({ kv }) => {
      const first = await kv.set(["a"], 1);
      assert.equal(await kv.delete(["a"]), undefined);
      assert.equal(await kv.delete(["a"]), undefined);
      assert.equal((await kv.get(["a"])).versionstamp, null);
      assert((await kv.set(["a"], 1)).versionstamp > first.versionstamp);
    },
  },
  {
    name: "getMany keeps the length and the order of its keys, duplicates too; [] for none",
    run: async ({ kv }) => {
      await kv.set(["a"], 1);
      await kv.set(["b"], 2);
      const entries = await kv.getMany([["b"], ["none"], ["a"], ["b"]]);
      assert.deepEqual(
        entries.map((entry: AnyKv) => [entry.key[0], entry.value]),
        [
          ["b", 2],
          ["none", null],
          ["a", 1],
          ["b", 2],
        ],
      );
      assert.deepEqual(await kv.getMany([]), []);
    },
  },
  {
    name: "both words of consistency are accepted, others are refused",
    run: async ({ kv }) => {
      await kv.set(["a"], 1);
      for (const consistency of ["strong", "eventual", undefined, null]) {
        assert.equal((await kv.get(["a"], { consistency })).value, 1);
      }
      const text = "unknown variant `foo`, expected `strong` or `eventual`";
      await rejects(() => kv.get(["a"], { consistency: "foo" }), "TypeError", text);
      await rejects(() => kv.getMany([["a"]], { consistency: "foo" }), "TypeError", text);
    },
  },
  {
    name: "keys of all types are listed in Deno's order, bigint before number, and come back as they went in",
    run: async ({ kv }) => {
      for (const key of [...KEYS_IN_ORDER].reverse()) await kv.set(key, 0);
      assert.deepEqual(await allKeys(kv), KEYS_IN_ORDER);
    },
  },
  {
    name: "keys that differ only in type, in the sign of zero or in a NUL are different keys",
    run: async ({ kv }) => {
      const keys = [["1"], [1], [1n], [true], [0], [-0], [Uint8Array.of(49)], ["1\0"], ["1", ""]];
      for (const [index, key] of keys.entries()) await kv.set(key, index);
      for (const [index, key] of keys.entries()) assert.equal((await kv.get(key)).value, index);
    },
  },
  {
    name: "a lone surrogate in a key becomes U+FFFD, NaN is one key, a view is its bytes",
    run: async ({ kv }) => {
      await kv.set(["\ud800", Number.NaN, new Uint16Array([1, 2])], 1);
      assert.deepEqual(await allKeys(kv), [["\ufffd", Number.NaN, Uint8Array.of(1, 0, 2, 0)]]);
      const view = new DataView(Uint8Array.of(1, 0, 2, 0).buffer);
      assert.equal((await kv.get(["\ufffd", Number.NaN, view])).value, 1);
    },
  },
  {
    name: "what is no key is refused wherever one is asked for",
    run: async ({ kv }) => {
      for (const part of [{}, undefined, null, Symbol("s"), () => 1, new ArrayBuffer(2)]) {
        await rejects(() => kv.get([part]), "TypeError", KEY_PART_TEXT);
        await rejects(() => kv.getMany([[part]]), "TypeError", KEY_PART_TEXT);
        await rejects(() => kv.set([part], 1), "TypeError", KEY_PART_TEXT);
        await rejects(() => kv.delete([part]), "TypeError", KEY_PART_TEXT);
        await rejects(() => kv.list({ prefix: [part] }).next(), "TypeError", KEY_PART_TEXT);
        throws(() => kv.watch([[part]]), "TypeError", KEY_PART_TEXT);
      }
      for (const key of ["abc", null, 5]) {
        await rejects(() => kv.get(key), "TypeError");
        await rejects(() => kv.set(key, 1), "TypeError");
        await rejects(() => kv.delete(key), "TypeError");
      }
    },
  },
  {
    name: "a bigint of 255 bytes is a part of a key, one of 256 is none",
    run: async ({ kv }) => {
      const largest = 2n ** 2040n - 1n;
      await kv.set([largest], 1);
      await kv.set([-largest], 2);
      assert.deepEqual(await allKeys(kv), [[-largest], [largest]]);
      const text = "BigUint requires more than 255 bytes to be represented";
      await rejects(() => kv.get([largest + 1n]), "TypeError", text);
      await rejects(() => kv.set([largest + 1n], 1), "TypeError");
    },
  },
  {
    name: "the empty key can't be set, deleted or checked",
    run: async ({ kv }) => {
      const text = "key cannot be empty";
      await rejects(() => kv.set([], 1), "TypeError", text);
      await rejects(() => kv.delete([]), "TypeError", text);
      await rejects(() => kv.atomic().set([], 1).commit(), "TypeError", text);
      await rejects(() => kv.atomic().check({ key: [], versionstamp: null }).commit(), "TypeError", text);
    },
  },
  ...VALUES.map(
    ([name, value]): ContractCase => ({
      name: `${name} comes back as it went in`,
      run: async ({ kv }) => {
        assert.deepEqual(await storedAndRead(kv, value), value);
        assert.notEqual((await kv.get(["value"])).versionstamp, null);
      },
    }),
  ),
  {
    name: "a cycle keeps its identity",
    run: async ({ kv }) => {
      const value: Record<string, unknown> = { list: [] };
      value["self"] = value;
      const found = (await storedAndRead(kv, value)) as typeof value;
      assert.equal(found["self"], found);
    },
  },
  {
    name: "a Uint8Array comes back as a plain one, alone and within an object",
    run: async ({ kv }) => {
      const alone = await storedAndRead(kv, Uint8Array.of(1, 2, 3, 4).subarray(1, 3));
      const { within } = (await storedAndRead(kv, { within: Uint8Array.of(2, 3) })) as { within: Uint8Array };
      for (const bytes of [alone, within]) {
        assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
        assert.deepEqual([...(bytes as Uint8Array)], [2, 3]);
      }
    },
  },
  {
    name: "a KvU64 comes back as one",
    run: async ({ kv, subject }) => {
      const found = (await storedAndRead(kv, new subject.KvU64(2n ** 64n - 1n))) as { value: bigint };
      assert(found instanceof subject.KvU64);
      assert.equal(found.value, 2n ** 64n - 1n);
    },
  },
  ...UNCLONEABLE.map(
    ([name, value, message]): ContractCase => ({
      name: `${name} is refused: set rejects, atomic throws at the call`,
      run: async ({ kv }) => {
        await rejects(() => kv.set(["a"], value), "TypeError", message);
        throws(() => kv.atomic().set(["a"], value), "TypeError", message);
        throws(() => kv.atomic().mutate({ type: "set", key: ["a"], value }), "TypeError", message);
        assert.deepEqual(await allKeys(kv), []);
      },
    }),
  ),
  {
    name: "a WebAssembly.Module and shared memory are refused when they are written",
    run: async ({ kv }) => {
      const module = Reflect.construct(Reflect.get(Reflect.get(globalThis, "WebAssembly"), "Module"), [
        Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0),
      ]);
      await rejects(() => kv.set(["a"], module), "TypeError");
      await assert.rejects(() => kv.set(["a"], new SharedArrayBuffer(8)), {
        message: "#<SharedArrayBuffer> could not be cloned.",
      });
      assert.deepEqual(await allKeys(kv), []);
    },
  },
  {
    name: "a Blob, alone and within a value, set and by atomic, read by get and by list",
    run: async ({ kv }) => {
      await kv.set(["a"], new Blob(["hello"], { type: "text/plain" }));
      await kv
        .atomic()
        .set(["b"], { within: [new Blob(["one"]), new Map([[1, new Blob(["two"])]])] })
        .commit();
      const { value } = await kv.get(["a"]);
      assert(value instanceof Blob);
      assert.deepEqual([value.type, await value.text()], ["text/plain", "hello"]);
      for await (const entry of kv.list({ start: ["b"], end: ["c"] })) {
        const [one, map] = entry.value.within;
        assert.deepEqual([await one.text(), await map.get(1).text()], ["one", "two"]);
      }
    },
  },
  {
    name: "a File keeps its name and its time",
    run: async ({ kv }) => {
      const file = new File(["hello"], "a.txt", { type: "text/plain", lastModified: 5 });
      const found = (await storedAndRead(kv, file)) as File;
      assert(found instanceof File);
      assert.deepEqual(
        [found.name, found.lastModified, found.type, await found.text()],
        ["a.txt", 5, "text/plain", "hello"],
      );
    },
  },
  {
    name: "a DOMException keeps its name and message",
    run: async ({ kv }) => {
      const found = (await storedAndRead(kv, new DOMException("m", "AbortError"))) as DOMException;
      assert(found instanceof DOMException);
      assert.deepEqual([found.name, found.message, found.code], ["AbortError", "m", 20]);
    },
  },
  {
    name: "a CryptoKey works as before, secret, private and public, extractable or not",
    appliesTo: ({ hasCryptoKeys }) => hasCryptoKeys,
    run: async ({ kv }) => {
      const { subtle } = globalThis.crypto;
      const data = new TextEncoder().encode("data");
      const hmac = await subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
        "sign",
        "verify",
      ]);
      await kv.set(["keys"], { hmac, pair });
      const found = (await kv.get(["keys"])).value;
      assert.deepEqual(
        new Uint8Array(await subtle.sign("HMAC", found.hmac, data)),
        new Uint8Array(await subtle.sign("HMAC", hmac, data)),
      );
      assert.deepEqual([found.hmac.extractable, [...found.hmac.usages]], [false, ["sign"]]);
      const how = { name: "ECDSA", hash: "SHA-256" };
      const signature = await subtle.sign(how, found.pair.privateKey, data);
      assert(await subtle.verify(how, found.pair.publicKey, signature, data));
    },
  },
];
