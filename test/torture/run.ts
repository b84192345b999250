/**
 * `npm run torture -- <name> --seconds N --seed S`: runs one torture, says what was tried, and fails when a promise was broken.
 */
import { CommandLineError, EXIT_MISUSE, numberFlag, parseFlags, wordFlag } from "../../bench/command-line.js";
import { textTable } from "../../bench/contest/report/text-table.js";
import { TORTURES } from "./registry.js";
import { runTorture, type Torture, type TortureResult } from "./torture.js";

const SEED_MAX = 2 ** 31 - 1;
const USAGE = `Does its worst to the engine, and says which promises it saw broken.

usage: npm run torture -- <name> [flags]

  --seconds N      how long, 0.1 to 86400 (default 30)
  --seed S         makes the choices of an earlier run again (default: a new one, which is printed)
  --break WAY      breaks a promise on purpose: it must be found, and the run must fail
  --chart FILE     write a chart of the run there, as an SVG (those that have one: ${TORTURES.filter(({ hasChart }) => hasChart).map(({ name }) => name)})
  --json           print the result as JSON

names, and the ways to break each:
${TORTURES.map(describe).join("\n")}`;

function describe({ name, about, breaks }: Torture): string {
  const ways = Object.entries(breaks).map(([way, what]) => `      --break ${way.padEnd(18)} ${what}`);
  return [`  ${name.padEnd(17)} ${about}`, ...ways].join("\n");
}

process.exitCode = await main(process.argv.slice(2));

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === "--help" || name === "-h") {
    console.log(USAGE);
    return 0;
  }
  try {
    return await runNamed(name, args);
  } catch (error) {
    if (!(error instanceof CommandLineError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return EXIT_MISUSE;
  }
}

async function runNamed(name: string, args: readonly string[]): Promise<number> {
  const torture = TORTURES.find((known) => known.name === name);
  if (torture === undefined) throw new CommandLineError(`there is no torture ${name}`);
  const flags = parseFlags(args, {
    seconds: { type: "string", default: "30" },
    seed: { type: "string" },
    break: { type: "string" },
    chart: { type: "string" },
    json: { type: "boolean", default: false },
  });
  const seconds = numberFlag("seconds", flags.seconds, { min: 0.1, max: 86_400, integer: false });
  const seed =
    flags.seed === undefined
      ? Math.floor(Math.random() * SEED_MAX)
      : numberFlag("seed", flags.seed, { min: 0, max: SEED_MAX, integer: true });
  const breakage =
    flags.break === undefined ? null : wordFlag("break", flags.break, Object.keys(torture.breaks));
  if (flags.chart !== undefined && !torture.hasChart) throw new CommandLineError(`${name} has no chart`);
  if (!flags.json) console.error(`${name}: ${torture.about}\n--seconds ${seconds} --seed ${seed}`);
  const startedMs = Date.now();
  const progress = flags.json ? () => {} : (line: string) => console.error(`  ${line}`);
  const result = await runTorture(torture, { seconds, seed, breakage, chart: flags.chart ?? null, progress });
  const took = (Date.now() - startedMs) / 1000;
  if (flags.json) console.log(JSON.stringify({ name, seconds, seed, breakage, took, ...result }, null, 2));
  else report(result, took);
  return result.broken.length > 0 ? 1 : 0;
}

function report({ tried, seen = {}, broken, skipped }: TortureResult, took: number): void {
  if (skipped !== undefined) {
    console.log(`\nskipped: ${skipped}`);
    return;
  }
  const rows = [...Object.entries(tried), ...Object.entries(seen)].map(([what, value]) => [
    what,
    typeof value === "number" ? value.toLocaleString("en-US", { maximumFractionDigits: 1 }) : value,
  ]);
  const table = textTable(
    [
      { title: "tried and seen", align: "left" },
      { title: "", align: "right" },
    ],
    rows,
  );
  console.log(`\n${table}\n`);
  for (const sentence of broken) console.log(`BROKEN  ${sentence}`);
  console.log(
    broken.length === 0
      ? `every promise held, ${took.toFixed(1)} s`
      : `${broken.length} broken, ${took.toFixed(1)} s`,
  );
}
