/**
 * Owns what has to be done to a value before V8 may serialize it.
 *
 * Pure functions for any thread. Three things about V8's serializer need it:
 * - It writes a WebAssembly.Module as no bytes at all, and the whole value can't be read back. So modules are refused here.
 * - It writes the whole ArrayBuffer behind a view: a Buffer of 2 bytes drags its pool of 8 KiB along. So such a value is
 *   rebuilt with tight copies of its loose views.
 * - It writes a DOMException as an empty object, and refuses a Blob and a CryptoKey. They are replaced by stand-ins (host-value.ts).
 *
 * Invariants:
 * 1. The caller's value is not changed; a value without any of these is returned as it is.
 * 2. In a rebuilt value, what was one object is one object, cycles included.
 *
 * Two loose views of one ArrayBuffer no longer share it afterwards. A large dense array is looked at by index only.
 */
import { types } from "node:util";
import { type HostPayload, hostPayload, isHostValue } from "./host-value.js";
import { assertCloneable, cloneError, newStandIn, refuseSharedMemory } from "./native-serializer.js";

/** Listing the keys of longer arrays would cost more than serializing them. */
const KEYED_LENGTH_MAX = 4096;

/** Levels and objects that the quick look goes through; it remembers none, so cycles end here, and what is shared is met again. */
const PLAIN_DEPTH_MAX = 16;
const PLAIN_VISITS_MAX = 20_000;

let visitsLeft = 0;

type ViewConstructor = new (buffer: ArrayBuffer) => ArrayBufferView;

/** Objects that were rebuilt, by their originals. */
type Rebuilt = Map<object, object> & {
  /** What is to be written in the place of stand-ins. */
  readonly payloads: Map<object, HostPayload | Promise<HostPayload>>;
};

/** A value that V8 can serialize. */
export interface StorableValue {
  readonly value: unknown;
  /** By their stand-ins in the value; empty for most. */
  readonly payloads: ReadonlyMap<object, HostPayload | Promise<HostPayload>>;
}

/**
 * The value, or a copy of it that V8 serializes well.
 *
 * @throws KvTypeError KV_INVALID_VALUE when it holds a WebAssembly.Module or, if it had to be copied, anything else that
 * V8 would refuse.
 */
export function storableValue(value: unknown): StorableValue {
  if (!isObject(value)) return { value, payloads: NO_PAYLOADS };
  visitsLeft = PLAIN_VISITS_MAX;
  if (isPlainTree(value, 0) || !needsRebuilding(value)) return { value, payloads: NO_PAYLOADS };
  // Rebuilding would make plain objects of things that V8 refuses, so it has to refuse them first.
  assertCloneable(value);
  const rebuilt: Rebuilt = Object.assign(new Map<object, object>(), { payloads: new Map() });
  return { value: rebuild(value, rebuilt), payloads: rebuilt.payloads };
}

const NO_PAYLOADS: StorableValue["payloads"] = new Map();

/**
 * Whether there is nothing in a value but plain objects, arrays and what is no object: most large values. Hot path: a third of what the
 * thorough look costs, since it keeps no list of what it has seen. `false` means that it could not tell.
 */
function isPlainTree(value: object, depth: number): boolean {
  if (depth > PLAIN_DEPTH_MAX || --visitsLeft < 0 || types.isProxy(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Array.prototype && Array.isArray(value)) {
    // A sparse one may be as long as it likes.
    if (value.length > visitsLeft) return false;
    for (let index = 0; index < value.length; index++) {
      const item: unknown = value[index];
      if (isObject(item) && !isPlainTree(item, depth + 1)) return false;
    }
    return Object.keys(value).length === value.length;
  }
  if (prototype !== Object.prototype) return false;
  const keys = Object.keys(value);
  for (let index = 0; index < keys.length; index++) {
    const item = (value as Record<string, unknown>)[keys[index]!];
    if (isObject(item) && !isPlainTree(item, depth + 1)) return false;
  }
  // A Map or a view that has been given the prototype of a plain object has no keys, or begins with an index.
  return keys.length > 0 && !(keys[0]! >= "0" && keys[0]! <= "9~");
}

/** Visits everything that V8 would, each object once. Keeps a list of its own, so that depth costs no stack. */
function needsRebuilding(root: object): boolean {
  const seen = new Set<object>([root]);
  const pending: object[] = [root];
  let isFound = false;
  const visit = (child: unknown): void => {
    if (!isObject(child) || seen.has(child)) return;
    seen.add(child);
    pending.push(child);
  };
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (ArrayBuffer.isView(value)) isFound ||= isLoose(value);
    else if (isHostValue(value)) isFound = true;
    else visitChildren(value, visit);
  }
  return isFound;
}

function visitChildren(value: object, visit: (child: unknown) => void): void {
  // V8 refuses a proxy without a look inside.
  if (types.isProxy(value)) return;
  if (Array.isArray(value)) {
    if (isLargeAndDense(value)) for (let index = 0; index < value.length; index++) visit(value[index]);
    else for (const key of Object.keys(value)) visit(Reflect.get(value, key));
  } else if (types.isMap(value)) {
    Map.prototype.forEach.call(value, (item, key) => {
      visit(key);
      visit(item);
    });
  } else if (types.isSet(value)) {
    Set.prototype.forEach.call(value, visit);
  } else if (Object.getPrototypeOf(value) === Object.prototype || !isLeaf(value)) {
    for (const key of Object.keys(value)) visit(Reflect.get(value, key));
  }
}

function rebuild(value: unknown, rebuilt: Rebuilt): unknown {
  if (!isObject(value)) return value;
  const known = rebuilt.get(value);
  if (known !== undefined) return known;
  if (isHostValue(value)) return standInFor(value, rebuilt);
  if (Array.isArray(value)) return rebuildProperties(value, emptyLike(value), rebuilt);
  if (types.isMap(value)) return rebuildMap(value, rebuilt);
  if (types.isSet(value)) return rebuildSet(value, rebuilt);
  if (ArrayBuffer.isView(value)) {
    const view = isLoose(value) ? tightCopy(value) : value;
    rebuilt.set(value, view);
    return view;
  }
  return isLeaf(value) ? value : rebuildProperties(value, {}, rebuilt);
}

function standInFor(value: object, rebuilt: Rebuilt): object {
  const standIn = newStandIn();
  rebuilt.set(value, standIn);
  rebuilt.payloads.set(standIn, hostPayload(value));
  return standIn;
}

function rebuildProperties(source: object, target: object, rebuilt: Rebuilt): object {
  rebuilt.set(source, target);
  for (const key of Object.keys(source)) {
    // Defined, not assigned: a key may be "__proto__".
    Object.defineProperty(target, key, {
      value: rebuild(Reflect.get(source, key), rebuilt),
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return target;
}

function rebuildMap(source: Map<unknown, unknown>, rebuilt: Rebuilt): object {
  const target = new Map<unknown, unknown>();
  rebuilt.set(source, target);
  Map.prototype.forEach.call(source, (item, key) => {
    target.set(rebuild(key, rebuilt), rebuild(item, rebuilt));
  });
  return target;
}

function rebuildSet(source: Set<unknown>, rebuilt: Rebuilt): object {
  const target = new Set<unknown>();
  rebuilt.set(source, target);
  Set.prototype.forEach.call(source, (item) => {
    target.add(rebuild(item, rebuilt));
  });
  return target;
}

/**
 * An empty array, with holes for its length only where the source has some: V8 writes them in another, longer form. Two expressions, since
 * V8 learns from one whose arrays get holes, and then makes all of them so.
 */
function emptyLike(source: readonly unknown[]): unknown[] {
  return hasHole(source) ? new Array(source.length) : [];
}

function hasHole(source: readonly unknown[]): boolean {
  for (let index = 0; index < source.length; index++) if (!(index in source)) return true;
  return false;
}

/** Whether a view shows only a part of its memory. V8 refuses shared memory, so that is not looked at here. */
function isLoose(view: ArrayBufferView): boolean {
  return view.byteLength !== view.buffer.byteLength;
}

function tightCopy(view: ArrayBufferView): ArrayBufferView {
  if (types.isSharedArrayBuffer(view.buffer)) refuseSharedMemory();
  const bytes = new Uint8Array(view.byteLength);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  if (types.isUint8Array(view)) return bytes;
  // The tag is the type's true name, whatever class was derived from it.
  const name: string = Reflect.get(view, Symbol.toStringTag);
  const View: ViewConstructor = Reflect.get(globalThis, name);
  return new View(bytes.buffer);
}

/** Whether V8 looks into a value by itself, or not at all. */
function isLeaf(value: object): boolean {
  if (Object.prototype.toString.call(value) === "[object WebAssembly.Module]") {
    throw cloneError("#<Module> could not be cloned.");
  }
  return (
    types.isDate(value) ||
    types.isRegExp(value) ||
    types.isNativeError(value) ||
    types.isBoxedPrimitive(value) ||
    types.isAnyArrayBuffer(value)
  );
}

/** Probes only: a large array with holes where none was probed is walked by index, which finds the holes undefined. */
function isLargeAndDense(array: readonly unknown[]): boolean {
  const { length } = array;
  return length > KEYED_LENGTH_MAX && 0 in array && length >>> 1 in array && length - 1 in array;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
