/**
 * Owns what the command lines of the bench have in common: a wrong one is told apart from a failure, and numbers have bounds.
 */
import { parseArgs } from "node:util";

/** Exit code of a program that was called wrongly. */
export const EXIT_MISUSE = 2;

/** The command line is wrong; nothing was done. */
export class CommandLineError extends Error {
  override readonly name = "CommandLineError";
}

/** One flag, as `parseArgs` of node:util describes it. */
interface Flag {
  readonly type: "string" | "boolean";
  readonly short?: string;
  readonly default?: string | boolean;
}

type FlagValue<F extends Flag> =
  | (F["type"] extends "boolean" ? boolean : string)
  | (F extends { readonly default: unknown } ? never : undefined);

/**
 * The flags of a command line that takes no other arguments.
 *
 * @throws CommandLineError with what is wrong.
 */
export function parseFlags<const T extends Readonly<Record<string, Flag>>>(
  args: readonly string[],
  options: T,
): { readonly [K in keyof T]: FlagValue<T[K]> } {
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
    return values as unknown as { readonly [K in keyof T]: FlagValue<T[K]> };
  } catch (error) {
    throw new CommandLineError((error as Error).message);
  }
}

/** A flag's number, within its bounds. */
export function numberFlag(
  name: string,
  text: string,
  bounds: { readonly min: number; readonly max: number; readonly integer: boolean },
): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  const isWithin = value >= bounds.min && value <= bounds.max;
  if (isWithin && (!bounds.integer || Number.isInteger(value))) return value;
  const kind = bounds.integer ? "an integer" : "a number";
  throw new CommandLineError(
    `--${name} must be ${kind} from ${bounds.min} to ${bounds.max}: received ${text}`,
  );
}

/** A flag's word, one of those allowed. */
export function wordFlag<T extends string>(name: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === text);
  if (found !== undefined) return found;
  throw new CommandLineError(`--${name} must be ${allowed.join(" or ")}: received ${text}`);
}
