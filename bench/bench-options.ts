/**
 * Owns the command line of the bench.
 */
import { CommandLineError, numberFlag, parseFlags, wordFlag } from "./command-line.js";
import type { DurabilityClass } from "./contest/peer.js";
import { DEFAULT_PEER_NAMES, PEER_NAMES } from "./contest/peers/registry.js";
import type { Workload } from "./contest/workload.js";
import { WORKLOADS } from "./contest/workloads/registry.js";
import { SMALL_WORKLOADS } from "./small/registry.js";
import type { SmallWorkload } from "./small/workload.js";

const named = ({ name, about }: { readonly name: string; readonly about: string }): string =>
  `  ${name.padEnd(22)} ${about}`;

export const BENCH_USAGE = `Measures Belfry beside other stores, and its parts by themselves.

usage: npm run bench -- [flags]
       npm run bench -- --compare BEFORE.json AFTER.json
       npm run bench -- --install-peers

  --only NAMES         workloads, with commas between; a name that ends in * stands for all that begin so
  --peers NAMES        stores, with commas between (default: all that are found)
  --durability CLASS   relaxed or sync (default: both)
  --rounds N           measured rounds of each store in each workload, 1 to 1000 (default 7)
  --seconds N          length of a round, 0.001 to 600 (default 1)
  --json               print the results as JSON
  --json-file FILE     write the results to a file
  --html FILE          write a page with charts
  --charts DIRECTORY   write each chart as an SVG file
  --quiet              say nothing while measuring
  --compare A B        compare two files that --json-file wrote; exit code 1 if something is worse
  --install-peers      install the packages of the other stores into a cache directory
  --help               print this

stores: ${PEER_NAMES.join(", ")}

workloads (those marked with + take minutes or gigabytes, and run when they are named):
${WORKLOADS.map((workload) => named({ ...workload, name: `${workload.name}${workload.isLarge ? " +" : ""}` })).join("\n")}

parts:
${SMALL_WORKLOADS.map(named).join("\n")}`;

export interface BenchOptions {
  readonly workloads: readonly Workload[];
  readonly small: readonly SmallWorkload[];
  readonly peers: readonly string[];
  readonly durabilities: readonly DurabilityClass[];
  readonly rounds: number;
  readonly seconds: number;
  readonly isJson: boolean;
  readonly isQuiet: boolean;
  readonly jsonFile: string | null;
  readonly htmlFile: string | null;
  readonly chartsDirectory: string | null;
  readonly compared: readonly [string, string] | null;
  readonly installsPeers: boolean;
  readonly isHelp: boolean;
}

/** @throws CommandLineError */
export function readBenchOptions(args: readonly string[]): BenchOptions {
  const { compared, rest } = takeCompared(args);
  const flags = parseFlags(rest, {
    only: { type: "string" },
    peers: { type: "string" },
    durability: { type: "string" },
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    "json-file": { type: "string" },
    html: { type: "string" },
    charts: { type: "string" },
    quiet: { type: "boolean", default: false },
    "install-peers": { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  });
  const chosen = flags.only === undefined ? null : chosenNames(flags.only);
  return {
    workloads: WORKLOADS.filter(({ name, isLarge }) => (chosen === null ? !isLarge : chosen.has(name))),
    small: SMALL_WORKLOADS.filter(({ name }) => chosen === null || chosen.has(name)),
    peers: flags.peers === undefined ? DEFAULT_PEER_NAMES : flags.peers.split(",").map(peerNamed),
    durabilities:
      flags.durability === undefined
        ? ["relaxed", "sync"]
        : [wordFlag("durability", flags.durability, ["relaxed", "sync"])],
    rounds: numberFlag("rounds", flags.rounds, { min: 1, max: 1000, integer: true }),
    seconds: numberFlag("seconds", flags.seconds, { min: 0.001, max: 600, integer: false }),
    isJson: flags.json,
    isQuiet: flags.quiet,
    jsonFile: flags["json-file"] ?? null,
    htmlFile: flags.html ?? null,
    chartsDirectory: flags.charts ?? null,
    compared,
    installsPeers: flags["install-peers"],
    isHelp: flags.help,
  };
}

/** `--compare` alone has two values, which `parseArgs` does not know. */
function takeCompared(args: readonly string[]): {
  compared: readonly [string, string] | null;
  rest: readonly string[];
} {
  const at = args.indexOf("--compare");
  if (at < 0) return { compared: null, rest: args };
  const [before, after] = args.slice(at + 1);
  if (before === undefined || after === undefined) throw new CommandLineError("--compare needs two files");
  return { compared: [before, after], rest: [...args.slice(0, at), ...args.slice(at + 3)] };
}

function chosenNames(text: string): Set<string> {
  const known = [...WORKLOADS, ...SMALL_WORKLOADS].map(({ name }) => name);
  const chosen = text.split(",").flatMap((wanted) => {
    const found = wanted.endsWith("*")
      ? known.filter((name) => name.startsWith(wanted.slice(0, -1)))
      : known.filter((name) => name === wanted);
    if (found.length > 0) return found;
    throw new CommandLineError(`--only must name workloads among ${known.join(", ")}: received ${wanted}`);
  });
  return new Set(chosen);
}

function peerNamed(name: string): string {
  if (PEER_NAMES.includes(name)) return name;
  throw new CommandLineError(`--peers must name stores among ${PEER_NAMES.join(", ")}: received ${name}`);
}
