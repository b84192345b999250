/**
 * Owns what the native API can do with the queue: store messages, and look after those that could not be delivered. Handling messages is for
 * programs that have the store open.
 */
import type { DeadLetter, KvEnqueueOptions } from "../../index.js";
import { LIST_BATCH_DEFAULT, LIST_BATCH_MAX } from "../../limits.js";
import type { Principal } from "../access.js";
import { demandAdmin, demandQueue } from "../demands.js";
import { badRequest } from "../http-error.js";
import type { Operation } from "./operation.js";
import { type Fields, fieldsOf, integerField, textField } from "./request-fields.js";

export const ENQUEUE_FIELDS = ["value", "delay", "backoffSchedule", "keysIfUndelivered"];

export const enqueue: Operation = (message, { kv, principal }) => {
  const { value, options } = enqueueOf(message, principal);
  return kv.enqueue(value, options);
};

/** A message and its options, if the token may enqueue. What the options hold is checked by the store. */
export function enqueueOf(
  message: unknown,
  principal: Principal,
): { readonly value: unknown; readonly options: KvEnqueueOptions } {
  const { value, ...options } = fieldsOf(message, ENQUEUE_FIELDS, "a message");
  if (!("value" in (message as object))) throw badRequest("value is missing");
  demandQueue(principal);
  return { value, options };
}

export const queueStats: Operation = (_, { kv, principal }) => {
  demandAdmin(principal);
  return kv.queueStats();
};

export const listDeadLetters: Operation = async (message, { kv, principal }) => {
  demandAdmin(principal);
  const fields = fieldsOf(message, ["limit", "after"]);
  const limit = integerField(fields, "limit", 1, LIST_BATCH_MAX) ?? LIST_BATCH_DEFAULT;
  const after = textField(fields, "after");
  const letters: DeadLetter[] = [];
  for await (const letter of kv.deadLetters.list({ limit, ...(after !== undefined && { after }) }))
    letters.push(letter);
  return { letters };
};

export const getDeadLetter: Operation = async (message, { kv, principal }) => {
  demandAdmin(principal);
  return { letter: await kv.deadLetters.get(idOf(fieldsOf(message, ["id"]))) };
};

export const requeueDeadLetter: Operation = async (message, { kv, principal }) => {
  demandAdmin(principal);
  const fields = fieldsOf(message, ["id", "delay"]);
  const delay = integerField(fields, "delay", 0, Number.MAX_SAFE_INTEGER);
  return { found: await kv.deadLetters.requeue(idOf(fields), delay === undefined ? {} : { delay }) };
};

export const deleteDeadLetter: Operation = async (message, { kv, principal }) => {
  demandAdmin(principal);
  return { found: await kv.deadLetters.delete(idOf(fieldsOf(message, ["id"]))) };
};

export const purgeDeadLetters: Operation = async (message, { kv, principal }) => {
  demandAdmin(principal);
  const fields = fieldsOf(message, ["diedBeforeMs"]);
  const diedBeforeMs = integerField(fields, "diedBeforeMs", 0, Number.MAX_SAFE_INTEGER);
  return { count: await kv.deadLetters.purge(diedBeforeMs === undefined ? {} : { diedBeforeMs }) };
};

function idOf(fields: Fields): string {
  const id = textField(fields, "id");
  if (id === undefined) throw badRequest("id is missing");
  return id;
}
