/** Blob, File, DOMException and CryptoKey as values, alone and wherever they hide. */
import { Blob, File } from "node:buffer";
import { KeyObject, webcrypto } from "node:crypto";
import { describe, expect, it } from "vitest";
import { decodeValue, type EncodedValue, encodeAnyValue, encodeValue } from "../../src/codec/value.js";

const canKeepKeys = "toCryptoKey" in KeyObject.prototype;

async function stored(value: unknown): Promise<unknown> {
  const { encoding, bytes } = await encodeAnyValue(value);
  return decodeValue(encoding, bytes);
}

describe("a Blob", () => {
  it("comes back with its bytes and type, one object for one, beside views, maps and cycles", async () => {
    const blob = new Blob(["hello"], { type: "text/plain" });
    const value = { blob, map: new Map<unknown, unknown>([["again", blob]]), view: new Float64Array([1.5]) };
    value.map.set("root", value);
    const found = (await stored(value)) as typeof value;
    expect([found.blob.type, await found.blob.text()]).toEqual(["text/plain", "hello"]);
    expect(found.map.get("again")).toBe(found.blob);
    expect(found.map.get("root")).toBe(found);
    expect(found.view).toStrictEqual(new Float64Array([1.5]));
  });

  it("has to be waited for, while what is around it is taken as it is at the call", async () => {
    const value = { blob: new Blob(["hello"]), list: [1] };
    const encoding = encodeAnyValue(value);
    expect(encoding).toBeInstanceOf(Promise);
    value.list.push(2);
    const { bytes } = await encoding;
    expect(decodeValue(1, bytes)).toMatchObject({ list: [1] });
    expect(() => encodeValue(value)).toThrow("#<Blob> could not be cloned.");
  });

  it("that is a File keeps its name and time", async () => {
    const found = (await stored([new File(["x"], "a.txt", { lastModified: 5 })])) as File[];
    expect(found[0]).toBeInstanceOf(File);
    expect([found[0]!.name, found[0]!.lastModified, found[0]!.size]).toEqual(["a.txt", 5, 1]);
  });
});

describe("a DOMException", () => {
  it("keeps name, message, code and stack, and needs no waiting", () => {
    const exception = new DOMException("m", "AbortError");
    const { encoding, bytes } = encodeValue({ exception }) as EncodedValue;
    const { exception: found } = decodeValue(encoding, bytes) as { exception: DOMException };
    expect(found).toBeInstanceOf(DOMException);
    expect([found.name, found.message, found.code]).toEqual(["AbortError", "m", 20]);
    expect(found.stack).toBe(exception.stack);
  });

  it("as Deno stores it is read", () => {
    const text = (value: string) => [0x22, value.length, ...Buffer.from(value)];
    const pairs = ["type", "DOMException", "message", "m", "name", "AbortError"].flatMap(text);
    const bytes = Uint8Array.of(0xff, 0x10, 0x5c, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x6f, ...pairs, 0x7b, 3);
    expect(decodeValue(1, bytes)).toMatchObject({ name: "AbortError", message: "m" });
  });
});

describe("a CryptoKey", () => {
  const { subtle } = webcrypto;

  it.runIf(canKeepKeys)("works as before, whatever its kind", async () => {
    const pair = await subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
    const { privateKey, publicKey } = pair as webcrypto.CryptoKeyPair;
    const secret = await subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"]);
    const found = (await stored({ privateKey, publicKey, secret })) as Record<string, webcrypto.CryptoKey>;
    const data = Buffer.from("data");
    const signature = await subtle.sign("Ed25519", found["privateKey"]!, data);
    expect(await subtle.verify("Ed25519", found["publicKey"]!, signature, data)).toBe(true);
    expect(await subtle.exportKey("jwk", found["secret"]!)).toEqual(await subtle.exportKey("jwk", secret));
    expect([found["privateKey"]!.extractable, found["secret"]!.usages]).toEqual([false, ["encrypt"]]);
  });

  it.skipIf(canKeepKeys)("is refused where it could not be read back", async () => {
    const key = await subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"]);
    expect(() => encodeValue({ key })).toThrow(
      expect.objectContaining({
        code: "KV_INVALID_VALUE",
        message: expect.stringContaining("Node.js 22.10"),
      }),
    );
  });
});

it("a host object of an unknown type is corrupt", () => {
  const bytes = Uint8Array.of(0xff, 0x0f, 0x5c, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x6f, 0x7b, 0);
  expect(() => decodeValue(1, bytes)).toThrow(expect.objectContaining({ code: "KV_CORRUPT" }));
});
