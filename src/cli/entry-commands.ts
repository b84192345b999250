/**
 * Owns the commands that read and write entries: get, set, delete, list, count, import, export. All that they are given is looked at before a
 * store is opened: a wrong call makes none.
 */
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Command } from "commander";
import type { KvEntry, KvKey, KvListSelector } from "../index.js";
import { CommandError, ExitCode } from "./command-error.js";
import { examples, type Shared, shared } from "./flags.js";
import { Output, Progress } from "./output.js";
import { type AnyKv, withStore } from "./stores.js";
import { jsonLine, parseInteger, parseKey, parseValue, showKey, table } from "./texts.js";

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
  addTransfers(program);
}

function addSingle(program: Command): void {
  const get = program.command("get <store> <key>").description("the value under a key, as tagged JSON");
  examples(
    shared(get),
    "belfry get ./data users/42",
    "belfry get http://127.0.0.1:4512 users/42 --json",
  ).action((store: string, path: string, flags: Shared) => {
    const key = parseKey(path);
    return withStore(store, flags, async (kv) => {
      const entry = await kv.get(key);
      if (entry.versionstamp === null)
        throw new CommandError(`there is no entry under ${path}`, ExitCode.notFound);
      await new Output(flags.json === true).write(jsonLine(flags.json === true ? entry : entry.value));
    });
  });
  const set = program
    .command("set <store> <key> <value>")
    .description("set a key to a value in tagged JSON; - reads it from stdin")
    .option("--expire-in <ms>", "milliseconds that the entry lives");
  examples(
    shared(set),
    `belfry set ./data users/42 '{"name": "Ada"}'`,
    "belfry set ./data sessions/7 '\"x\"' --expire-in 60000",
    "curl https://example.com/a.json | belfry set ./data pages/a -",
  ).action(setEntry);
  const remove = program.command("delete <store> <key>").alias("del").description("delete a key");
  examples(shared(remove), "belfry del ./data users/42").action(
    (store: string, path: string, flags: Shared) => {
      const key = parseKey(path);
      return withStore(store, flags, async (kv) => {
        await kv.delete(key);
        if (flags.json === true) await new Output(true).write(jsonLine({ ok: true }));
      });
    },
  );
}

async function setEntry(
  store: string,
  path: string,
  text: string,
  flags: Shared & { readonly expireIn?: string },
): Promise<void> {
  const key = parseKey(path);
  const options =
    flags.expireIn === undefined
      ? {}
      : { expireIn: parseInteger("--expire-in", flags.expireIn, 0, Number.MAX_SAFE_INTEGER) };
  const value = parseValue(text === "-" ? await readStdin() : text);
  const change = async (kv: AnyKv): Promise<void> => {
    const result = await kv.set(key, value, options);
    await new Output(flags.json === true).write(
      flags.json === true ? jsonLine(result) : `${result.versionstamp}\n`,
    );
  };
  await withStore(store, flags, change, true);
}

function addLists(program: Command): void {
  const list = program
    .command("list <store> [prefix]")
    .alias("ls")
    .description("the entries below a prefix; without one, all")
    .option("--limit <n>", "entries at most");
  examples(
    reversible(ranged(shared(list))),
    "belfry ls ./data users --limit 10 --reverse",
    "belfry ls http://127.0.0.1:4512 --start users/10 --end users/20 --json",
  ).action((store: string, prefix: string | undefined, flags: ListFlags) => {
    const selector = selectorOf(prefix, flags);
    const options = {
      reverse: flags.reverse === true,
      ...(flags.limit !== undefined && {
        limit: parseInteger("--limit", flags.limit, 1, Number.MAX_SAFE_INTEGER),
      }),
    };
    return withStore(store, flags, (kv) =>
      showEntries(entriesOf(kv, selector, options), new Output(flags.json === true)),
    );
  });
  const count = program.command("count <store> [prefix]").description("how many entries there are");
  examples(ranged(shared(count)), "belfry count ./data users").action(
    (store: string, prefix: string | undefined, flags: ListFlags) => {
      const selector = selectorOf(prefix, flags);
      return withStore(store, flags, async (kv) => {
        const progress = new Progress("counting");
        for await (const _ of entriesOf(kv, selector, { batchSize: 1000 })) progress.add(1);
        const count = progress.end();
        await new Output(flags.json === true).write(flags.json === true ? jsonLine({ count }) : `${count}\n`);
      });
    },
  );
}

function addTransfers(program: Command): void {
  const out = program
    .command("export <store> [prefix]")
    .description("entries as lines of JSON, one an entry, on stdout");
  examples(
    reversible(ranged(shared(out))),
    "belfry export ./data > all.ndjson",
    "belfry export ./data users | gzip > users.ndjson.gz",
  ).action((store: string, prefix: string | undefined, flags: ListFlags) => {
    const selector = selectorOf(prefix, flags);
    const options = { batchSize: 500, reverse: flags.reverse === true };
    return withStore(store, flags, async (kv) => {
      const output = new Output(true);
      const progress = new Progress("exporting");
      for await (const { key, value } of entriesOf(kv, selector, options)) {
        await output.write(jsonLine({ key, value }));
        progress.add(1);
      }
      progress.end();
    });
  });
  const into = program
    .command("import <store> [file]")
    .description("entries from lines of JSON, as export writes them; default: stdin");
  examples(
    shared(into),
    "belfry import ./copy all.ndjson",
    "belfry export ./data | belfry import http://127.0.0.1:4512",
  ).action(async (store: string, file: string | undefined, flags: Shared) => {
    const input = file === undefined || file === "-" ? process.stdin : await openFile(file);
    const read = async (kv: AnyKv): Promise<void> => {
      const count = await importLines(kv, input);
      await new Output(flags.json === true).write(
        flags.json === true ? jsonLine({ count }) : `${count} entries\n`,
      );
    };
    await withStore(store, flags, read, true);
  });
}

function ranged(command: Command): Command {
  return command.option("--start <key>", "first key").option("--end <key>", "key to end before");
}

function reversible(command: Command): Command {
  return command.option("--reverse", "from the last to the first");
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

async function showEntries(entries: AsyncIterable<KvEntry<unknown>>, output: Output): Promise<void> {
  let rows: string[][] = [];
  for await (const entry of entries) {
    if (output.isJson) await output.write(jsonLine(entry));
    else rows.push([showKey(entry.key), jsonLine(entry.value).trimEnd()]);
    if (rows.length < ROWS_SHOWN_AT_ONCE) continue;
    await output.write(table(rows, output.columns));
    rows = [];
  }
  await output.write(table(rows, output.columns));
}

/** @throws CommandError when it can't be read. */
async function openFile(file: string): Promise<Readable> {
  try {
    const handle = await open(file);
    if (!(await handle.stat()).isDirectory()) return handle.createReadStream();
    await handle.close();
  } catch (cause) {
    throw new CommandError(`${file} can't be read: ${(cause as Error).message}`);
  }
  throw new CommandError(`${file} is a directory: import reads a file of lines, or stdin`);
}

async function importLines(kv: AnyKv, input: Readable): Promise<number> {
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
  const entry = parseValue(line, `line ${number}`) as { key?: unknown; value?: unknown } | null;
  if (Array.isArray(entry?.key) && "value" in (entry as object))
    return entry as { key: KvKey; value: unknown };
  throw new CommandError(`line ${number} is no entry: {"key": […], "value": …}`);
}

async function readStdin(): Promise<string> {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return text;
}
