/**
 * Owns the program `belfry` as a whole: its commands, its help, and what becomes of an error.
 */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { KvError, KvRangeError, KvTypeError } from "../index.js";
import { addBenchCommand } from "./bench-command.js";
import { addCareCommands } from "./care-commands.js";
import { CommandError, ExitCode } from "./command-error.js";
import { addDoctorCommand } from "./doctor-command.js";
import { addEntryCommands } from "./entry-commands.js";
import { addFollowCommands } from "./follow-commands.js";
import { addQueueCommands } from "./queue-commands.js";
import { addStoreCommands } from "./store-commands.js";

const EXAMPLES = `
A <store> is a path or the address of a server. A key is a path, or tagged JSON that begins with [:
  users/42              ["users", 42]          7n, -1.5, true, 0x00ff   bigint, number, boolean, bytes
  users/"42"/a%2Fb      ["users", "42", "a/b"]  '["a", {"$bytes": "AP8="}]'
A value is tagged JSON: {"n": 1}, {"$bigint": "7"}, {"$bytes": "AP8="}, {"$date": 0}, {"$u64": "1"}.

Examples:
  belfry serve ./data                            a Deno program: Deno.openKv("http://127.0.0.1:4512")
  belfry set ./data users/42 '{"name": "Ada"}'
  belfry list http://127.0.0.1:4512 users
  belfry changes http://127.0.0.1:4512 users --since earliest --json
  belfry export ./data | belfry import ./copy
  belfry backup ./data ./monday && belfry verify ./monday
  belfry doctor ./data                           what is wrong here?

Exit codes: 0 done, 1 failed, 2 called wrongly, 3 no such entry.`;

/** Runs the program, and gives its exit code. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  const program = new Command("belfry")
    .description("look into a Belfry store, change it, follow it, serve it")
    .version((createRequire(import.meta.url)("belfry/package.json") as { version: string }).version)
    .addHelpText("after", EXAMPLES)
    .showSuggestionAfterError()
    .showHelpAfterError("(belfry --help tells more)")
    .exitOverride();
  addEntryCommands(program);
  addFollowCommands(program);
  addQueueCommands(program);
  addStoreCommands(program);
  addCareCommands(program);
  addDoctorCommand(program);
  addBenchCommand(program);
  for (const command of program.commands) explainMistakes(command, `belfry ${command.name()}`);
  try {
    await program.parseAsync(args, { from: "user" });
    return ExitCode.done;
  } catch (error) {
    return explain(error);
  }
}

/** Commander hands no setting of this kind down by itself to commands that stand already. */
function explainMistakes(command: Command, call: string): void {
  command.exitOverride().showHelpAfterError(`(${call} --help tells more)`);
  for (const inner of command.commands) explainMistakes(inner, `${call} ${inner.name()}`);
}

function explain(error: unknown): ExitCode {
  // Commander has said what is wrong; asking for help is no error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.misuse;
  process.stderr.write(`belfry: ${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof CommandError) return error.exitCode;
  if (error instanceof KvTypeError || error instanceof KvRangeError) return ExitCode.misuse;
  if (!(error instanceof KvError) && process.env["BELFRY_DEBUG"] !== undefined) console.error(error);
  return ExitCode.failed;
}
