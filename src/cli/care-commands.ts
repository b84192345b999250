/**
 * Owns the commands that look after the files of a store: verify, backup, restore, compact. They work on paths.
 */
import type { Command } from "commander";
import { compactStore, type KvBackupOptions, restoreBackup, verifyStore } from "../index.js";
import { CommandError, ExitCode } from "./command-error.js";
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
  command.action((path: string, flags: Flags) => {
    demandPath(path);
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
  command.action(async (from: string, to: string, flags: Flags) => {
    demandPath(from);
    const progress = new Progress("copying");
    let shown = 0;
    const onProgress: KvBackupOptions["onProgress"] = ({ copiedBytes }) => {
      progress.add(copiedBytes - shown);
      shown = copiedBytes;
    };
    const { path, bytes } = await run(from, to, { onProgress });
    progress.end();
    await new Output(true).write(
      flags.json === true ? jsonLine({ path, bytes }) : `${bytes} bytes, verified\n`,
    );
  });
}

function demandPath(path: string): void {
  if (isAddress(path)) throw new CommandError(`this needs the path of a store, found ${path}`);
}
