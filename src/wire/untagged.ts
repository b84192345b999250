/**
 * Owns the way back from a tagged tree (grammar: tagged.ts) to a value.
 *
 * Pure functions for any runtime. Invariant: `fromTagged` is total. Whatever it gets, it gives a value or a KvTypeError, and never sets a
 * prototype.
 */
import { KvU64 } from "../codec/kv-u64.js";
import { KvTypeError } from "../errors.js";
import { fromBase64 } from "./base64.js";
import { checkDepth, define } from "./tagged.js";

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

/** The value of a tree. @throws KvTypeError KV_INVALID_VALUE, KV_LIMIT_EXCEEDED. */
export function fromTagged(node: unknown): unknown {
  return new Untagger().untag(node, 0);
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

function malformed(tag: string): KvTypeError {
  return new KvTypeError("KV_INVALID_VALUE", `bad ${tag} in a value`);
}
