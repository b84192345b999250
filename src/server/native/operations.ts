/**
 * Owns what the native API can do with entries: each operation takes a message and gives one. Rights are asked for before anything is read or
 * written.
 */
import { decodeKey, type KvKey } from "../../codec/key.js";
import {
  applyCursor,
  decodeCursor,
  encodeCursor,
  type KvListSelector,
  selectorRange,
} from "../../codec/key-range.js";
import type { KvU64 } from "../../codec/kv-u64.js";
import { decodeValue } from "../../codec/value.js";
import type {
  AtomicOperation,
  Kv,
  KvCommitError,
  KvCommitResult,
  KvSetKey,
  KvSetOptions,
} from "../../index.js";
import { LIST_BATCH_DEFAULT, LIST_BATCH_MAX, SERVER_PAGE_BYTES_MAX } from "../../limits.js";
import type { WireEntry, WirePage } from "../../wire/entries.js";
import type { Principal } from "../access.js";
import { clippedRead, isCutShort } from "../clipped-read.js";
import { demandAdmin, demandKeys } from "../demands.js";
import { badRequest } from "../http-error.js";
import type { Operation } from "./operation.js";
import { enqueueOf } from "./queue-operations.js";
import {
  type Fields,
  fieldsOf,
  flagField,
  integerField,
  keyField,
  listField,
  optionalKey,
  textField,
} from "./request-fields.js";

const MUTATION_FIELDS = ["type", "key", "value", "expireIn", "ifChanged", "versionstamped"];

export const get: Operation = (message, { kv, principal }) => {
  const key = keyField(fieldsOf(message, ["key"]), "key");
  demandKeys(principal, "read", [key]);
  return kv.get(key);
};

export const getMany: Operation = async (message, { kv, principal }) => {
  const keys = listField(fieldsOf(message, ["keys"]), "keys") as readonly KvKey[];
  demandKeys(principal, "read", keys);
  return { entries: await kv.getMany(keys as KvKey[]) };
};

export const set: Operation = (message, { kv, principal }) => {
  const fields = fieldsOf(
    message,
    MUTATION_FIELDS.filter((name) => name !== "type"),
  );
  if (!("value" in fields)) throw badRequest("value is missing");
  const key = keyField(fields, "key");
  demandKeys(principal, "write", [key]);
  return kv.set(setKey(kv, fields), fields["value"], setOptions(fields));
};

export const remove: Operation = async (message, { kv, principal }) => {
  const key = keyField(fieldsOf(message, ["key"]), "key");
  demandKeys(principal, "write", [key]);
  await kv.delete(key);
  return { ok: true };
};

export const atomic: Operation = (message, { kv, principal }): Promise<KvCommitResult | KvCommitError> => {
  const fields = fieldsOf(message, ["checks", "mutations", "enqueues"]);
  const operation = kv.atomic();
  for (const check of listField(fields, "checks", [])) {
    const checked = fieldsOf(check, ["key", "versionstamp"], "a check");
    const key = keyField(checked, "key");
    demandKeys(principal, "read", [key]);
    operation.check({ key, versionstamp: checked["versionstamp"] as string | null });
  }
  for (const mutation of listField(fields, "mutations", [])) addMutation(kv, operation, mutation, principal);
  for (const enqueue of listField(fields, "enqueues", [])) {
    const { value, options } = enqueueOf(enqueue, principal);
    operation.enqueue(value, options);
  }
  return operation.commit();
};

/** A page: at most `limit` entries, and no more once they have 8 MiB. */
export const list: Operation = async (message, { encoded, principal }): Promise<WirePage> => {
  const fields = fieldsOf(message, ["selector", "limit", "cursor", "reverse", "cursors"]);
  const selector = fieldsOf(fields["selector"], ["prefix", "start", "end"], "selector");
  const limit = integerField(fields, "limit", 1, LIST_BATCH_MAX) ?? LIST_BATCH_DEFAULT;
  const reverse = flagField(fields, "reverse") ?? false;
  const cursor = textField(fields, "cursor") ?? "";
  const whole = selectorRange(selectorOf(selector));
  const rest = cursor === "" ? whole : applyCursor(whole, decodeCursor(cursor, whole.cursorBase), reverse);
  const range = { start: rest.start, end: rest.end, limit, reverse, bytesMax: SERVER_PAGE_BYTES_MAX };
  const [entries = []] = await clippedRead(encoded, principal, [range]);
  const last = isCutShort(entries, range) ? entries.at(-1) : undefined;
  return {
    entries: entries.map(
      ({ key, value, encoding, versionstamp }): WireEntry => ({
        key: decodeKey(key),
        value: decodeValue(encoding, value),
        versionstamp,
      }),
    ),
    cursor: last === undefined ? "" : encodeCursor(last.key, whole.cursorBase),
    ...(flagField(fields, "cursors") === true && {
      cursors: entries.map(({ key }) => encodeCursor(key, whole.cursorBase)),
    }),
  };
};

export const stats: Operation = (_, { kv, principal }) => {
  demandAdmin(principal);
  return kv.stats();
};

export const history: Operation = (_, { kv, principal }) => {
  demandAdmin(principal);
  return kv.history();
};

function addMutation(kv: Kv, operation: AtomicOperation, mutation: unknown, principal: Principal): void {
  const fields = fieldsOf(mutation, MUTATION_FIELDS, "a mutation");
  const key = keyField(fields, "key");
  demandKeys(principal, "write", [key]);
  const { type, value } = fields;
  if (type === "set") {
    if (!("value" in fields)) throw badRequest("a mutation of type set needs a value");
    operation.set(setKey(kv, fields), value, setOptions(fields));
  } else if (type === "delete") operation.delete(key);
  else if (type === "sum" || type === "min" || type === "max") {
    operation.mutate({ type, key, value: value as KvU64 });
  } else throw badRequest("the type of a mutation must be set, delete, sum, min or max");
}

function setKey(kv: Kv, fields: Fields): KvSetKey {
  const key = keyField(fields, "key");
  return flagField(fields, "versionstamped") === true ? [...key, kv.commitVersionstamp()] : key;
}

function setOptions(fields: Fields): KvSetOptions {
  // What is too far away is the store's to say, after what it says first.
  const expireIn = integerField(fields, "expireIn", 0, Number.MAX_VALUE);
  const ifChanged = flagField(fields, "ifChanged");
  return { ...(expireIn !== undefined && { expireIn }), ...(ifChanged !== undefined && { ifChanged }) };
}

function selectorOf(fields: Fields): KvListSelector {
  const names = ["prefix", "start", "end"] as const;
  const given = names.filter((name) => fields[name] !== undefined);
  return Object.fromEntries(
    given.map((name) => [name, optionalKey(fields, name)]),
  ) as unknown as KvListSelector;
}
