/**
 * Owns the asking for rights: each throws before anything is read or written, and says nothing about whether anything is there.
 */
import { encodeKey, type KvKey } from "../codec/key.js";
import type { Principal } from "./access.js";
import { HttpError } from "./http-error.js";

/** @throws HttpError 403, without a word about whether anything is there. */
export function demandKeys(principal: Principal, right: "read" | "write", keys: readonly KvKey[]): void {
  for (const key of keys) {
    if (principal.rights.coversKey(right, encodeKey(key))) continue;
    throw new HttpError(403, "FORBIDDEN", `the access token may not ${right} one of these keys`);
  }
}

/** @throws HttpError 403. */
export function demandAdmin(principal: Principal): void {
  if (!principal.rights.isAdmin)
    throw new HttpError(403, "FORBIDDEN", "the access token has no admin right on the whole store");
}

/** Messages have no key: who enqueues may write the whole store. @throws HttpError 403. */
export function demandQueue({ rights }: Principal): void {
  if (rights.coversRange("write", { start: new Uint8Array(0), end: new Uint8Array([0xff]) })) return;
  throw new HttpError(
    403,
    "FORBIDDEN",
    "the access token may not enqueue: it needs write on the whole store",
  );
}

/** @throws HttpError 403. */
export function demandKey(principal: Principal, right: "read" | "write", key: Uint8Array): void {
  if (principal.rights.coversKey(right, key)) return;
  throw new HttpError(403, "FORBIDDEN", `The access token may not ${right} this key.`);
}
