/**
 * Owns the command line of the main job.
 */
import { existsSync, readdirSync } from "node:fs";
import type { Durability } from "../../src/index.js";
import { CommandLineError, numberFlag, parseFlags, wordFlag } from "../command-line.js";
import { FLIGHTS_MAX } from "./flight.js";

export interface FlightsOptions {
  readonly flightCount: number;
  readonly shards: number;
  readonly durability: Durability;
  /** Commits under way at the same time. */
  readonly inFlightMax: number;
  /** Where the store is made and stays; `undefined`: in a temporary directory that goes. */
  readonly keepPath: string | undefined;
  readonly isJson: boolean;
  readonly isHelp: boolean;
}

export const FLIGHTS_USAGE = `Replays real flight records into a fresh store while watchers follow, and checks every promise.

usage: npm start -- [flags]

  --flights N          flights to replay, 1 to ${FLIGHTS_MAX} (default ${FLIGHTS_MAX})
  --shards N           shards of the store, 1 to 31 (default 4)
  --durability MODE    sync: on disk before a commit is acknowledged (default)
                       relaxed: flushed in the background
  --in-flight N        commits under way at the same time, 1 to 10000 (default 256)
  --keep DIR           make the store in DIR, which must be empty or not exist, and leave it there
  --json               print nothing but the figures, as JSON
  --help               print this

exit codes: 0 all checks hold · 1 a check or the job failed · 2 wrong flags · 130 interrupted`;

/** @throws CommandLineError */
export function readFlightsOptions(args: readonly string[]): FlightsOptions {
  const flags = parseFlags(args, {
    flights: { type: "string", default: String(FLIGHTS_MAX) },
    shards: { type: "string", default: "4" },
    durability: { type: "string", default: "sync" },
    "in-flight": { type: "string", default: "256" },
    keep: { type: "string" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  });
  if (flags.keep !== undefined) checkFresh(flags.keep);
  return {
    flightCount: numberFlag("flights", flags.flights, { min: 1, max: FLIGHTS_MAX, integer: true }),
    shards: numberFlag("shards", flags.shards, { min: 1, max: 31, integer: true }),
    durability: wordFlag("durability", flags.durability, ["sync", "relaxed"]),
    inFlightMax: numberFlag("in-flight", flags["in-flight"], { min: 1, max: 10_000, integer: true }),
    keepPath: flags.keep,
    isJson: flags.json,
    isHelp: flags.help,
  };
}

function checkFresh(path: string): void {
  if (path === "") throw new CommandLineError("--keep must name a directory: received an empty string");
  try {
    if (!existsSync(path) || readdirSync(path).length === 0) return;
  } catch (error) {
    throw new CommandLineError(`--keep must name a directory: ${(error as Error).message}`);
  }
  throw new CommandLineError(
    `--keep must name an empty directory, or one that does not exist: ${path} holds something`,
  );
}
