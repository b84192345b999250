/**
 * The bench, `npm run bench`: measures the workloads of registry.ts and prints a table, or JSON. Each line says its durability.
 */
import { join } from "node:path";
import { type Kv, openKv } from "../src/index.js";
import { CommandLineError, EXIT_MISUSE, numberFlag, parseFlags } from "./command-line.js";
import { WORKLOADS } from "./registry.js";
import { resultsTable } from "./results-table.js";
import { withTemporaryDirectory } from "./temporary-directory.js";
import type { Measurement, Workload, WorkloadContext } from "./workload.js";

const USAGE = `Measures the parts of the engine and the whole.

usage: npm run bench -- [flags]

  --only NAME      one workload, or several with commas between
  --seconds N      time of each measurement, 0.001 to 600 (default 1)
  --shards N       shards of the stores that are made, 1 to 31 (default 2)
  --json           print the results as JSON
  --help           print this

workloads:
${WORKLOADS.map(({ name, about }) => `  ${name.padEnd(16)} ${about}`).join("\n")}`;

interface BenchOptions {
  readonly workloads: readonly Workload[];
  readonly seconds: number;
  readonly shards: number;
  readonly isJson: boolean;
  readonly isHelp: boolean;
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options.isHelp) console.log(USAGE);
    else await runAll(options);
    return 0;
  } catch (error) {
    if (!(error instanceof CommandLineError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return EXIT_MISUSE;
  }
}

function readOptions(args: readonly string[]): BenchOptions {
  const flags = parseFlags(args, {
    only: { type: "string" },
    seconds: { type: "string", default: "1" },
    shards: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  });
  return {
    workloads: flags.only === undefined ? WORKLOADS : flags.only.split(",").map(workloadNamed),
    seconds: numberFlag("seconds", flags.seconds, { min: 0.001, max: 600, integer: false }),
    shards: numberFlag("shards", flags.shards, { min: 1, max: 31, integer: true }),
    isJson: flags.json,
    isHelp: flags.help,
  };
}

function workloadNamed(name: string): Workload {
  const found = WORKLOADS.find((workload) => workload.name === name);
  if (found !== undefined) return found;
  const known = WORKLOADS.map((workload) => workload.name).join(", ");
  throw new CommandLineError(`--only must name workloads among ${known}: received ${name}`);
}

async function runAll({ workloads, seconds, shards, isJson }: BenchOptions): Promise<void> {
  const context: WorkloadContext = { seconds, shards, withStore: storeMaker(shards) };
  const measurements: Measurement[] = [];
  for (const workload of workloads) {
    // Otherwise one workload pays for the garbage of the one before it.
    globalThis.gc?.();
    if (!isJson) console.error(`${workload.name}: ${workload.about}`);
    measurements.push(...(await workload.run(context)));
  }
  const setting = { node: process.version, shards, seconds };
  if (isJson) console.log(JSON.stringify({ ...setting, measurements }, null, 2));
  else {
    console.log(
      `\nnode ${setting.node}, shards: ${shards}, ${seconds} s each\n\n${resultsTable(measurements)}`,
    );
  }
}

function storeMaker(shards: number): WorkloadContext["withStore"] {
  return (options, use) =>
    withTemporaryDirectory(async (path) => {
      const kv: Kv = await openKv(join(path, "store"), { shards, ...options });
      try {
        return await use(kv);
      } finally {
        await kv[Symbol.asyncDispose]();
      }
    });
}
