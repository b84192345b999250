import { createSecretKey } from "node:crypto";
import { serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import { decodeValue, encodeValue } from "../../src/codec/value.js";
import { hexOf, isPlainBytes, sparseArray } from "./bytes.js";

/** What the type package of Node 20 does not name. */
const { WebAssembly: Wasm } = globalThis as unknown as {
  WebAssembly: {
    Module: new (bytes: Uint8Array) => object;
    Memory: new (limits: object) => object;
    Instance: new (module: object) => object;
  };
};
const wasmModule = new Wasm.Module(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));

function* generate(): Generator<number> {
  yield 1;
}

const argument = (): number => 1;

class Point {
  readonly x = 1;
}

function detachedBuffer(): ArrayBuffer {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function detachedView(): Uint8Array {
  const view = new Uint8Array(8);
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** V8's own words, where they differ from version to version. */
function refusalOf(value: unknown): string {
  try {
    serialize(value);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("V8 does not refuse it");
}

const refused: [string, unknown, string][] = [
  ["a function", argument, `${argument} could not be cloned.`],
  ["a class", Point, `${Point} could not be cloned.`],
  ["a symbol", Symbol("x"), "Symbol(x) could not be cloned."],
  ["a boxed symbol", Object(Symbol("x")), "[object Symbol] could not be cloned."],
  ["a WeakMap", new WeakMap(), "#<WeakMap> could not be cloned."],
  ["a WeakSet", new WeakSet(), "#<WeakSet> could not be cloned."],
  ["a WeakRef", new WeakRef({}), "#<WeakRef> could not be cloned."],
  ["a Promise", Promise.resolve(), "#<Promise> could not be cloned."],
  ["a SharedArrayBuffer", new SharedArrayBuffer(2), "#<SharedArrayBuffer> could not be cloned."],
  ["shared bytes", new Uint8Array(new SharedArrayBuffer(2)), "#<SharedArrayBuffer> could not be cloned."],
  [
    "some shared bytes",
    new Uint8Array(new SharedArrayBuffer(9), 2, 3),
    "#<SharedArrayBuffer> could not be cloned.",
  ],
  ["a shared DataView", new DataView(new SharedArrayBuffer(2)), "#<SharedArrayBuffer> could not be cloned."],
  ["a WebAssembly.Module", wasmModule, "#<Module> could not be cloned."],
  ["a WebAssembly.Instance", new Wasm.Instance(wasmModule), "#<Instance> could not be cloned."],
  ["a WebAssembly.Memory", new Wasm.Memory({ initial: 1 }), "#<Memory> could not be cloned."],
  ["a proxy", new Proxy({ a: 1 }, {}), "#<Object> could not be cloned."],
  ["a proxy of an array", new Proxy([1], {}), "[object Array] could not be cloned."],
  ["a revoked proxy", revokedProxy(), "null could not be cloned."],
  ["a generator", generate(), "[object Generator] could not be cloned."],
  ["an iterator", new Map().entries(), refusalOf(new Map().entries())],
  ["a Blob", new Blob(["a"]), "#<Blob> could not be cloned."],
  ["a KeyObject", createSecretKey(Buffer.from("a")), "#<SecretKeyObject> could not be cloned."],
  ["a detached ArrayBuffer", detachedBuffer(), "An ArrayBuffer is detached and could not be cloned."],
];

/** A view that shows 2 bytes of 8 KiB, as a small Buffer does. */
const pooled = (text: string): Buffer => Buffer.from(new ArrayBuffer(8192), 100, text.length).fill(text);

describe("values that can't be read back", () => {
  it.each(refused)("are refused: %s", (_, value, message) => {
    const misuse = expect.objectContaining({ name: "TypeError", message, code: "KV_INVALID_VALUE" });
    expect(() => encodeValue(value)).toThrow(misuse);
  });

  it.each(refused)("are refused wherever they hide: %s", (_, value, message) => {
    const misuse = expect.objectContaining({ name: "TypeError", message, code: "KV_INVALID_VALUE" });
    class Holder {
      readonly held = value;
    }
    const places = [
      { a: { b: [1, value] } },
      sparseArray(2, { 1: value }),
      new Map([[1, value]]),
      new Map([[value, 1]]),
      new Set([value]),
      new Holder(),
      Object.assign([1], { extra: value }),
      // Beside a view that makes the whole be rebuilt, and must not make a plain object of this.
      { view: pooled("hi"), value },
    ];
    for (const place of places) expect(() => encodeValue(place)).toThrow(misuse);
  });

  it("are refused when their memory is gone", () => {
    expect(() => encodeValue(detachedView())).toThrow(TypeError);
    expect(() => encodeValue({ a: detachedView() })).toThrow(
      expect.objectContaining({
        message: "An ArrayBuffer is detached and could not be cloned.",
        code: "KV_INVALID_VALUE",
      }),
    );
  });
});

describe("views of a part of their memory", () => {
  it("cost their own bytes only, and come back plain", () => {
    const value = { small: pooled("hi"), list: [pooled("yo")], other: Buffer.from("pool") };
    const { encoding, bytes } = encodeValue(value);
    expect(bytes.length).toBeLessThan(100);
    const found = decodeValue(encoding, bytes) as typeof value;
    expect([hexOf(found.small), hexOf(found.list[0]!), hexOf(found.other)]).toStrictEqual([
      "6869",
      "796f",
      "706f6f6c",
    ]);
    expect([found.small, found.list[0], found.other].every(isPlainBytes)).toBe(true);
    expect(found.small.buffer.byteLength).toBe(2);
    expect(value.small.buffer.byteLength).toBe(8192);
  });

  it("keep their type", () => {
    const memory = new Float64Array([1.5, 2.5, 3.5, 4.5]).buffer;
    class Doubles extends Float64Array {}
    const views = [
      ...[new Float64Array(memory, 8, 1), new Doubles(memory, 8, 1), new Int8Array(memory, 8, 8)],
      ...[new BigInt64Array(memory, 8, 1), new DataView(memory, 8, 8), new Uint8ClampedArray(memory, 8, 8)],
    ];
    for (const view of views) {
      const { encoding, bytes } = encodeValue([view]);
      const [found] = decodeValue(encoding, bytes) as ArrayBufferView[];
      expect(Reflect.get(found!, Symbol.toStringTag)).toBe(Reflect.get(view, Symbol.toStringTag));
      expect(hexOf(new Uint8Array(found!.buffer))).toBe("0000000000000440");
    }
  });

  it("are replaced in all containers, identity and cycles kept", () => {
    const view = pooled("hi");
    const value: Record<string, unknown> = {
      list: sparseArray(3, { 0: view, 2: view }),
      map: new Map<unknown, unknown>([["view", view]]),
      set: new Set([view]),
      date: new Date(7),
      extra: Object.assign([view], { more: view }),
    };
    value["self"] = value;
    (value["map"] as Map<unknown, unknown>).set("root", value);
    Object.defineProperty(value, "__proto__", { value: view, enumerable: true });
    const { encoding, bytes } = encodeValue(value);
    expect(bytes.length).toBeLessThan(300);
    const found = decodeValue(encoding, bytes) as typeof value;
    const list = found["list"] as unknown[];
    const map = found["map"] as Map<unknown, unknown>;
    const extra = found["extra"] as { more: unknown };
    const [inSet] = found["set"] as Set<unknown>;
    const own = Object.getOwnPropertyDescriptor(found, "__proto__")?.value;
    for (const place of [list[0], list[2], map.get("view"), inSet, extra.more, own]) {
      expect(place).toStrictEqual(new Uint8Array([104, 105]));
      expect(place).toBe(list[0]);
    }
    expect([1 in list, found["self"] === found, map.get("root") === found]).toStrictEqual([
      false,
      true,
      true,
    ]);
    expect(found["date"]).toStrictEqual(new Date(7));
    expect((value["list"] as unknown[])[0]).toBe(view);
  });

  it("leave the arrays around them in V8's dense form", () => {
    const { bytes } = encodeValue([1, 2, pooled("hi")]);
    expect(bytes[2]).toBe("A".charCodeAt(0));
  });

  it("are found in large arrays", () => {
    const large = new Array<unknown>(10_000).fill(0);
    large[5001] = pooled("hi");
    expect(encodeValue(large).bytes.length).toBeLessThan(60_000);
    const sparse: unknown[] = [];
    sparse[4_000_000_000] = pooled("hi");
    expect(encodeValue(sparse).bytes.length).toBeLessThan(100);
  });
});
