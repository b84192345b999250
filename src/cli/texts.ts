/**
 * Owns how keys and values are written on a command line and shown on a terminal.
 *
 * A key is a path (`users/42`, see wire/key-path.ts) or, where it begins with `[`, tagged JSON. A value is tagged JSON.
 */
import type { KvKey } from "../index.js";
import { KvTypeError } from "../index.js";
import { formatKeyPath, parseKeyPath } from "../wire/key-path.js";
import { decodeJson } from "../wire/message.js";
import { toTagged } from "../wire/tagged.js";
import { CommandError } from "./command-error.js";

/** @throws CommandError when it is none. */
export function parseKey(text: string): KvKey {
  return explained(`key ${text}`, () => {
    const key = text.startsWith("[") ? decodeJson(text) : parseKeyPath(text);
    if (!Array.isArray(key)) throw new KvTypeError("KV_INVALID_KEY", "a key in JSON is an array");
    return key as KvKey;
  });
}

/** @throws CommandError when it is no tagged JSON; it names the text by `what`. */
export function parseValue(text: string, what = `value ${text.slice(0, 60)}`): unknown {
  return explained(what, () => decodeJson(text));
}

/** A whole number of a range. @throws CommandError. */
export function parseInteger(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new CommandError(`${name} must be a whole number from ${min} to ${max}, found ${text}`);
}

/** One line of tagged JSON. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(toTagged(value))}\n`;
}

export function showKey(key: KvKey): string {
  return formatKeyPath(key);
}

/** Rows as columns that line up; the last one is cut to what is left of `columns`. */
export function table(rows: readonly (readonly string[])[], columns: number): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows
    .map((row) => {
      const line = row
        .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index]!)))
        .join("  ");
      return `${line.length > columns ? `${line.slice(0, columns - 1)}…` : line}\n`;
    })
    .join("");
}

function explained<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof KvTypeError)) throw cause;
    throw new CommandError(`${what}: ${cause.message}`);
  }
}
