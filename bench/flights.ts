/**
 * The main job, `npm start`: replays 20,000 real flight records into a fresh sharded store while watchers follow, shows it live, checks
 * itself, and exits with 0 only if every promise held. The course of it is in flights/main-job.ts.
 */
import { CommandLineError, EXIT_MISUSE } from "./command-line.js";
import { LiveView } from "./flights/live-view.js";
import { type MainJobHooks, runMainJob } from "./flights/main-job.js";
import { FLIGHTS_USAGE, type FlightsOptions, readFlightsOptions } from "./flights/options.js";
import { summaryText } from "./flights/report.js";

const EXIT_FAILED = 1;
const EXIT_INTERRUPTED = 130;

const interrupt = new AbortController();
process.once("SIGINT", () => interrupt.abort());
process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readFlightsOptions(args);
    if (!options.isHelp) return await runAndPrint(options);
    console.log(FLIGHTS_USAGE);
    return 0;
  } catch (error) {
    return explain(error);
  }
}

async function runAndPrint(options: FlightsOptions): Promise<number> {
  const report = await runMainJob(options, { ...viewHooks(options), signal: interrupt.signal });
  console.log(options.isJson ? JSON.stringify(report, null, 2) : summaryText(report));
  return report.ok ? 0 : EXIT_FAILED;
}

function viewHooks({ isJson }: FlightsOptions): MainJobHooks {
  if (isJson) return {};
  let view: LiveView | undefined;
  return {
    onStart: (progress) => {
      view = new LiveView(progress, process.stdout);
    },
    onWritten: () => view?.stop(),
  };
}

function explain(error: unknown): number {
  if (interrupt.signal.aborted) {
    console.error("interrupted");
    return EXIT_INTERRUPTED;
  }
  if (error instanceof CommandLineError) {
    console.error(`${error.message}\n\n${FLIGHTS_USAGE}`);
    return EXIT_MISUSE;
  }
  console.error(error);
  return EXIT_FAILED;
}
