/**
 * Owns what a soak measures: memory, the files and what they are made of, open descriptors, latency.
 *
 * A file of a relaxed store is larger than what is in it. LMDB never overwrites a page that somebody may still read, and a checkpoint reads
 * the state that it names until the next one is on the disk. So each shard's file holds, beside what is in use, the pages that were replaced
 * while one checkpoint was pinned: commits since then times the pages that a commit replaces. They are free afterwards and are used again;
 * the file keeps its size. So it is as large as its slowest checkpoint made it, and no larger:
 *
 *     bytes of the files  ≤  bytes in use  +  2 × (most transactions pinned at once × bytes written by one)  +  slack
 *                            +  32 pages × thousands of transactions since the last compaction
 *
 * Twice, for what the look four times a second misses of a pin's last moment. The last term is LMDB's: behind an old pin it leaves free pages
 * unused (ARCHITECTURE.md), 15 for 1000 transactions as measured; so it is that of one stretch between compactions, of which a long run
 * makes some.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { spreadOf } from "../../bench/percentiles.js";
import type { Kv } from "../../src/index.js";

export const MIB = 2 ** 20;
const LATENCIES_MAX = 10_000;

/** What one stretch of the run was like. */
export interface Sample {
  readonly atS: number;
  readonly memoryMib: number;
  readonly fileMib: number;
  /** The most that was pinned at once during the stretch, by what a transaction writes; NaN where the system does not say that. */
  readonly pinnedMib: number;
  readonly descriptors: number;
  readonly commitsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export class SoakMeter {
  readonly samples: Sample[] = [];
  readonly #kv: Kv;
  readonly #path: string;
  readonly #startedMs = performance.now();
  #latencies: number[] = [];
  #commits = 0;
  #stretchMs = performance.now();
  /** Since the run began: bytes and transactions before which nothing counts. */
  readonly #writtenBefore = writtenBytes();
  readonly #transactionsBefore: number;
  #pinnedMax = 0;
  #compactedAt: number;

  constructor(kv: Kv, path: string) {
    this.#kv = kv;
    this.#path = path;
    this.#transactionsBefore = this.#transactions();
    this.#compactedAt = this.#transactionsBefore;
  }

  /** The files have just been compacted. */
  noteCompaction(): void {
    this.#compactedAt = this.#transactions();
  }

  /** Transactions of all shards since the files were compacted. */
  get uncompacted(): number {
    return this.#transactions() - this.#compactedAt;
  }

  /** A commit took this long. Of very many some are kept. */
  noteCommit(ms: number): void {
    const place = this.#commits++;
    if (place < LATENCIES_MAX) this.#latencies.push(ms);
    else {
      const other = Math.floor(Math.random() * this.#commits);
      if (other < LATENCIES_MAX) this.#latencies[other] = ms;
    }
  }

  /** Looks at what is pinned. Often: it rises until a checkpoint is done, and falls at once. */
  look(): void {
    const lag = this.#kv.stats().shards.reduce((sum, { oldestReaderLag }) => sum + oldestReaderLag, 0);
    this.#pinnedMax = Math.max(this.#pinnedMax, lag);
  }

  /** Ends a stretch. */
  sample(): void {
    this.look();
    const nowMs = performance.now();
    const { p50, p99 } = spreadOf(this.#latencies);
    this.samples.push({
      atS: (nowMs - this.#startedMs) / 1000,
      memoryMib: memoryBytes() / MIB,
      fileMib: this.fileBytes() / MIB,
      pinnedMib: (this.#pinnedMax * this.#bytesPerTransaction()) / MIB,
      descriptors: process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0,
      commitsPerSecond: (1000 * this.#commits) / (nowMs - this.#stretchMs),
      p50Ms: Number.isNaN(p50) ? 0 : p50,
      p99Ms: Number.isNaN(p99) ? 0 : p99,
    });
    this.#latencies = [];
    this.#commits = 0;
    this.#pinnedMax = 0;
    this.#stretchMs = nowMs;
  }

  fileBytes(): number {
    const shards = readdirSync(this.#path).filter((name) => name.startsWith("shard-"));
    return shards.reduce((sum, name) => sum + statSync(join(this.#path, name, "data.mdb")).size, 0);
  }

  #transactions(): number {
    return this.#kv.stats().shards.reduce((sum, { transactions }) => sum + transactions, 0);
  }

  #bytesPerTransaction(): number {
    const transactions = this.#transactions() - this.#transactionsBefore;
    return transactions === 0 ? 0 : (writtenBytes() - this.#writtenBefore) / transactions;
  }
}

/** Bytes that this process has handed to the system to write: nearly all of them are LMDB's pages. NaN elsewhere than on Linux. */
function writtenBytes(): number {
  if (process.platform !== "linux") return Number.NaN;
  return Number(/^wchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
}

/** Memory of the process's own. What is resident of the data files is the system's to take back. */
function memoryBytes(): number {
  const { rss } = process.memoryUsage();
  if (process.platform !== "linux") return rss;
  const anonymousKib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return anonymousKib === undefined ? rss : Number(anonymousKib) * 1024;
}
