/**
 * Owns the command that says what is wrong with an installation, the place of a store, or the way to a server.
 */
import type { Command } from "commander";
import { CommandError, ExitCode } from "./command-error.js";
import { examineMachine } from "./examine-machine.js";
import { examineServer } from "./examine-server.js";
import { examineStore } from "./examine-store.js";
import type { Finding } from "./finding.js";
import { examples, type Shared, shared } from "./flags.js";
import { Output } from "./output.js";
import { isAddress } from "./stores.js";
import { jsonLine } from "./texts.js";

interface DoctorFlags extends Shared {
  readonly verify?: boolean;
}

export function addDoctorCommand(program: Command): void {
  const doctor = program
    .command("doctor [store]")
    .description(
      "look for what is wrong: with this machine, and a store's place or a server; exits with 1 when something is",
    )
    .option("--verify", "walk all that the store has on the disk, as `belfry verify` does");
  examples(
    shared(doctor),
    "belfry doctor",
    "belfry doctor ./data --verify",
    "belfry doctor http://127.0.0.1:4512 --json",
  ).action(async (store: string | undefined, flags: DoctorFlags) => {
    if (flags.verify === true && (store === undefined || isAddress(store)))
      throw new CommandError("--verify needs the path of a store");
    const findings = [
      ...(await examineMachine()),
      ...(store === undefined ? [] : await examine(store, flags)),
    ];
    const isWell = findings.every(({ state }) => state !== "failed");
    const output = new Output(flags.json === true);
    await output.write(output.isJson ? jsonLine({ ok: isWell, findings }) : findings.map(line).join(""));
    if (!isWell) throw new CommandError("something is wrong", ExitCode.failed);
  });
}

function examine(store: string, flags: DoctorFlags): Promise<Finding[]> {
  return isAddress(store)
    ? examineServer(store, flags.token ?? process.env["BELFRY_TOKEN"])
    : examineStore(store, flags.verify === true);
}

function line({ name, state, found, advice }: Finding): string {
  const indent = " ".repeat(9);
  return `${state.padEnd(9)}${name.padEnd(13)}${found}\n${advice === undefined ? "" : `${indent}${advice}\n`}`;
}
