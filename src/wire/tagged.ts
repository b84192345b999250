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
 * Invariants:
 * 1. What structured clone keeps, this keeps; two views of one buffer become two buffers. What it refuses, this refuses.
 * 2. `fromTagged` is total: whatever it gets, it gives a value or a KvTypeError, and never sets a prototype.
 */
import { KvU64 } from "../codec/kv-u64.js";
import { KvTypeError } from "../errors.js";
import { WIRE_DEPTH_MAX } from "../limits.js";
import { fromBase64, toBase64 } from "./base64.js";

type ViewConstructor = new (buffer: ArrayBuffer) => ArrayBufferView;

const VIEW_NAMES: ReadonlySet<string> = new Set([
  "Int8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
  "DataView",
]);

const ERRORS: Readonly<Record<string, ErrorConstructor>> = {
  EvalError: EvalError as ErrorConstructor,
  RangeError: RangeError as ErrorConstructor,
  ReferenceError: ReferenceError as ErrorConstructor,
  SyntaxError: SyntaxError as ErrorConstructor,
  TypeError: TypeError as ErrorConstructor,
  URIError: URIError as ErrorConstructor,
};

/**
 * The tree of a value.
 *
 * @param bytesAs How bytes stand in it: as base64 text, for JSON; or as they are, for the binary form. Then they are borrowed.
 * @throws KvTypeError KV_INVALID_VALUE for what can't be cloned, KV_LIMIT_EXCEEDED for what is nested too deeply.
 */
export function toTagged(value: unknown, bytesAs: "base64" | "raw" = "base64"): unknown {
  return new Tagger(bytesAs === "raw").tag(value, 0);
}

/** The value of a tree. @throws KvTypeError KV_INVALID_VALUE, KV_LIMIT_EXCEEDED. */
export function fromTagged(node: unknown): unknown {
  return new Untagger().untag(node, 0);
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

class Untagger {
  readonly #objects: unknown[] = [];

  untag(node: unknown, depth: number): unknown {
    if (typeof node !== "object" || node === null) return node;
    checkDepth(depth);
    if (Array.isArray(node)) return this.#array(node, depth);
    const keys = Object.keys(node);
    const tag = keys[0];
    if (keys.length !== 1 || !tag!.startsWith("$")) return this.#plain(node, keys, depth);
    return this.#special(tag!, Reflect.get(node, tag!), depth);
  }

  #begin<T>(value: T): T {
    this.#objects.push(value);
    return value;
  }

  #array(nodes: readonly unknown[], depth: number): unknown[] {
    const array: unknown[] = this.#begin([]);
    for (const node of nodes) array.push(this.untag(node, depth + 1));
    return array;
  }

  #plain(node: object, keys: readonly string[], depth: number): object {
    const value = this.#begin({});
    for (const key of keys) define(value, key, this.untag(Reflect.get(node, key), depth + 1));
    return value;
  }

  #special(tag: string, content: unknown, depth: number): unknown {
    switch (tag) {
      case "$undefined":
        return undefined;
      case "$number":
        return numberOf(content);
      case "$bigint":
        return bigintOf(content);
      case "$u64":
        return this.#begin(new KvU64(bigintOf(content)));
      case "$ref":
        return this.#reference(content);
      case "$object":
        if (!isPlain(content)) throw malformed(tag);
        return this.#plain(content, Object.keys(content), depth);
      case "$bytes":
        return this.#begin(bytesOf(content));
      case "$buffer":
        return this.#begin(bytesOf(content).buffer);
      case "$view":
        return this.#begin(viewOf(content));
      case "$date":
        if (content !== null && typeof content !== "number") throw malformed(tag);
        return this.#begin(new Date(content ?? Number.NaN));
      case "$regexp":
        return this.#begin(regexpOf(content));
      case "$boxed":
        return this.#boxed(content, depth);
      default:
        return this.#collection(tag, content, depth);
    }
  }

  #collection(tag: string, content: unknown, depth: number): unknown {
    switch (tag) {
      case "$map": {
        const map = this.#begin(new Map<unknown, unknown>());
        for (const [key, item] of pairsOf(tag, content)) {
          map.set(this.untag(key, depth + 1), this.untag(item, depth + 1));
        }
        return map;
      }
      case "$set": {
        if (!Array.isArray(content)) throw malformed(tag);
        const set = this.#begin(new Set<unknown>());
        for (const item of content) set.add(this.untag(item, depth + 1));
        return set;
      }
      case "$array":
        return this.#sparse(content, depth);
      case "$error":
        return this.#error(content, depth);
      default:
        throw new KvTypeError(
          "KV_INVALID_VALUE",
          `unknown tag ${JSON.stringify(tag.slice(0, 40))} in a value`,
        );
    }
  }

  #sparse(content: unknown, depth: number): unknown[] {
    const [length, entries] = Array.isArray(content) ? content : [];
    if (!Number.isInteger(length) || length < 0 || length >= 2 ** 32) throw malformed("$array");
    const array: unknown[] = this.#begin([]);
    array.length = length;
    for (const [key, item] of pairsOf("$array", entries)) {
      if (typeof key !== "string" || key === "length") throw malformed("$array");
      define(array, key, this.untag(item, depth + 1));
    }
    return array;
  }

  #error(content: unknown, depth: number): Error {
    if (!isPlain(content)) throw malformed("$error");
    const { name, message, stack } = content as Record<string, unknown>;
    if (typeof name !== "string" || typeof message !== "string") throw malformed("$error");
    const Constructor = Object.hasOwn(ERRORS, name) ? ERRORS[name]! : Error;
    const error = this.#begin(new Constructor(message));
    if (error.name !== name) define(error, "name", name, false);
    define(error, "stack", typeof stack === "string" ? stack : undefined, false);
    if ("cause" in content) define(error, "cause", this.untag(content.cause, depth + 1), false);
    return error;
  }

  #boxed(content: unknown, depth: number): object {
    // Its number is that of the box: what is in it is no object.
    const primitive = this.untag(content, depth + 1);
    if (primitive === null || primitive === undefined || typeof primitive === "object")
      throw malformed("$boxed");
    return this.#begin(Object(primitive) as object);
  }

  #reference(content: unknown): unknown {
    if (!Number.isInteger(content) || !((content as number) in this.#objects)) throw malformed("$ref");
    return this.#objects[content as number];
  }
}

function numberText(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

function numberOf(content: unknown): number {
  switch (content) {
    case "-0":
      return -0;
    case "NaN":
      return Number.NaN;
    case "Infinity":
      return Number.POSITIVE_INFINITY;
    case "-Infinity":
      return Number.NEGATIVE_INFINITY;
    default:
      throw malformed("$number");
  }
}

/** Digits of a bigint: converting them costs the square of their number. */
const BIGINT_DIGITS_MAX = 100_000;

function bigintOf(content: unknown): bigint {
  if (typeof content !== "string" || !/^-?\d+$/.test(content) || content.length > BIGINT_DIGITS_MAX) {
    throw malformed("$bigint");
  }
  return BigInt(content);
}

function bytesOf(content: unknown): Uint8Array<ArrayBuffer> {
  return content instanceof Uint8Array ? new Uint8Array(content) : fromBase64(content);
}

function viewOf(content: unknown): ArrayBufferView {
  const [name, data] = Array.isArray(content) ? content : [];
  if (typeof name !== "string" || !VIEW_NAMES.has(name)) throw malformed("$view");
  const View: ViewConstructor | undefined = Reflect.get(globalThis, name);
  if (View === undefined) {
    throw new KvTypeError("KV_INVALID_VALUE", `this runtime has no ${name}`);
  }
  try {
    return new View(bytesOf(data).buffer);
  } catch (cause) {
    throw new KvTypeError("KV_INVALID_VALUE", `bad $view in a value: ${(cause as Error).message}`);
  }
}

function regexpOf(content: unknown): RegExp {
  const [source, flags] = Array.isArray(content) ? content : [];
  if (typeof source !== "string" || typeof flags !== "string") throw malformed("$regexp");
  try {
    return new RegExp(source, flags);
  } catch (cause) {
    throw new KvTypeError("KV_INVALID_VALUE", `bad $regexp in a value: ${(cause as Error).message}`);
  }
}

function pairsOf(tag: string, content: unknown): [unknown, unknown][] {
  const arePairs =
    Array.isArray(content) && content.every((pair) => Array.isArray(pair) && pair.length === 2);
  if (!arePairs) throw malformed(tag);
  return content as [unknown, unknown][];
}

function isPlain(content: unknown): content is object {
  return typeof content === "object" && content !== null && !Array.isArray(content);
}

/** Defined, not assigned: the key may be "__proto__". */
function define(target: object, key: string, value: unknown, enumerable = true): void {
  Object.defineProperty(target, key, { value, enumerable, configurable: true, writable: true });
}

function isWithoutHoles(array: readonly unknown[]): boolean {
  for (let index = 0; index < array.length; index++) if (!(index in array)) return false;
  return true;
}

function checkDepth(depth: number): void {
  if (depth <= WIRE_DEPTH_MAX) return;
  throw new KvTypeError("KV_LIMIT_EXCEEDED", `a value is nested more than ${WIRE_DEPTH_MAX} levels deep`);
}

function uncloneable(what: string): KvTypeError {
  return new KvTypeError("KV_INVALID_VALUE", `a ${what} could not be cloned`);
}

function malformed(tag: string): KvTypeError {
  return new KvTypeError("KV_INVALID_VALUE", `bad ${tag} in a value`);
}
