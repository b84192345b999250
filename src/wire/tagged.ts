/**
 * Owns the tree that a value becomes on the wire: what JSON can say, and for everything else an object with one key, a tag.
 *
 *     node := null | true | false | text | finite number      as they are; but -0, NaN and infinities: {"$number": "-0"}
 *           | [node*]                                           array
 *           | {text: node*}                                     object; one whose only key begins with $: {"$object": {…}}
 *           | {"$undefined": true} | {"$bigint": "123"} | {"$u64": "123"}                         (KvU64)
 *           | {"$bytes": base64} | {"$buffer": base64} | {"$view": [type, base64]}               Uint8Array, ArrayBuffer, other views
 *           | {"$date": milliseconds | null} | {"$regexp": [source, flags]} | {"$boxed": node}
 *           | {"$map": [[node, node]*]} | {"$set": [node*]} | {"$error": {name, message, stack, cause}}
 *           | {"$array": [length, [[key, node]*]]}              array with holes or further properties
 *           | {"$ref": n}                                       the n-th object that began, from 0: shared or in a cycle
 *     {when: new Date(0), n: 1n}   is   {"when":{"$date":0},"n":{"$bigint":"1"}}
 *
 * Pure functions for any runtime: no Buffer, no Node. In the binary form (packed.ts) bytes stand in the tree as they are.
 *
 * Invariant: what structured clone keeps, this keeps; two views of one buffer become two buffers. What it refuses, this refuses.
 *
 * The way back is in untagged.ts.
 */
import { KvU64 } from "../codec/kv-u64.js";
import { KvTypeError } from "../errors.js";
import { WIRE_DEPTH_MAX } from "../limits.js";
import { toBase64 } from "./base64.js";

/**
 * The tree of a value.
 *
 * @param bytesAs How bytes stand in it: as base64 text, for JSON; or as they are, for the binary form. Then they are borrowed.
 * @throws KvTypeError KV_INVALID_VALUE for what can't be cloned, KV_LIMIT_EXCEEDED for what is nested too deeply.
 */
export function toTagged(value: unknown, bytesAs: "base64" | "raw" = "base64"): unknown {
  return new Tagger(bytesAs === "raw").tag(value, 0);
}

class Tagger {
  readonly #isRaw: boolean;
  readonly #numbers = new Map<object, number>();

  constructor(isRaw: boolean) {
    this.#isRaw = isRaw;
  }

  tag(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "string":
      case "boolean":
        return value;
      case "number":
        return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: numberText(value) };
      case "bigint":
        return { $bigint: value.toString() };
      case "undefined":
        return { $undefined: true };
      case "object":
        return value === null ? null : this.#tagObject(value, depth);
      default:
        throw uncloneable(typeof value);
    }
  }

  #tagObject(value: object, depth: number): unknown {
    checkDepth(depth);
    const known = this.#numbers.get(value);
    if (known !== undefined) return { $ref: known };
    this.#numbers.set(value, this.#numbers.size);
    if (Array.isArray(value)) return this.#tagArray(value, depth);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#tagPlain(value, depth);
    return this.#tagSpecial(value, depth);
  }

  #tagArray(array: readonly unknown[], depth: number): unknown {
    const isDense = Object.keys(array).length === array.length && isWithoutHoles(array);
    if (isDense) return array.map((item) => this.tag(item, depth + 1));
    const entries = Object.keys(array).map((key) => [key, this.tag(Reflect.get(array, key), depth + 1)]);
    return { $array: [array.length, entries] };
  }

  #tagPlain(value: object, depth: number): unknown {
    const keys = Object.keys(value);
    const node: Record<string, unknown> = {};
    for (const key of keys) define(node, key, this.tag(Reflect.get(value, key), depth + 1));
    return keys.length === 1 && keys[0]!.startsWith("$") ? { $object: node } : node;
  }

  #tagSpecial(value: object, depth: number): unknown {
    if (ArrayBuffer.isView(value)) return this.#tagView(value);
    if (value instanceof ArrayBuffer) return { $buffer: this.#bytes(new Uint8Array(value)) };
    if (value instanceof Date) {
      const ms = value.getTime();
      return { $date: Number.isNaN(ms) ? null : ms };
    }
    if (value instanceof Map) {
      const pairs = [...value].map(([key, item]) => [this.tag(key, depth + 1), this.tag(item, depth + 1)]);
      return { $map: pairs };
    }
    if (value instanceof Set) return { $set: [...value].map((item) => this.tag(item, depth + 1)) };
    if (value instanceof RegExp) return { $regexp: [value.source, value.flags] };
    if (value instanceof Error) return { $error: this.#errorFields(value, depth) };
    if (KvU64.isKvU64(value)) return { $u64: value.value.toString() };
    if (
      value instanceof Number ||
      value instanceof String ||
      value instanceof Boolean ||
      value instanceof BigInt
    ) {
      return { $boxed: this.tag(value.valueOf(), depth + 1) };
    }
    throw uncloneable(Object.prototype.toString.call(value).slice(8, -1));
  }

  #tagView(view: ArrayBufferView): unknown {
    if (typeof SharedArrayBuffer !== "undefined" && view.buffer instanceof SharedArrayBuffer) {
      throw uncloneable("SharedArrayBuffer");
    }
    const bytes = this.#bytes(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    if (view instanceof Uint8Array) return { $bytes: bytes };
    return { $view: [Object.prototype.toString.call(view).slice(8, -1), bytes] };
  }

  #errorFields(error: Error, depth: number): Record<string, unknown> {
    const fields: Record<string, unknown> = { name: error.name, message: String(error.message) };
    if (typeof error.stack === "string") fields["stack"] = error.stack;
    if (Object.hasOwn(error, "cause")) fields["cause"] = this.tag(error.cause, depth + 1);
    return fields;
  }

  #bytes(bytes: Uint8Array): unknown {
    return this.#isRaw ? bytes : toBase64(bytes);
  }
}

function numberText(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

function isWithoutHoles(array: readonly unknown[]): boolean {
  for (let index = 0; index < array.length; index++) if (!(index in array)) return false;
  return true;
}

/** Sets a property of the tree or of the value. Defined, not assigned: the key may be "__proto__". */
export function define(target: object, key: string, value: unknown, enumerable = true): void {
  Object.defineProperty(target, key, { value, enumerable, configurable: true, writable: true });
}

/** @throws KvTypeError KV_LIMIT_EXCEEDED. */
export function checkDepth(depth: number): void {
  if (depth <= WIRE_DEPTH_MAX) return;
  throw new KvTypeError("KV_LIMIT_EXCEEDED", `a value is nested more than ${WIRE_DEPTH_MAX} levels deep`);
}

function uncloneable(what: string): KvTypeError {
  return new KvTypeError("KV_INVALID_VALUE", `#<${what}> could not be cloned.`);
}
