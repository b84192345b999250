/**
 * Owns the reading of a request's message: each field is checked for what it is, and a wrong one is named.
 */
import type { KvKey } from "../../codec/key-part.js";
import { badRequest } from "../http-error.js";

export type Fields = Readonly<Record<string, unknown>>;

/** The message as an object that has no other fields than these. @throws HttpError 400. */
export function fieldsOf(message: unknown, allowed: readonly string[], where = "the request"): Fields {
  const isObject =
    typeof message === "object" && message !== null && Object.getPrototypeOf(message) === Object.prototype;
  if (!isObject) throw badRequest(`${where} must be an object with ${allowed.join(", ")}`);
  const unknown = Object.keys(message).find((name) => !allowed.includes(name));
  if (unknown !== undefined) {
    throw badRequest(
      `${where} has no field ${JSON.stringify(unknown.slice(0, 40))}, only ${allowed.join(", ")}`,
    );
  }
  return message as Fields;
}

export function keyField(fields: Fields, name: string): KvKey {
  const key = fields[name];
  if (!Array.isArray(key)) throw badRequest(`${name} must be a key, an array of parts`);
  return key as KvKey;
}

export function optionalKey(fields: Fields, name: string): KvKey | undefined {
  return fields[name] === undefined ? undefined : keyField(fields, name);
}

export function listField(fields: Fields, name: string, fallback?: readonly unknown[]): readonly unknown[] {
  const list = fields[name] ?? fallback;
  if (!Array.isArray(list)) throw badRequest(`${name} must be an array`);
  return list;
}

/** A whole number of the range, or `undefined` where there is none. */
export function integerField(fields: Fields, name: string, min: number, max: number): number | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw badRequest(`${name} must be a whole number from ${min} to ${max}`);
}

export function flagField(fields: Fields, name: string): boolean | undefined {
  const value = fields[name];
  if (value === undefined || typeof value === "boolean") return value;
  throw badRequest(`${name} must be true or false`);
}

export function textField(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || typeof value === "string") return value;
  throw badRequest(`${name} must be a text`);
}
