/**
 * Owns the commands that look after the files of a store: verify, backup, restore, compact. They work on paths.
 */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { compactStore, type KvBackupOptions, restoreBackup, verifyStore } from "../index.js";
import { CommandError, ExitCode } from "./command-error.js";
import { examples } from "./flags.js";
import { Output, Progress } from "./output.js";
import { isAddress, openPath } from "./stores.js";
import { jsonLine } from "./texts.js";

interface Flags {
  readonly json?: boolean;
}

export function addCareCommands(program: Command): void {
  care(
    program,
    "verify <path>",
    "walk all that a closed store has on the disk; exits with 1 when something is wrong",
    async (path, flags) => {
      const report = await verifyStore(path);
      const found = report.problems.map(({ where, what }) => `${where}: ${what}\n`).join("");
      await new Output(true).write(
        flags.json === true ? jsonLine(report) : `${found}${report.ok ? "nothing is wrong\n" : ""}`,
      );
      if (!report.ok) throw new CommandError(`${path} is damaged`, ExitCode.failed);
    },
  );
  care(
    program,
    "compact <path>",
    "give the free pages of a closed store back to the file system",
    async (path, flags) => {
      const { bytesBefore, bytesAfter } = await compactStore(path);
      const text = `${bytesBefore} bytes before, ${bytesAfter} after\n`;
      await new Output(true).write(flags.json === true ? jsonLine({ bytesBefore, bytesAfter }) : text);
    },
  );
  copy(
    program,
    "backup <path> <target>",
    "copy a store that nobody else has open, and verify the copy",
    async (path, target, options) => {
      await using kv = await openPath(path, false);
      // Awaited here, or the store would be closed first.
      return await kv.backup(target, options);
    },
  );
  copy(program, "restore <backup> <target>", "make a store of a backup", restoreBackup);
}

function care(
  program: Command,
  usage: string,
  description: string,
  run: (path: string, flags: Flags) => Promise<void>,
): void {
  const command = program.command(usage).description(description).option("--json", "JSON, for programs");
  examples(command, `belfry ${usage.replace("<path>", "./data")}`);
  command.action((path: string, flags: Flags) => {
    demandPath(command, path);
    return run(path, flags);
  });
}

function copy(
  program: Command,
  usage: string,
  description: string,
  run: (
    from: string,
    to: string,
    options: KvBackupOptions,
  ) => Promise<{ readonly path: string; readonly bytes: number }>,
): void {
  const command = program.command(usage).description(description).option("--json", "JSON, for programs");
  examples(
    command,
    `belfry ${usage.replace("<path>", "./data").replace("<backup>", "./monday")}`.replace(
      "<target>",
      usage.startsWith("backup") ? "./monday" : "./copy",
    ),
  );
  command.action(async (from: string, to: string, flags: Flags) => {
    demandPath(command, from);
    demandPath(command, to, false);
    const progress = new Progress("bytes copied");
    const onProgress: KvBackupOptions["onProgress"] = ({ copiedBytes, totalBytes }) =>
      progress.reach(copiedBytes, totalBytes);
    const { path, bytes } = await run(from, to, { onProgress });
    progress.end();
    await new Output(true).write(
      flags.json === true ? jsonLine({ path, bytes }) : `${bytes} bytes, verified\n`,
    );
  });
}

/** @throws CommandError for an address, and for a path that does not exist. */
function demandPath(command: Command, path: string, mustExist = true): void {
  if (isAddress(path))
    throw new CommandError(
      `${command.name()} works on files: it needs the path of a store, on the machine where it is; found the address ${path}`,
    );
  if (mustExist && !existsSync(path)) throw new CommandError(`${path} does not exist`);
}
