/**
 * Owns the commands that follow a store: watch, changes. They run until they are stopped, unless they are told how many.
 */
import type { Command } from "commander";
import {
  type ChangeSelector,
  type ChangesOptions,
  Kv,
  type KvChangeEvent,
  type KvEntryMaybe,
  type KvKey,
} from "../index.js";
import { CommandError } from "./command-error.js";
import { examples, type Shared, shared } from "./flags.js";
import { Output } from "./output.js";
import { type AnyKv, withStore } from "./stores.js";
import { jsonLine, parseInteger, parseKey, showKey, table } from "./texts.js";

interface FollowFlags extends Shared {
  readonly since?: string;
  readonly initial?: boolean;
  readonly limit?: string;
}

export function addFollowCommands(program: Command): void {
  const watch = program
    .command("watch <store> <keys...>")
    .description("the states of some keys, a line each time one has changed")
    .option("--since <position>", "every change of the keys since then, instead of their states")
    .option("--limit <n>", "end after so many lines");
  examples(
    shared(watch),
    "belfry watch ./data users/42 config",
    "belfry watch http://127.0.0.1:4512 users/42 --since earliest --json",
  ).action((store: string, paths: string[], flags: FollowFlags) => {
    const keys = paths.map(parseKey);
    const limit = limitOf(flags);
    const selectors = keys.map((key) => ({ key }));
    return withStore(store, flags, (kv) =>
      flags.since === undefined
        ? showStates(kv, keys, limit, flags)
        : showChanges(kv, selectors, limit, flags),
    );
  });
  const changes = program
    .command("changes <store> [prefix]")
    .alias("tail")
    .description("every change below a prefix, from now on or since a position")
    .option("--since <position>", 'a versionstamp, the position of a change, or "earliest"')
    .option("--initial", "begin with the state")
    .option("--limit <n>", "end after so many");
  examples(
    shared(changes),
    "belfry changes ./data",
    "belfry tail http://127.0.0.1:4512 users --since earliest --json | jq .value",
  ).action((store: string, path: string | undefined, flags: FollowFlags) => {
    const prefix = parseKey(path ?? "");
    const limit = limitOf(flags);
    if (flags.since !== undefined && flags.initial === true)
      throw new CommandError(
        "--since and --initial contradict each other: the one begins in the past, the other with the state of now",
      );
    return withStore(store, flags, (kv) => showChanges(kv, [{ prefix }], limit, flags));
  });
}

function limitOf({ limit }: FollowFlags): number {
  return limit === undefined
    ? Number.POSITIVE_INFINITY
    : parseInteger("--limit", limit, 1, Number.MAX_SAFE_INTEGER);
}

async function showStates(
  kv: AnyKv,
  keys: readonly KvKey[],
  limit: number,
  { json }: FollowFlags,
): Promise<void> {
  const output = new Output(json === true);
  const states = kv.watch([...keys]) as unknown as AsyncIterable<KvEntryMaybe<unknown>[]>;
  let left = limit;
  for await (const entries of states) {
    await output.write(jsonLine(output.isJson ? entries : entries.map(({ value }) => value)));
    if (--left === 0) return;
  }
}

async function showChanges(
  kv: AnyKv,
  selectors: readonly ChangeSelector[],
  limit: number,
  { since, initial, json }: FollowFlags,
): Promise<void> {
  const output = new Output(json === true);
  const options: ChangesOptions = {
    ...(since !== undefined && { since }),
    ...(initial === true && { initial }),
  };
  const feed = kv instanceof Kv ? kv.changes(selectors, options) : kv.changes(selectors, options);
  let left = limit;
  for await (const event of feed) {
    if (event.type === "progress") continue;
    await output.write(output.isJson ? jsonLine(event) : changeLine(event, output.columns));
    if (--left === 0) return;
  }
}

function changeLine(event: Exclude<KvChangeEvent, { type: "progress" }>, columns: number): string {
  if (event.type === "lagged") return `${event.position}  lagged  ${event.count ?? "unknown"}\n`;
  return table([[event.position, event.type, showKey(event.key), jsonLine(event.value).trimEnd()]], columns);
}
