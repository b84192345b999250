/**
 * Owns the shapes of messages that client and server both know. Types only.
 */
import type { KvKey } from "../codec/key-part.js";

/** An entry, or that there is none, as it travels. */
export interface WireEntry {
  readonly key: KvKey;
  readonly value: unknown;
  readonly versionstamp: string | null;
}

export interface WireMutation {
  readonly type: "set" | "delete" | "sum" | "min" | "max";
  readonly key: KvKey;
  readonly value?: unknown;
  readonly expireIn?: number;
  readonly ifChanged?: boolean;
  /** The commit's versionstamp becomes one more, last part of the key. */
  readonly versionstamped?: boolean;
}

export interface WireCheck {
  readonly key: KvKey;
  readonly versionstamp: string | null;
}

export interface WireEnqueue {
  readonly value: unknown;
  readonly delay?: number;
  readonly backoffSchedule?: readonly number[];
  readonly keysIfUndelivered?: readonly KvKey[];
}

export interface WireAtomic {
  readonly checks: readonly WireCheck[];
  readonly mutations: readonly WireMutation[];
  readonly enqueues?: readonly WireEnqueue[];
}

export interface WireList {
  readonly selector: { readonly prefix?: KvKey; readonly start?: KvKey; readonly end?: KvKey };
  readonly limit?: number;
  readonly cursor?: string;
  readonly reverse?: boolean;
}

/** A page of a list; an empty cursor: there is no more. */
export interface WirePage {
  readonly entries: readonly WireEntry[];
  readonly cursor: string;
  /** For each entry the cursor behind it, where they were asked for. */
  readonly cursors?: readonly string[];
}

/** The body of every answer that is no success. */
export interface WireError {
  readonly error: { readonly code: string; readonly message: string };
}
