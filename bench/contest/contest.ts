/**
 * Owns the running of the contest: for each workload and durability class, all stores that can take part, round by round and store by
 * store in turn, so that whatever else the machine does hits all alike. The order turns from round to round.
 */
import { cpus, platform, release, totalmem } from "node:os";
import { type Entrant, enter, type MeasuredRound, Unfit } from "./entrant.js";
import { mergeHistograms, percentileUs } from "./latency.js";
import type { DurabilityClass, Kept, Peer, PeerFinding } from "./peer.js";
import { loadPeer } from "./peers/registry.js";
import type { Facts, Workload } from "./workload.js";

export interface ContestOptions {
  readonly workloads: readonly Workload[];
  /** Names of the stores; those that are not on the machine are left out, and said so. */
  readonly peers: readonly string[];
  readonly durabilities: readonly DurabilityClass[];
  /** Measured rounds of each store in each workload. */
  readonly rounds: number;
  readonly seconds: number;
  /** Told what is being done. */
  readonly onProgress?: (line: string) => void;
}

/** What one store did in one workload. */
export interface Result {
  readonly workload: string;
  readonly group: string;
  readonly about: string;
  readonly unit: string;
  readonly shows: "throughput" | "latency";
  readonly series: { readonly name: string; readonly at: number } | null;
  readonly durability: DurabilityClass;
  readonly peer: string;
  readonly kept: Kept;
  readonly setting: string;
  /** Operations a second: the median of the rounds, and the least and the most. */
  readonly perSecond: { readonly median: number; readonly min: number; readonly max: number };
  /** Microseconds of processor time for each operation, of the process that measures. */
  readonly cpuUs: number;
  /** Of the operations of all rounds; `null` where they were not timed one by one. */
  readonly latencyUs: {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
    /** Median over the rounds of each round's own percentile: one bad round does not decide it. */
    readonly roundP50: number;
    readonly roundP99: number;
  } | null;
  readonly facts: Facts;
}

/** A whole run: plain data, as it stands in the JSON file. */
export interface ContestReport {
  readonly format: 1;
  readonly startedAt: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
    readonly system: string;
  };
  readonly runtime: string;
  readonly rounds: number;
  readonly seconds: number;
  /** Version of each store that took part. */
  readonly versions: Readonly<Record<string, string>>;
  /** What each of the others lacks. */
  readonly absent: Readonly<Record<string, string>>;
  readonly results: readonly Result[];
  /** Where a store failed, and how. */
  readonly failures: readonly { readonly workload: string; readonly peer: string; readonly error: string }[];
}

type Found = Exclude<PeerFinding, { missing: string }>;

interface Participant {
  readonly peer: Peer;
  readonly found: Found;
}

/** Measures everything that the options ask for. */
export async function runContest(options: ContestOptions): Promise<ContestReport> {
  const startedAt = new Date().toISOString();
  const named = new Set([
    ...options.peers,
    ...options.workloads.flatMap(({ peers = [] }) => peers.filter((peer) => /^belfry-/.test(peer))),
  ]);
  const participants = new Map<string, Participant>();
  const absent: Record<string, string> = {};
  for (const name of named) {
    const peer = await loadPeer(name);
    const found = await peer.find();
    if ("missing" in found) absent[name] = found.missing;
    else participants.set(name, { peer, found });
  }
  const failures: ContestReport["failures"][number][] = [];
  const results: Result[] = [];
  for (const workload of options.workloads) {
    for (const durability of workload.durabilities) {
      if (!options.durabilities.includes(durability)) continue;
      const heat = new Heat(workload, durability, options, failures);
      results.push(...(await heat.run(chosen(workload, participants, options.peers))));
    }
  }
  return {
    format: 1,
    startedAt,
    machine: machine(),
    runtime: `node ${process.versions.node}`,
    rounds: options.rounds,
    seconds: options.seconds,
    versions: Object.fromEntries([...participants].map(([name, { found }]) => [name, found.version])),
    absent,
    results,
    failures,
  };
}

function chosen(
  { peers }: Workload,
  participants: ReadonlyMap<string, Participant>,
  asked: readonly string[],
): Participant[] {
  const names = peers?.filter((name) => asked.includes(name) || /^belfry-/.test(name)) ?? asked;
  return names.flatMap((name) => participants.get(name) ?? []);
}

/** One workload in one class. */
class Heat {
  readonly #workload: Workload;
  readonly #durability: DurabilityClass;
  readonly #options: ContestOptions;
  readonly #failures: { workload: string; peer: string; error: string }[];

  constructor(
    workload: Workload,
    durability: DurabilityClass,
    options: ContestOptions,
    failures: { workload: string; peer: string; error: string }[],
  ) {
    this.#workload = workload;
    this.#durability = durability;
    this.#options = options;
    this.#failures = failures;
  }

  async run(participants: readonly Participant[]): Promise<Result[]> {
    this.#options.onProgress?.(`${this.#workload.name}, ${this.#durability}: ${this.#workload.about}`);
    const entrants = await this.#enterAll(participants);
    const rounds = new Map<Entrant, MeasuredRound[]>(entrants.map((entrant) => [entrant, []]));
    for (let round = -1; round < this.#options.rounds; round++) {
      for (const entrant of turned(entrants, round)) {
        if (!rounds.has(entrant)) continue;
        const measured = await this.#round(entrant, round);
        if (measured === undefined) rounds.delete(entrant);
        else if (round >= 0) rounds.get(entrant)!.push(measured);
      }
    }
    const results: Result[] = [];
    for (const entrant of entrants) {
      const measured = rounds.get(entrant);
      if (measured !== undefined)
        results.push(resultOf(this.#workload, entrant, measured, await entrant.finish()));
      await entrant.close().catch((error: Error) => this.#fail(entrant.peer, error));
    }
    return results;
  }

  async #enterAll(participants: readonly Participant[]): Promise<Entrant[]> {
    const entrants: Entrant[] = [];
    for (const { peer, found } of participants) {
      const mode = peer.modes.find(({ durability }) => durability === this.#durability);
      if (mode === undefined) continue;
      try {
        entrants.push(await enter(peer, found, mode, this.#workload));
      } catch (error) {
        if (!(error instanceof Unfit)) this.#fail(peer, error as Error);
      }
    }
    return entrants;
  }

  /** The warm-up is round -1, and as long as the others: compilers and caches need it. */
  async #round(entrant: Entrant, round: number): Promise<MeasuredRound | undefined> {
    try {
      return await entrant.round({ seconds: this.#options.seconds, round });
    } catch (error) {
      this.#fail(entrant.peer, error as Error);
      return undefined;
    }
  }

  #fail(peer: Peer, error: Error): void {
    this.#failures.push({
      workload: this.#workload.name,
      peer: peer.name,
      error: error.stack ?? String(error),
    });
    this.#options.onProgress?.(`  ${peer.name} failed: ${error.message}`);
  }
}

/** Each round begins with another store. */
function turned<T>(list: readonly T[], round: number): T[] {
  const first = (round + 1) % Math.max(1, list.length);
  return [...list.slice(first), ...list.slice(0, first)];
}

function resultOf(
  workload: Workload,
  { peer, mode }: Entrant,
  rounds: readonly MeasuredRound[],
  facts: Facts,
): Result {
  const rates = rounds.map(({ operations, elapsedMs }) => (operations * 1000) / elapsedMs);
  const histograms = rounds.flatMap(({ latency }) => (latency === undefined ? [] : [latency]));
  const all = mergeHistograms(histograms);
  const roundMedian = (fraction: number): number =>
    median(histograms.map((histogram) => percentileUs(histogram, fraction)));
  return {
    workload: workload.name,
    group: workload.group,
    about: workload.about,
    unit: workload.unit,
    shows: workload.shows,
    series: workload.series ?? null,
    durability: mode.durability,
    peer: peer.name,
    kept: mode.kept,
    setting: mode.setting,
    perSecond: { median: median(rates), min: Math.min(...rates), max: Math.max(...rates) },
    cpuUs: median(rounds.map(({ cpuUs }) => cpuUs)),
    latencyUs:
      all.count === 0
        ? null
        : {
            p50: percentileUs(all, 0.5),
            p90: percentileUs(all, 0.9),
            p99: percentileUs(all, 0.99),
            p999: percentileUs(all, 0.999),
            max: all.maxUs,
            roundP50: roundMedian(0.5),
            roundP99: roundMedian(0.99),
          },
    facts,
  };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function machine(): ContestReport["machine"] {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release().split("-")[0]}`,
  };
}
