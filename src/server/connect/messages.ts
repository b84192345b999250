/**
 * Owns the messages of KV Connect's data path, as protocol buffers (`com.deno.kv.datapath`), as far as a server reads and writes them.
 *
 * Pure functions. Invariants: what is read is complete or refused; unknown fields are skipped, as the format demands. No list grows beyond what
 * any store takes: a part of a list takes two bytes of a body, and an object here.
 *
 * @see Source: Deno's KV Connect protocol, versions 1 to 3.
 */
import { PbfReader, PbfWriter } from "pbf";
import type { KvEncodedEntry } from "../../index.js";
import {
  CHECKS_MAX,
  CONNECT_RANGES_MAX,
  CONNECT_WATCH_KEYS_MAX,
  MUTATIONS_MAX,
  QUEUE_BACKOFF_INTERVALS_MAX,
  QUEUE_UNDELIVERED_KEYS_MAX,
} from "../../limits.js";
import { badRequest, HttpError } from "../http-error.js";

export interface ReadRange {
  start: Uint8Array;
  end: Uint8Array;
  limit: number;
  reverse: boolean;
}

export interface ConnectCheck {
  key: Uint8Array;
  /** Empty: there must be no entry. */
  versionstamp: Uint8Array;
}

export interface ConnectMutation {
  key: Uint8Array;
  value: { data: Uint8Array; encoding: number } | null;
  type: number;
  expireAtMs: number;
  hasClamp: boolean;
}

export interface ConnectEnqueue {
  payload: Uint8Array;
  deadlineMs: number;
  keysIfUndelivered: Uint8Array[];
  backoffSchedule: number[];
}

export interface AtomicWrite {
  checks: ConnectCheck[];
  mutations: ConnectMutation[];
  enqueues: ConnectEnqueue[];
}

/** Mutation types. */
export const MutationType = {
  set: 1,
  delete: 2,
  sum: 3,
  max: 4,
  min: 5,
  setSuffixVersionstampedKey: 9,
} as const;

const READ_SUCCESS = 1;
const WRITE_SUCCESS = 1;
const WRITE_CHECK_FAILURE = 2;
const NOTHING: Uint8Array = new Uint8Array(0);

/** @throws HttpError 400. */
export function readSnapshotRead(bytes: Uint8Array): ReadRange[] {
  return readAll(bytes, [] as ReadRange[], (tag, ranges, reader) => {
    if (tag !== 1) return;
    if (ranges.length === CONNECT_RANGES_MAX)
      throw badRequest("Too many read ranges requested in one read request.");
    const range: ReadRange = { start: NOTHING, end: NOTHING, limit: 0, reverse: false };
    ranges.push(
      nested(reader, range, (field) => {
        if (field === 1) range.start = reader.readBytes();
        else if (field === 2) range.end = reader.readBytes();
        else if (field === 3) range.limit = reader.readVarint(true);
        else if (field === 4) range.reverse = reader.readBoolean();
      }),
    );
  });
}

/** @throws HttpError 400. */
export function readAtomicWrite(bytes: Uint8Array): AtomicWrite {
  const write: AtomicWrite = { checks: [], mutations: [], enqueues: [] };
  return readAll(bytes, write, (tag, _, reader) => {
    if (write.checks.length > CHECKS_MAX) throw badRequest("Too many checks included in atomic write.");
    if (write.mutations.length + write.enqueues.length > MUTATIONS_MAX)
      throw badRequest("Too many mutations / enqueues included in atomic write.");
    if (tag === 1) write.checks.push(readCheck(reader));
    else if (tag === 2) write.mutations.push(readMutation(reader));
    else if (tag === 3) write.enqueues.push(readEnqueue(reader));
  });
}

/** The keys of a watch. @throws HttpError 400. */
export function readWatch(bytes: Uint8Array): Uint8Array[] {
  return readAll(bytes, [] as Uint8Array[], (tag, keys, reader) => {
    if (tag !== 1) return;
    if (keys.length === CONNECT_WATCH_KEYS_MAX)
      throw badRequest("Too many keys watched in a single watch request.");
    const watched: { key: Uint8Array } = { key: NOTHING };
    nested(reader, watched, (field) => {
      if (field === 1) watched.key = reader.readBytes();
    });
    keys.push(watched.key);
  });
}

/** The answer to a read: the entries of each range. */
export function writeSnapshotReadOutput(
  ranges: readonly (readonly KvEncodedEntry[])[],
  version: number,
): Uint8Array {
  const writer = new PbfWriter();
  for (const entries of ranges) {
    writer.writeMessage(
      1,
      (found: readonly KvEncodedEntry[], inner) => {
        for (const entry of found) inner.writeMessage(1, writeEntry, entry);
      },
      entries,
    );
  }
  if (version >= 2) writer.writeBooleanField(4, true);
  if (version >= 3) writer.writeVarintField(8, READ_SUCCESS);
  return writer.finish();
}

export function writeCommitted(versionstamp: Uint8Array): Uint8Array {
  const writer = new PbfWriter();
  writer.writeVarintField(1, WRITE_SUCCESS);
  writer.writeBytesField(2, versionstamp);
  return writer.finish();
}

/** `failed` are the places of the checks that did not hold, from 0. */
export function writeCheckFailure(failed: readonly number[]): Uint8Array {
  const writer = new PbfWriter();
  writer.writeVarintField(1, WRITE_CHECK_FAILURE);
  writer.writePackedVarint(4, [...failed]);
  return writer.finish();
}

/** One message of a watch: for each key what is there now, or that it is as it was. */
export function writeWatchOutput(
  keys: readonly { readonly isChanged: boolean; readonly entry: KvEncodedEntry | null }[],
): Uint8Array {
  const writer = new PbfWriter();
  writer.writeVarintField(1, READ_SUCCESS);
  for (const key of keys) {
    writer.writeMessage(
      2,
      (state: (typeof keys)[number], inner) => {
        if (!state.isChanged) return;
        inner.writeBooleanField(1, true);
        if (state.entry !== null) inner.writeMessage(2, writeEntry, state.entry);
      },
      key,
    );
  }
  return writer.finish();
}

/** A versionstamp's text as its bytes. */
export function versionstampBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}

function writeEntry(entry: KvEncodedEntry, writer: PbfWriter): void {
  writer.writeBytesField(1, entry.key);
  writer.writeBytesField(2, entry.value);
  writer.writeVarintField(3, entry.encoding);
  writer.writeBytesField(4, versionstampBytes(entry.versionstamp));
}

function readCheck(reader: PbfReader): ConnectCheck {
  const check: ConnectCheck = { key: NOTHING, versionstamp: NOTHING };
  return nested(reader, check, (field) => {
    if (field === 1) check.key = reader.readBytes();
    else if (field === 2) check.versionstamp = reader.readBytes();
  });
}

function readMutation(reader: PbfReader): ConnectMutation {
  const mutation: ConnectMutation = { key: NOTHING, value: null, type: 0, expireAtMs: 0, hasClamp: false };
  return nested(reader, mutation, (field) => {
    if (field === 1) mutation.key = reader.readBytes();
    else if (field === 2) mutation.value = readValue(reader);
    else if (field === 3) mutation.type = reader.readVarint();
    else if (field === 4) mutation.expireAtMs = reader.readVarint(true);
    else if (field === 5 || field === 6) mutation.hasClamp ||= reader.readBytes().length > 0;
    else if (field === 7) mutation.hasClamp ||= reader.readBoolean();
  });
}

function readValue(reader: PbfReader): { data: Uint8Array; encoding: number } {
  const value: { data: Uint8Array; encoding: number } = { data: NOTHING, encoding: 0 };
  return nested(reader, value, (field) => {
    if (field === 1) value.data = reader.readBytes();
    else if (field === 2) value.encoding = reader.readVarint();
  });
}

function readEnqueue(reader: PbfReader): ConnectEnqueue {
  const enqueue: ConnectEnqueue = {
    payload: NOTHING,
    deadlineMs: 0,
    keysIfUndelivered: [],
    backoffSchedule: [],
  };
  return nested(reader, enqueue, (field) => {
    if (field === 1) enqueue.payload = reader.readBytes();
    else if (field === 2) enqueue.deadlineMs = reader.readVarint(true);
    else if (field === 3) readUndeliveredKey(reader, enqueue.keysIfUndelivered);
    else if (field === 4) readBackoff(reader, enqueue.backoffSchedule);
  });
}

function readUndeliveredKey(reader: PbfReader, keys: Uint8Array[]): void {
  if (keys.length === QUEUE_UNDELIVERED_KEYS_MAX)
    throw badRequest("Too many dead letter keys for a single queue message.");
  keys.push(reader.readBytes());
}

/** Packed or not. */
function readBackoff(reader: PbfReader, schedule: number[]): void {
  for (const end = reader.readPackedEnd(); reader.pos < end; schedule.push(reader.readVarint())) {
    if (schedule.length === QUEUE_BACKOFF_INTERVALS_MAX)
      throw badRequest("Too many backoff intervals for a single queue message.");
  }
}

function readAll<T>(
  bytes: Uint8Array,
  result: T,
  readField: (tag: number, result: T, reader: PbfReader) => void,
): T {
  try {
    // A plain copy: the reader hands out views, and what they view must not be one of Node's pooled buffers.
    const reader = new PbfReader(new Uint8Array(bytes));
    reader.readFields(readField, result);
    if (reader.pos !== bytes.length) throw new RangeError("a field passes the end");
    return result;
  } catch (cause) {
    if (cause instanceof HttpError) throw cause;
    throw badRequest(`Request protobuf is invalid: ${(cause as Error).message}.`);
  }
}

/** A message within a message, which must end where it says. */
function nested<T>(reader: PbfReader, result: T, readField: (field: number) => void): T {
  const length = reader.readVarint();
  const end = reader.pos + length;
  if (end > reader.length) throw new RangeError("a message passes the end");
  reader.readFields((field) => readField(field), result, end);
  if (reader.pos !== end) throw new RangeError("a field passes the end of its message");
  return result;
}
