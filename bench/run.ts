/**
 * The bench, `npm run bench`: the small measurements and the contest. Prints tables; writes JSON and an HTML page where it is asked to.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BENCH_USAGE, type BenchOptions, readBenchOptions } from "./bench-options.js";
import { CommandLineError, EXIT_MISUSE } from "./command-line.js";
import { type ContestReport, runContest } from "./contest/contest.js";
import { compareReports, comparisonTable } from "./contest/report/compare.js";
import { chartFiles, reportPage } from "./contest/report/page.js";
import { resultsTable } from "./contest/report/table.js";
import { installPeers } from "./install-peers.js";
import { smallTable } from "./small/table.js";
import type { SmallResult } from "./small/workload.js";

/** Exit code of a comparison that found something worse, and of a run in which a store failed. */
const EXIT_WORSE = 1;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readBenchOptions(args);
    if (options.isHelp) console.log(BENCH_USAGE);
    else if (options.installsPeers) return installPeers();
    else if (options.compared !== null) return compare(options.compared);
    else return await measure(options);
    return 0;
  } catch (error) {
    if (!(error instanceof CommandLineError)) throw error;
    console.error(`${error.message}\n\n${BENCH_USAGE}`);
    return EXIT_MISUSE;
  }
}

async function measure(options: BenchOptions): Promise<number> {
  const tell = options.isQuiet ? () => {} : (line: string) => console.error(line);
  const small: SmallResult[] = [];
  for (const { name, about, run } of options.small) {
    tell(`${name}: ${about}`);
    small.push(...(await run(options.seconds)));
  }
  const report = await runContest({ ...options, onProgress: tell });
  if (options.isJson) console.log(JSON.stringify({ ...report, small }, null, 2));
  else {
    if (small.length > 0) console.log(`\n${smallTable(small)}`);
    if (options.workloads.length > 0) console.log(`\n${resultsTable(report)}`);
  }
  if (options.jsonFile !== null)
    writeFileSync(options.jsonFile, `${JSON.stringify({ ...report, small }, null, 2)}\n`);
  if (options.htmlFile !== null) writeFileSync(options.htmlFile, reportPage(report));
  if (options.chartsDirectory !== null) writeCharts(options.chartsDirectory, report);
  return report.failures.length > 0 ? EXIT_WORSE : 0;
}

function writeCharts(directory: string, report: ContestReport): void {
  mkdirSync(directory, { recursive: true });
  for (const { name, svg } of chartFiles(report)) writeFileSync(join(directory, name), svg);
}

function compare([before, after]: readonly [string, string]): number {
  const comparisons = compareReports(readReport(before), readReport(after));
  if (comparisons.length === 0) throw new CommandLineError(`${before} and ${after} have no result in common`);
  console.log(comparisonTable(comparisons));
  const worse = comparisons.filter(({ isRegression }) => isRegression);
  console.log(`\n${comparisons.length} compared, ${worse.length} worse`);
  return worse.length > 0 ? EXIT_WORSE : 0;
}

function readReport(file: string): ContestReport {
  let report: ContestReport;
  try {
    report = JSON.parse(readFileSync(file, "utf8")) as ContestReport;
  } catch (cause) {
    throw new CommandLineError(`can't read ${file}: ${(cause as Error).message}`);
  }
  if (report.format !== 1 || !Array.isArray(report.results)) {
    throw new CommandLineError(`${file} is not what --json-file writes`);
  }
  return report;
}
