/**
 * Owns the values that are more than V8 can store, and are stored all the same: Blob, File, DOMException and CryptoKey.
 *
 *     host := "\" ff ff ff ff 0f payload      V8's tag of a host object, a number that no view has, and a plain object:
 *     {type: "Blob", mimeType, data}          data: the bytes
 *     {type: "File", mimeType, data, name, lastModified}
 *     {type: "DOMException", message, name, stack}
 *     {type: "CryptoKey", keyType, extractable, usages, algorithm, keyData: {type, data}}     secret raw, private PKCS #8, public SPKI
 *
 * Pure functions for any thread. Invariant: what is refused at reading was refused at writing, on the same runtime.
 *
 * @see Source: Deno 2.9's own payloads. Differs: Deno stores of a Blob only the name of bytes that its process holds, which nobody can
 * read when the process has ended; here the bytes are stored.
 */
import { Blob, File } from "node:buffer";
import { createPrivateKey, createPublicKey, createSecretKey, KeyObject, type webcrypto } from "node:crypto";
import { types } from "node:util";
import { KvCorruptError, KvTypeError } from "../errors.js";

/** What is stored in the place of such a value. */
export type HostPayload = { readonly type: string } & Readonly<Record<string, unknown>>;

/** The number behind V8's tag; Node's own host objects have small ones. */
export const HOST_PAYLOAD = 0xffff_ffff;

type ToCryptoKey = (
  algorithm: unknown,
  extractable: boolean,
  usages: readonly string[],
) => webcrypto.CryptoKey;

/** Whether a value is stored as a payload. */
export function isHostValue(value: object): boolean {
  // A proxy is refused, and asking one would wake its traps.
  if (types.isProxy(value)) return false;
  return value instanceof Blob || value instanceof DOMException || types.isCryptoKey(value);
}

/**
 * The payload of a value; that of a Blob has to be waited for.
 *
 * @throws KvTypeError KV_INVALID_VALUE for a CryptoKey where the runtime could not make one again.
 */
export function hostPayload(value: object): HostPayload | Promise<HostPayload> {
  if (value instanceof Blob) return blobPayload(value);
  if (types.isCryptoKey(value)) return cryptoKeyPayload(value);
  const { message, name, stack } = value as DOMException;
  return { type: "DOMException", message, name, stack };
}

/** The value of a payload. @throws KvCorruptError KV_CORRUPT when there is none; KvTypeError KV_INVALID_VALUE as above. */
export function reviveHostValue(payload: HostPayload): unknown {
  switch (payload?.type) {
    case "Blob":
      return new Blob([dataOf(payload)], { type: String(payload["mimeType"]) });
    case "File":
      return new File([dataOf(payload)], String(payload["name"]), {
        type: String(payload["mimeType"]),
        lastModified: Number(payload["lastModified"]),
      });
    case "DOMException":
      return reviveException(payload);
    case "CryptoKey":
      return reviveCryptoKey(payload);
    default:
      throw new KvCorruptError(`value holds a host object of the unknown type ${String(payload?.type)}`);
  }
}

async function blobPayload(blob: Blob): Promise<HostPayload> {
  const content = { mimeType: blob.type, data: new Uint8Array(await blob.arrayBuffer()) };
  if (!(blob instanceof File)) return { type: "Blob", ...content };
  return { type: "File", ...content, name: blob.name, lastModified: blob.lastModified };
}

function cryptoKeyPayload(key: webcrypto.CryptoKey): HostPayload {
  toCryptoKeyMethod();
  const object = KeyObject.from(key);
  const { type: keyType, extractable } = key;
  return {
    type: "CryptoKey",
    keyType,
    extractable,
    usages: [...key.usages],
    algorithm: { ...key.algorithm },
    keyData: { type: keyType, data: new Uint8Array(exportKey(object)) },
  };
}

function exportKey(object: KeyObject): Buffer {
  if (object.type === "secret") return object.export();
  return object.type === "private"
    ? object.export({ type: "pkcs8", format: "der" })
    : object.export({ type: "spki", format: "der" });
}

function reviveCryptoKey(payload: HostPayload): webcrypto.CryptoKey {
  const { type, data } = payload["keyData"] as { type: string; data: Uint8Array };
  const { algorithm, extractable, usages } = payload as unknown as webcrypto.CryptoKey;
  return toCryptoKeyMethod().call(importKey(type, Buffer.from(data)), algorithm, extractable, usages);
}

function importKey(type: string, data: Buffer): KeyObject {
  if (type === "secret") return createSecretKey(data);
  return type === "private"
    ? createPrivateKey({ key: data, type: "pkcs8", format: "der" })
    : createPublicKey({ key: data, type: "spki", format: "der" });
}

/** The only way to make a CryptoKey without waiting, so that every kind of read can. Older runtimes do not have it. */
function toCryptoKeyMethod(): ToCryptoKey {
  const method: unknown = Reflect.get(KeyObject.prototype, "toCryptoKey");
  if (typeof method === "function") return method as ToCryptoKey;
  throw new KvTypeError(
    "KV_INVALID_VALUE",
    `a CryptoKey can be stored and read from Node.js 22.10 on, this is ${process.version}: export it and store the bytes`,
  );
}

function reviveException({ message, name, stack }: HostPayload): DOMException {
  const exception = new DOMException(String(message), String(name));
  if (typeof stack === "string")
    Object.defineProperty(exception, "stack", { value: stack, configurable: true });
  return exception;
}

function dataOf(payload: HostPayload): Uint8Array<ArrayBuffer> {
  const { data } = payload;
  if (data instanceof Uint8Array) return new Uint8Array(data);
  throw new KvCorruptError(
    `the bytes of this ${payload.type} were never stored: Deno keeps them in the memory of the process that made it`,
  );
}
