/**
 * Owns the shape of a key as callers write it. Types only.
 */

/** One part of a key. Parts of different types sort in this order: bytes, string, bigint, number, false, true. */
export type KvKeyPart = Uint8Array | string | number | bigint | boolean;

/** A key: its parts, from the most to the least significant. */
export type KvKey = readonly KvKeyPart[];
