/**
 * Owns the commands about the queue: how much waits in it, and what is to become of messages that could not be delivered.
 */
import type { Command } from "commander";
import type { DeadLetter, QueueTally } from "../index.js";
import { CommandError, ExitCode } from "./command-error.js";
import { examples, type Shared, shared } from "./flags.js";
import { Output, Progress } from "./output.js";
import { type AnyKv, withStore } from "./stores.js";
import { jsonLine, parseInteger, table } from "./texts.js";

interface ListFlags extends Shared {
  readonly limit?: string;
  readonly after?: string;
}

interface RequeueFlags extends Shared {
  readonly all?: boolean;
  readonly delay?: string;
}

interface PurgeFlags extends Shared {
  readonly olderThan?: string;
}

const TALLY = ["ready", "delayed", "leased", "dead", "deadBytes", "dropped"] as const;

export function addQueueCommands(program: Command): void {
  const queue = program.command("queue <store>").description("how many messages wait, in which state");
  examples(shared(queue), "belfry queue ./data", "belfry queue http://127.0.0.1:4512 --json").action(
    (store: string, flags: Shared) => withStore(store, flags, (kv) => showQueue(kv, flags)),
  );
  const dead = program
    .command("dead")
    .description("messages that could not be delivered: list, requeue, delete, purge");
  examples(
    dead,
    "belfry dead list ./data",
    "belfry dead requeue http://127.0.0.1:4512 00000000000000010001000000",
    "belfry dead requeue http://127.0.0.1:4512 --all --delay 60000",
    "belfry dead purge ./data --older-than 604800000",
  );
  addDeadList(dead);
  addDeadRequeue(dead);
  addDeadDelete(dead);
  addDeadPurge(dead);
}

function addDeadList(dead: Command): void {
  const list = dead
    .command("list <store>")
    .alias("ls")
    .description("the letters, in the order in which they were enqueued")
    .option("--limit <n>", "letters at most")
    .option("--after <id>", "go on after this letter");
  shared(list).action((store: string, flags: ListFlags) => {
    const options = {
      ...(flags.limit !== undefined && {
        limit: parseInteger("--limit", flags.limit, 1, Number.MAX_SAFE_INTEGER),
      }),
      ...(flags.after !== undefined && { after: flags.after }),
    };
    return withStore(store, flags, async (kv) => {
      const output = new Output(flags.json === true);
      for await (const letter of kv.deadLetters.list(options))
        await output.write(output.isJson ? jsonLine(letter) : letterLine(letter, output.columns));
    });
  });
}

function addDeadRequeue(dead: Command): void {
  const requeue = dead
    .command("requeue <store> [ids...]")
    .description("let letters be delivered again")
    .option("--all", "every letter that is there now")
    .option("--delay <ms>", "milliseconds until they are due");
  shared(requeue).action((store: string, ids: string[], flags: RequeueFlags) => {
    if (ids.length > 0 === (flags.all === true))
      throw new CommandError("say which letters: their ids, as `belfry dead list` tells them, or --all");
    const options =
      flags.delay === undefined
        ? {}
        : { delay: parseInteger("--delay", flags.delay, 0, Number.MAX_SAFE_INTEGER) };
    return withStore(store, flags, (kv) =>
      forEach(flags.all === true ? idsOf(kv) : ids, "requeued", flags, {
        change: (id) => kv.deadLetters.requeue(id, options),
        // One that went meanwhile is no mistake of who asked for all.
        mustBeThere: flags.all !== true,
      }),
    );
  });
}

function addDeadDelete(dead: Command): void {
  const remove = dead.command("delete <store> <ids...>").alias("del").description("forget letters");
  shared(remove).action((store: string, ids: string[], flags: Shared) =>
    withStore(store, flags, (kv) =>
      forEach(ids, "deleted", flags, { change: (id) => kv.deadLetters.delete(id), mustBeThere: true }),
    ),
  );
}

function addDeadPurge(dead: Command): void {
  const purge = dead
    .command("purge <store>")
    .description("forget all letters, or the old ones")
    .option("--older-than <ms>", "only those that died so many milliseconds ago or before");
  shared(purge).action((store: string, flags: PurgeFlags) => {
    const ageMs =
      flags.olderThan === undefined ? null : parseInteger("--older-than", flags.olderThan, 0, Date.now());
    return withStore(store, flags, async (kv) => {
      const count = await kv.deadLetters.purge(ageMs === null ? {} : { diedBeforeMs: Date.now() - ageMs });
      await new Output(flags.json === true).write(
        flags.json === true ? jsonLine({ count }) : `${count} letters purged\n`,
      );
    });
  });
}

async function showQueue(kv: AnyKv, { json }: Shared): Promise<void> {
  const stats = await kv.queueStats();
  const output = new Output(json === true);
  if (output.isJson) return output.write(jsonLine(stats));
  const row = (name: string, tally: QueueTally): string[] => [
    name,
    ...TALLY.map((field) => String(tally[field])),
    moment(tally.oldestReadyMs),
    moment(tally.nextDueMs),
  ];
  const rows = stats.shards.map((tally) => row(String(tally.shard), tally));
  const head = ["shard", ...TALLY, "oldestReady", "nextDue"];
  await output.write(table([head, ...rows, row("all", stats)], Number.POSITIVE_INFINITY));
}

async function* idsOf(kv: AnyKv): AsyncGenerator<string> {
  for await (const { id } of kv.deadLetters.list()) yield id;
}

/** Changes letters one by one. @throws CommandError after the last one, when some that must be there are not. */
async function forEach(
  ids: AsyncIterable<string> | Iterable<string>,
  done: "requeued" | "deleted",
  { json }: Shared,
  {
    change,
    mustBeThere,
  }: { readonly change: (id: string) => Promise<boolean>; readonly mustBeThere: boolean },
): Promise<void> {
  const progress = new Progress(done);
  const missing: string[] = [];
  for await (const id of ids) {
    if (await change(id)) progress.add(1);
    else if (mustBeThere) missing.push(id);
  }
  const count = progress.end();
  await new Output(json === true).write(json === true ? jsonLine({ count, missing }) : `${count} ${done}\n`);
  if (missing.length > 0)
    throw new CommandError(`there is no letter with the id ${missing.join(", ")}`, ExitCode.notFound);
}

function letterLine({ id, diedAtMs, failures, error, value }: DeadLetter, columns: number): string {
  const reason = error.split("\n", 1)[0]!;
  return table([[id, moment(diedAtMs), `${failures} failures`, reason, jsonLine(value).trimEnd()]], columns);
}

function moment(ms: number | null): string {
  return ms === null ? "-" : new Date(ms).toISOString();
}
