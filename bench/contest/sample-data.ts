/**
 * Owns the keys and values of the contest, the same for every store. Pure, but that no two values are alike.
 */
import type { BenchKey } from "./peer.js";

/** Keys over which writes and reads are spread. */
export const KEY_COUNT = 10_000;

/** A key of three parts; numbers beyond {@link KEY_COUNT} come around again. */
export function sampleKey(number: number): BenchKey {
  return ["users", number % KEY_COUNT, "profile"];
}

/** Every key once, in an order that no cache could guess. */
export function scrambledKey(number: number): BenchKey {
  return sampleKey((number * 7919) % KEY_COUNT);
}

let serial = 0;

/** A plain object of about 100 bytes when it is stored; another one each time, since SQLite does not write what is there already. */
export function sampleValue(number: number): object {
  return { id: number, name: "Ada Lovelace", mail: "ada@example.org", active: true, score: serial++ + 0.5 };
}

/** A value that says when it was written, for watchers that are asked how old it is. */
export function stampedValue(atMs: number): { atMs: number; name: string; mail: string; active: boolean } {
  return { atMs, name: "Ada Lovelace", mail: "ada@example.org", active: true };
}

/** Bytes that neither compress nor repeat, of any length. */
export function sampleBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 0x9e3779b9;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** A key as text that sorts as the parts do, for stores with flat keys. Numbers are integers from 0. */
export function flatKey(key: BenchKey): string {
  let text = "";
  for (const part of key) text += `${typeof part === "number" ? String(part).padStart(9, "0") : part}/`;
  return text;
}
