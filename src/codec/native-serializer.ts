/**
 * Owns every call of V8's own serializer and deserializer.
 *
 * Pure functions for any thread. Invariants:
 * 1. What comes out is private: neither bytes nor values share memory with what went in, and none is a Buffer.
 * 2. A value that V8 refuses is a `KvTypeError` in V8's own words; an exception from the caller's accessor passes as it is.
 *
 * The base classes are used, not `v8.serialize`, whose typed arrays are host objects that only Node can read. Those are
 * read here all the same, since stores exist that hold them.
 */
import { types } from "node:util";
import * as v8 from "node:v8";
import { KvCorruptError, KvTypeError } from "../errors.js";
import { HOST_PAYLOAD, type HostPayload, isHostValue, reviveHostValue } from "./host-value.js";
import { V8_VERSION_MAX, V8Tag } from "./v8-format.js";

/** The hooks that Node calls on a serializer, which the type package leaves out. */
type SerializerHooks = {
  _getDataCloneError: (message: string) => Error;
  _getSharedArrayBufferId: (buffer: SharedArrayBuffer) => never;
  _writeHostObject: (value: object) => void;
  _setTreatArrayBufferViewsAsHostObjects: (asHostObjects: boolean) => void;
};

type HostReader = { _readHostObject: () => unknown };

type ViewConstructor = new (buffer: ArrayBuffer) => ArrayBufferView;

/** The types of `v8.serialize`'s host objects, by their index. Index 10 was a Buffer. */
const HOST_VIEWS: readonly ViewConstructor[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  DataView,
  Uint8Array,
  BigInt64Array,
  BigUint64Array,
];

/** The version of the format that this V8 writes, and the newest that it reads. */
export const V8_VERSION = serializeNatively(null)[1]!;

/** V8's refusal of a value. */
export function cloneError(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_VALUE", message);
}

/** V8's refusal of a SharedArrayBuffer and of views of one. */
export function refuseSharedMemory(): never {
  throw cloneError("#<SharedArrayBuffer> could not be cloned.");
}

/**
 * The bytes that V8 makes of a value, with payloads in the place of their stand-ins.
 *
 * @throws KvTypeError KV_INVALID_VALUE when V8 can't clone it.
 */
export function serializeNatively(value: unknown, payloads?: ReadonlyMap<object, HostPayload>): Uint8Array {
  const serializer = newSerializer();
  if (payloads !== undefined) {
    serializer._writeHostObject = (host) => {
      const payload = payloads.get(host);
      if (payload === undefined) refuseHostObject(host);
      serializer.writeUint32(HOST_PAYLOAD);
      serializer.writeValue(payload);
    };
  }
  serializer.writeHeader();
  serializer.writeValue(value);
  const bytes = serializer.releaseBuffer();
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** An object that V8 asks its hook about. Every object that lives outside of JavaScript is one. */
export function newStandIn(): object {
  return new v8.Serializer();
}

/**
 * Refuses what V8 would refuse, the views in the value aside.
 *
 * @throws KvTypeError KV_INVALID_VALUE when V8 can't clone it.
 */
export function assertCloneable(value: unknown): void {
  const serializer = newSerializer();
  serializer._setTreatArrayBufferViewsAsHostObjects(true);
  serializer._writeHostObject = (host) => {
    if (!ArrayBuffer.isView(host) && !isHostValue(host)) refuseHostObject(host);
  };
  serializer.writeValue(value);
}

/**
 * The value that V8 makes of bytes, which are borrowed.
 *
 * @throws KvCorruptError KV_CORRUPT when V8 can't read them.
 */
export function deserializeNatively(bytes: Uint8Array): unknown {
  const readable = readableBytes(bytes);
  try {
    return newDeserializer(readable).readValue();
  } catch (cause) {
    if (readable.includes(V8Tag.hostObject)) return deserializeHostObjects(readable);
    throw unreadable(bytes, cause);
  }
}

function deserializeHostObjects(bytes: Uint8Array): unknown {
  try {
    const deserializer = newDeserializer(bytes);
    (deserializer as unknown as HostReader)._readHostObject = () => readHostObject(deserializer);
    return deserializer.readValue();
  } catch (cause) {
    if (cause instanceof KvTypeError || cause instanceof KvCorruptError) throw cause;
    throw unreadable(bytes, cause);
  }
}

/** A view in memory of its own (Node's `DefaultDeserializer` would give one of the bytes, and a Buffer), or what a payload stands for. */
function readHostObject(deserializer: v8.Deserializer): unknown {
  const type = deserializer.readUint32();
  if (type === HOST_PAYLOAD) return reviveHostValue(deserializer.readValue() as HostPayload);
  const HostView = HOST_VIEWS[type];
  if (HostView === undefined) throw new KvCorruptError("value holds a host object of an unknown type");
  const bytes = new Uint8Array(deserializer.readRawBytes(deserializer.readUint32()));
  return new HostView(bytes.buffer);
}

function newSerializer(): v8.Serializer & SerializerHooks {
  const serializer = new v8.Serializer() as v8.Serializer & SerializerHooks;
  serializer._getDataCloneError = cloneError;
  // Without these two hooks Node throws errors of its own for what they refuse.
  serializer._getSharedArrayBufferId = refuseSharedMemory;
  serializer._writeHostObject = refuseHostObject;
  return serializer;
}

/** Blob, KeyObject and the like live outside of JavaScript: nothing could read them back. */
function refuseHostObject(host: object): never {
  throw cloneError(`#<${host.constructor?.name ?? "Object"}> could not be cloned.`);
}

function newDeserializer(bytes: Uint8Array): v8.Deserializer {
  const deserializer = new v8.Deserializer(bytes);
  deserializer.readHeader();
  return deserializer;
}

/** The bytes themselves, or a copy of shared memory (which may change while V8 looks) or of a version newer than this V8. */
function readableBytes(bytes: Uint8Array): Uint8Array {
  const version = bytes[1] ?? 0;
  const isNewer = bytes[0] === V8Tag.version && version > V8_VERSION && version <= V8_VERSION_MAX;
  if (!isNewer && !types.isSharedArrayBuffer(bytes.buffer)) return bytes;
  const copy = new Uint8Array(bytes);
  if (isNewer) copy[1] = V8_VERSION;
  return copy;
}

function unreadable(bytes: Uint8Array, cause: unknown): KvCorruptError {
  return new KvCorruptError(`value of ${bytes.length} bytes is not what V8 wrote`, { cause });
}
