/**
 * Owns what the commands have in common: the flags of all that work on a store, and how examples stand in their help.
 */
import type { Command } from "commander";
import type { StoreOptions } from "./stores.js";

export interface Shared extends StoreOptions {
  readonly json?: boolean;
}

/** Gives a command the flags of those that work on a path and on an address. */
export function shared(command: Command): Command {
  return command
    .option("--json", "lines of tagged JSON, for programs")
    .option("--token <token>", "access token for an address; better in the environment, as BELFRY_TOKEN");
}

/** Ends a command's help with lines that can be typed. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`);
}
