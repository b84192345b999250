/**
 * Owns the metrics: what is counted here, and their text with what the store tells (OpenMetrics 1.0).
 */
import type { History, KvStats, QueueStats } from "../index.js";

export const OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/** Upper bounds of the latency histogram, in seconds. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const;

interface Latencies {
  readonly counts: number[];
  sum: number;
  count: number;
}

/** What only the server knows at the moment of asking. */
export interface Gauges {
  readonly connections: number;
  readonly bufferedBytes: number;
  readonly changeStreams: number;
  readonly watchStreams: number;
}

export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #latencies = new Map<string, Latencies>();
  #changesSent = 0;

  /** `route` is one of a fixed set, never a path that a client made up. */
  countRequest(route: string, status: number, seconds: number): void {
    const key = `route="${route}",status="${status}"`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    const latencies = this.#latencies.get(route) ?? { counts: BUCKETS.map(() => 0), sum: 0, count: 0 };
    this.#latencies.set(route, latencies);
    latencies.sum += seconds;
    latencies.count++;
    const bucket = BUCKETS.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) latencies.counts[bucket]!++;
  }

  countChange(): void {
    this.#changesSent++;
  }

  /** Everything as text. */
  text(stats: KvStats, queue: QueueStats, history: History, gauges: Gauges): string {
    return [
      ...this.#requestLines(),
      ...family("belfry_stream_changes", "counter", "Changes sent on streams.", [
        ["_total", this.#changesSent],
      ]),
      ...family("belfry_connections", "gauge", "Open connections.", [["", gauges.connections]]),
      ...family("belfry_buffered_bytes", "gauge", "Bytes that wait for clients to take them.", [
        ["", gauges.bufferedBytes],
      ]),
      ...family("belfry_streams", "gauge", "Open streams.", [
        ['{kind="changes"}', gauges.changeStreams],
        ['{kind="watch"}', gauges.watchStreams],
      ]),
      ...historyLines(history),
      ...family("belfry_pending_commits", "gauge", "Commits that are not answered yet.", [
        ["", stats.pendingCommits],
      ]),
      ...family("belfry_open_snapshots", "gauge", "Snapshots that pin pages.", [["", stats.openSnapshots]]),
      ...feedLines(stats),
      ...queueLines(queue),
      ...shardLines(stats),
      "# EOF\n",
    ].join("\n");
  }

  #requestLines(): string[] {
    const requests = [...this.#requests].map(([labels, value]): [string, number] => [
      `_total{${labels}}`,
      value,
    ]);
    const latencies = [...this.#latencies].flatMap(([route, found]) => histogram(route, found));
    return [
      ...family("belfry_http_requests", "counter", "Requests that were answered.", requests),
      ...family("belfry_http_request_seconds", "histogram", "Time to the end of an answer.", latencies),
    ];
  }
}

function histogram(route: string, { counts, sum, count }: Latencies): [string, number][] {
  let below = 0;
  const buckets = BUCKETS.map((bound, index): [string, number] => {
    below += counts[index]!;
    return [`_bucket{route="${route}",le="${bound}"}`, below];
  });
  return [
    ...buckets,
    [`_bucket{route="${route}",le="+Inf"}`, count],
    [`_sum{route="${route}"}`, sum],
    [`_count{route="${route}"}`, count],
  ];
}

/** A versionstamp's first eight bytes count the batches of the whole store; a number holds as many as there will ever be. */
function batchOf(versionstamp: string): number {
  return Number.parseInt(versionstamp.slice(0, 16), 16);
}

function historyLines({ bytes, oldest, newest }: History): string[] {
  return [
    ...family("belfry_history_bytes", "gauge", "Bytes of the change log.", [["", bytes]]),
    ...family("belfry_history_oldest", "gauge", "Batch behind which the change log begins.", [
      ["", batchOf(oldest)],
    ]),
    ...family("belfry_history_newest", "gauge", "The newest batch.", [["", batchOf(newest)]]),
  ];
}

const FEED_STATES = ["live", "behind", "catching-up"] as const;
const QUEUE_STATES = ["ready", "delayed", "leased", "dead"] as const;

function feedLines({ feeds, watches }: KvStats): string[] {
  const states = FEED_STATES.map((state): [string, number] => [
    `{state="${state}"}`,
    feeds.filter((feed) => feed.state === state).length,
  ]);
  const worst = (value: (feed: KvStats["feeds"][number]) => number): number =>
    feeds.reduce((most, feed) => Math.max(most, value(feed)), 0);
  return [
    ...family("belfry_feeds", "gauge", "Change feeds, by state.", states),
    ...family("belfry_watches", "gauge", "Watches of states.", [["", watches]]),
    ...family("belfry_feed_lag_changes", "gauge", "Lag of the feed that lags most.", [
      ["", worst((feed) => feed.lagChanges)],
    ]),
    ...family("belfry_feed_lag_seconds", "gauge", "Time that a feed lags, of the slowest.", [
      ["", worst((feed) => feed.lagMs) / 1000],
    ]),
  ];
}

function queueLines(queue: QueueStats): string[] {
  const depths = QUEUE_STATES.map((state): [string, number] => [`{state="${state}"}`, queue[state]]);
  return [
    ...family("belfry_queue_messages", "gauge", "Messages, by state.", depths),
    ...family("belfry_queue_running", "gauge", "Messages that are handled in this thread.", [
      ["", queue.running],
    ]),
  ];
}

function shardLines({ shards }: KvStats): string[] {
  const each = (suffix: string, value: (shard: KvStats["shards"][number]) => number): [string, number][] =>
    shards.map((shard) => [`${suffix}{shard="${shard.shard}"}`, value(shard)]);
  return [
    ...family(
      "belfry_shard_commits",
      "counter",
      "Commits executed.",
      each("_total", (shard) => shard.commits),
    ),
    ...family(
      "belfry_shard_transactions",
      "counter",
      "Batches committed.",
      each("_total", (shard) => shard.transactions),
    ),
    ...family(
      "belfry_shard_changes",
      "counter",
      "Changes published.",
      each("_total", (shard) => shard.changes),
    ),
    ...family(
      "belfry_shard_restarts",
      "counter",
      "Threads replaced.",
      each("_total", (shard) => shard.restarts),
    ),
    ...family(
      "belfry_shard_log_bytes",
      "gauge",
      "Bytes of its change log.",
      each("", (shard) => shard.logBytes),
    ),
    ...family(
      "belfry_shard_ring_bytes",
      "counter",
      "Bytes that its change ring has carried.",
      each("_total", (shard) => shard.ringPosition),
    ),
    ...family(
      "belfry_shard_oldest_reader_lag",
      "gauge",
      "Commits since the oldest snapshot that is held.",
      each("", (shard) => shard.oldestReaderLag),
    ),
    ...family(
      "belfry_shard_busy_seconds",
      "gauge",
      "Age of its transaction.",
      each("", (shard) => shard.busyMs / 1000),
    ),
    ...family(
      "belfry_shard_up",
      "gauge",
      "Whether it takes writes.",
      each("", ({ state }) => (state === "running" || state === "in-transaction" ? 1 : 0)),
    ),
  ];
}

function family(
  name: string,
  type: string,
  help: string,
  samples: readonly (readonly [suffix: string, value: number])[],
): string[] {
  return [
    `# TYPE ${name} ${type}`,
    `# HELP ${name} ${help}`,
    ...samples.map(([suffix, value]) => `${name}${suffix} ${value}`),
  ];
}
