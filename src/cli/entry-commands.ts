/**
 * Owns the commands that read and write entries: get, set, delete, list, count, watch, changes, import, export.
 */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Command } from "commander";
import { type ChangesOptions, Kv, type KvEntry, type KvKey, type KvListSelector } from "../index.js";
import { CommandError, ExitCode } from "./command-error.js";
import { Output, Progress } from "./output.js";
import { type AnyKv, type StoreOptions, withStore } from "./stores.js";
import { jsonLine, parseInteger, parseKey, parseValue, showKey, table } from "./texts.js";

interface Shared extends StoreOptions {
  readonly json?: boolean;
}

interface ListFlags extends Shared {
  readonly start?: string;
  readonly end?: string;
  readonly limit?: string;
  readonly reverse?: boolean;
}

const IMPORT_BATCH = 200;
const ROWS_SHOWN_AT_ONCE = 200;

export function addEntryCommands(program: Command): void {
  addSingle(program);
  addLists(program);
  addStreams(program);
  addTransfers(program);
}

function addSingle(program: Command): void {
  shared(program.command("get <store> <key>").description("the value under a key, as tagged JSON")).action(
    (store: string, path: string, flags: Shared) =>
      withStore(store, flags, async (kv) => {
        const entry = await kv.get(parseKey(path));
        if (entry.versionstamp === null)
          throw new CommandError(`there is no entry under ${path}`, ExitCode.notFound);
        await new Output(flags.json === true).write(jsonLine(flags.json === true ? entry : entry.value));
      }),
  );
  shared(
    program
      .command("set <store> <key> <value>")
      .description("set a key to a value in tagged JSON; - reads it from stdin")
      .option("--expire-in <ms>", "milliseconds that the entry lives"),
  ).action((store: string, path: string, text: string, flags: Shared & { expireIn?: string }) => {
    const expireIn =
      flags.expireIn === undefined
        ? undefined
        : parseInteger("--expire-in", flags.expireIn, 0, Number.MAX_SAFE_INTEGER);
    return withStore(
      store,
      flags,
      async (kv) => {
        const value = parseValue(text === "-" ? await readStdin() : text);
        const result = await kv.set(parseKey(path), value, expireIn === undefined ? {} : { expireIn });
        await new Output(flags.json === true).write(
          flags.json === true ? jsonLine(result) : `${result.versionstamp}\n`,
        );
      },
      true,
    );
  });
  shared(program.command("delete <store> <key>").alias("del").description("delete a key")).action(
    (store: string, path: string, flags: Shared) =>
      withStore(store, flags, (kv) => kv.delete(parseKey(path))),
  );
}

function addLists(program: Command): void {
  const list = program
    .command("list <store> [prefix]")
    .alias("ls")
    .description("the entries below a prefix; without one, all")
    .option("--limit <n>", "entries at most");
  ranged(shared(list)).action((store: string, prefix: string | undefined, flags: ListFlags) =>
    withStore(store, flags, (kv) => showEntries(kv, selectorOf(prefix, flags), flags)),
  );
  ranged(shared(program.command("count <store> [prefix]").description("how many entries there are"))).action(
    (store: string, prefix: string | undefined, flags: ListFlags) =>
      withStore(store, flags, async (kv) => {
        const progress = new Progress("counting");
        for await (const _ of entriesOf(kv, selectorOf(prefix, flags), { batchSize: 1000 })) progress.add(1);
        const count = progress.end();
        await new Output(flags.json === true).write(flags.json === true ? jsonLine({ count }) : `${count}\n`);
      }),
  );
}

function addStreams(program: Command): void {
  shared(
    program
      .command("watch <store> <keys...>")
      .description("the states of some keys, a line each time one has changed"),
  ).action((store: string, paths: string[], flags: Shared) =>
    withStore(store, flags, async (kv) => {
      const output = new Output(flags.json === true);
      const states = kv.watch(paths.map(parseKey)) as ReadableStream<unknown[]>;
      for await (const entries of states as unknown as AsyncIterable<KvEntry<unknown>[]>) {
        await output.write(jsonLine(flags.json === true ? entries : entries.map(({ value }) => value)));
      }
    }),
  );
  shared(
    program
      .command("changes <store> [prefix]")
      .alias("tail")
      .description("every change below a prefix, from now on or since a position")
      .option("--since <position>", 'a versionstamp, the position of a change, or "earliest"')
      .option("--initial", "begin with the state")
      .option("--limit <n>", "end after so many"),
  ).action(
    (
      store: string,
      prefix: string | undefined,
      flags: Shared & { since?: string; initial?: boolean; limit?: string },
    ) => withStore(store, flags, (kv) => showChanges(kv, parseKey(prefix ?? ""), flags)),
  );
}

function addTransfers(program: Command): void {
  ranged(
    shared(
      program
        .command("export <store> [prefix]")
        .description("entries as lines of JSON, one an entry, on stdout"),
    ),
  ).action((store: string, prefix: string | undefined, flags: ListFlags) =>
    withStore(store, flags, async (kv) => {
      const output = new Output(true);
      const progress = new Progress("exporting");
      for await (const { key, value } of entriesOf(kv, selectorOf(prefix, flags), { batchSize: 500 })) {
        await output.write(jsonLine({ key, value }));
        progress.add(1);
      }
      progress.end();
    }),
  );
  shared(
    program
      .command("import <store> [file]")
      .description("entries from lines of JSON, as export writes them; default: stdin"),
  ).action((store: string, file: string | undefined, flags: Shared) =>
    withStore(
      store,
      flags,
      async (kv) => {
        const count = await importLines(kv, file);
        await new Output(flags.json === true).write(
          flags.json === true ? jsonLine({ count }) : `${count} entries\n`,
        );
      },
      true,
    ),
  );
}

function shared(command: Command): Command {
  return command
    .option("--json", "lines of tagged JSON, for programs")
    .option("--token <token>", "access token for an address; better in the environment, as BELFRY_TOKEN");
}

function ranged(command: Command): Command {
  return command
    .option("--start <key>", "first key")
    .option("--end <key>", "key to end before")
    .option("--reverse", "from the last to the first");
}

function selectorOf(prefix: string | undefined, { start, end }: ListFlags): KvListSelector {
  const selector = {
    ...((prefix !== undefined || start === undefined || end === undefined) && {
      prefix: parseKey(prefix ?? ""),
    }),
    ...(start !== undefined && { start: parseKey(start) }),
    ...(end !== undefined && { end: parseKey(end) }),
  };
  return selector as unknown as KvListSelector;
}

function entriesOf(
  kv: AnyKv,
  selector: KvListSelector,
  options: { readonly limit?: number; readonly reverse?: boolean; readonly batchSize?: number },
): AsyncIterable<KvEntry<unknown>> {
  return kv.list(selector, options);
}

async function showEntries(kv: AnyKv, selector: KvListSelector, flags: ListFlags): Promise<void> {
  const output = new Output(flags.json === true);
  const options = {
    reverse: flags.reverse === true,
    ...(flags.limit !== undefined && {
      limit: parseInteger("--limit", flags.limit, 1, Number.MAX_SAFE_INTEGER),
    }),
  };
  let rows: string[][] = [];
  for await (const entry of entriesOf(kv, selector, options)) {
    if (output.isJson) await output.write(jsonLine(entry));
    else rows.push([showKey(entry.key), jsonLine(entry.value).trimEnd()]);
    if (rows.length < ROWS_SHOWN_AT_ONCE) continue;
    await output.write(table(rows, output.columns));
    rows = [];
  }
  await output.write(table(rows, output.columns));
}

async function showChanges(
  kv: AnyKv,
  prefix: KvKey,
  flags: Shared & { since?: string; initial?: boolean; limit?: string },
): Promise<void> {
  const output = new Output(flags.json === true);
  let left =
    flags.limit === undefined
      ? Number.POSITIVE_INFINITY
      : parseInteger("--limit", flags.limit, 1, Number.MAX_SAFE_INTEGER);
  const options: ChangesOptions = {
    ...(flags.since !== undefined && { since: flags.since }),
    ...(flags.initial === true && { initial: true }),
  };
  const feed = kv instanceof Kv ? kv.changes({ prefix }, options) : kv.changes({ prefix }, options);
  for await (const event of feed) {
    if (event.type === "progress") continue;
    if (output.isJson) await output.write(jsonLine(event));
    else if (event.type === "lagged")
      await output.write(`${event.position}  lagged  ${event.count ?? "unknown"}\n`);
    else {
      const row = [event.position, event.type, showKey(event.key), jsonLine(event.value).trimEnd()];
      await output.write(table([row], output.columns));
    }
    if (--left === 0) return;
  }
}

async function importLines(kv: AnyKv, file: string | undefined): Promise<number> {
  const input = file === undefined || file === "-" ? process.stdin : createReadStream(file);
  const progress = new Progress("importing");
  let batch: { key: KvKey; value: unknown }[] = [];
  let number = 0;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    await Promise.all(batch.map(({ key, value }) => kv.set(key, value)));
    progress.add(batch.length);
    batch = [];
  };
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (line.trim() === "") continue;
    batch.push(importedEntry(line, number));
    if (batch.length >= IMPORT_BATCH) await flush();
  }
  await flush();
  return progress.end();
}

function importedEntry(line: string, number: number): { key: KvKey; value: unknown } {
  const entry = parseValue(line) as { key?: unknown; value?: unknown } | null;
  if (Array.isArray(entry?.key) && "value" in (entry as object))
    return entry as { key: KvKey; value: unknown };
  throw new CommandError(`line ${number} is no entry: {"key": […], "value": …}`);
}

async function readStdin(): Promise<string> {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return text;
}
