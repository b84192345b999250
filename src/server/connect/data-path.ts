/**
 * Owns KV Connect's reads and writes: from its messages to the store and back. Keys and values pass as they are encoded.
 */
import { decodeKey, type KvKey } from "../../codec/key.js";
import { decodeValue } from "../../codec/value.js";
import { KvCorruptError } from "../../errors.js";
import type {
  EncodedKv,
  KvEncodedEnqueue,
  KvEncodedEntry,
  KvEncodedMutation,
  KvEncodedRange,
} from "../../index.js";
import { CONNECT_ENTRIES_MAX } from "../../limits.js";
import type { Principal } from "../access.js";
import { clippedRead } from "../clipped-read.js";
import { demandKey, demandQueue } from "../demands.js";
import { badRequest } from "../http-error.js";
import {
  type ConnectCheck,
  type ConnectEnqueue,
  type ConnectMutation,
  MutationType,
  readAtomicWrite,
  readSnapshotRead,
  versionstampBytes,
  writeCheckFailure,
  writeCommitted,
  writeSnapshotReadOutput,
} from "./messages.js";

const ENCODING_V8 = 1;
const ENCODING_U64 = 2;
const VERSIONSTAMP_BYTES = 10;
const ARITHMETIC: Readonly<Record<number, "sum" | "min" | "max">> = {
  [MutationType.sum]: "sum",
  [MutationType.min]: "min",
  [MutationType.max]: "max",
};

/** Answers a read. All ranges are read at one moment, clipped to what may be read. */
export async function snapshotRead(
  kv: EncodedKv,
  principal: Principal,
  body: Uint8Array,
  version: number,
): Promise<Uint8Array> {
  const ranges = readSnapshotRead(body);
  let total = 0;
  for (const { limit } of ranges) {
    if (limit < 1) throw badRequest("The read range limit of the snapshot read request is invalid.");
    total += limit;
  }
  if (total > CONNECT_ENTRIES_MAX) {
    throw badRequest(
      "The total number of entries requested across read ranges in the read request is too large.",
    );
  }
  const found: KvEncodedEntry[][] = await clippedRead(kv, principal, ranges satisfies KvEncodedRange[]);
  return writeSnapshotReadOutput(found, version);
}

/** Answers a write. */
export async function atomicWrite(
  kv: EncodedKv,
  principal: Principal,
  body: Uint8Array,
): Promise<Uint8Array> {
  const { checks, mutations, enqueues } = readAtomicWrite(body);
  if (enqueues.length > 0) demandQueue(principal);
  for (const { key } of checks) demandKey(principal, "read", key);
  for (const { key } of mutations) demandKey(principal, "write", key);
  const result = await kv.commit({
    checks: checks.map(({ key, versionstamp }) => ({
      key,
      versionstamp: checkedStamp({ key, versionstamp }),
    })),
    mutations: mutations.map(encodedMutation),
    enqueues: enqueues.map(encodedEnqueue),
  });
  return result.ok
    ? writeCommitted(versionstampBytes(result.versionstamp))
    : writeCheckFailure(result.failedChecks.map(({ index }) => index));
}

/** The payload is V8's clone, whatever an encoding says; the deadline is a moment of the client's clock. */
function encodedEnqueue({
  payload,
  deadlineMs,
  keysIfUndelivered,
  backoffSchedule,
}: ConnectEnqueue): KvEncodedEnqueue {
  return {
    value: payload,
    encoding: ENCODING_V8,
    delay: Math.max(0, deadlineMs - Date.now()),
    keysIfUndelivered: keysIfUndelivered.map((key) => decodeClientKey(key)),
    ...(backoffSchedule.length > 0 && { backoffSchedule }),
  };
}

function decodeClientKey(key: Uint8Array): KvKey {
  try {
    return decodeKey(key);
  } catch (cause) {
    if (cause instanceof KvCorruptError) throw badRequest(`Invalid key: ${cause.message}.`);
    throw cause;
  }
}

function checkedStamp({ versionstamp }: ConnectCheck): string | null {
  if (versionstamp.length === 0) return null;
  if (versionstamp.length !== VERSIONSTAMP_BYTES) throw badRequest("Invalid versionstamp.");
  return Buffer.from(versionstamp).toString("hex");
}

function encodedMutation(mutation: ConnectMutation): KvEncodedMutation {
  const { key, type, value } = mutation;
  if (type === MutationType.delete) return { type: "delete", key };
  if (value === null) throw badRequest("Invalid mutation kind or arguments.");
  if (type === MutationType.set || type === MutationType.setSuffixVersionstampedKey) {
    const { data, encoding } = value;
    if (encoding < 1 || encoding > 3) throw badRequest(`The value encoding ${encoding} is unknown.`);
    const isVersionstamped = type === MutationType.setSuffixVersionstampedKey;
    return { type: "set", key, value: data, encoding, versionstamped: isVersionstamped, ...expiry(mutation) };
  }
  const name = ARITHMETIC[type];
  if (name === undefined) throw badRequest("Invalid mutation kind or arguments.");
  if (value.encoding !== ENCODING_U64 || mutation.hasClamp) {
    throw badRequest(`Failed to perform '${name}' mutation on a non-U64 operand`);
  }
  if (value.data.length !== 8) throw badRequest("Invalid mutation kind or arguments.");
  return { type: name, key, value: (decodeValue(ENCODING_U64, value.data) as { value: bigint }).value };
}

/** 0 and -1 are "never". */
function expiry({ expireAtMs }: ConnectMutation): { expireAtMs?: number } {
  if (expireAtMs < -1) throw badRequest("Invalid mutation expire at.");
  return expireAtMs > 0 ? { expireAtMs } : {};
}
