/**
 * Owns every bound of the engine: its unit, its reason, and the relations between bounds that the code relies on.
 * Nothing else in the source may define a limit.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Format of everything on disk. A store with another one is refused. */
export const STORE_FORMAT = 2;

/** LMDB page size in bytes, fixed at creation: its largest key is then 4026 bytes, and Deno KV allows 2048. */
export const PAGE_SIZE_BYTES = 8192;

/** Encoded bytes of a key that is written. As in Deno KV. */
export const KEY_BYTES_MAX = 2048;

/** Encoded bytes of a key that is read or watched. One more, so that the successor of the longest key can be named. */
export const KEY_READ_BYTES_MAX = KEY_BYTES_MAX + 1;

/** Serialized bytes of one value, unless `limits.valueBytesMax` says otherwise. Deno KV: 64 KiB. */
export const VALUE_BYTES_MAX = 16 * MIB;

/** The most that `limits.valueBytesMax` may say: such a value fills a commit. */
export const VALUE_BYTES_CEILING = 64 * MIB;

/** Checks in one commit. */
export const CHECKS_MAX = 1000;

/** Mutations in one commit: their place within the commit must fit 16 bits. */
export const MUTATIONS_MAX = 10_000;

/**
 * Bytes of all keys and values of one commit, a key that gets a value counted twice, as in Deno KV. Bounds what a shard holds in memory
 * for one request.
 */
export const COMMIT_BYTES_MAX = 64 * MIB;

/** Largest time to live in milliseconds: from any present moment it ends at a time that a Date can hold. As in Deno KV. */
export const EXPIRE_IN_MS_MAX = 8_000_000_000_000_000;

/** Keys of one `getMany`. Bounds how long one call may hold the calling thread. */
export const GET_MANY_KEYS_MAX = 10_000;

/** What one call may ask for. Each is an integer from 1; beyond it a call is refused with KV_LIMIT_EXCEEDED, in Deno KV's words. */
export interface KvLimits {
  /** Serialized bytes of a value; those of a `Uint8Array` are its own. Default: 16 MiB, at most 64 MiB. Deno KV: 64 KiB. */
  readonly valueBytesMax: number;
  /** Serialized bytes of a message of the queue. Default: 16 MiB, at most 64 MiB. Deno KV: 64 KiB. */
  readonly messageBytesMax: number;
  /** Checks in a commit. Default, and at most: 1000. Deno KV: 100. */
  readonly checksMax: number;
  /** Mutations and messages in a commit. Default, and at most: 10,000. Deno KV: 1000. */
  readonly mutationsMax: number;
  /** Bytes of a commit: all keys, all values with their keys once more, and all messages. Default, and at most: 64 MiB. Deno KV: 800 KiB. */
  readonly commitBytesMax: number;
  /** Bytes of the keys in a commit that get a value. Default, and at most: 64 MiB. Deno KV: 80 KiB. */
  readonly commitKeyBytesMax: number;
  /** Keys in a `getMany`. Default, and at most: 10,000. Deno KV: 10. */
  readonly getManyKeysMax: number;
  /** Keys in a `watch`. Default: no limit. Deno KV: 10. */
  readonly watchedKeysMax: number;
}

/** Deno KV's own limits, which `limits: "deno"` stands for; the reasons are Deno's. The rest of them is the same here by default. */
export const DENO_VALUE_BYTES_MAX = 64 * KIB;
export const DENO_CHECKS_MAX = 100;
export const DENO_MUTATIONS_MAX = 1000;
export const DENO_COMMIT_BYTES_MAX = 800 * KIB;
export const DENO_COMMIT_KEY_BYTES_MAX = 80 * KIB;
export const DENO_GET_MANY_KEYS_MAX = 10;
export const DENO_WATCHED_KEYS_MAX = 10;

/** Entries in one batch of `list`: as in Deno KV. */
export const LIST_BATCH_DEFAULT = 100;
export const LIST_BATCH_IMPLICIT_MAX = 500;
export const LIST_BATCH_MAX = 1000;

/** Shards of one store: the participants of a round are bits of one 32-bit word, and its sign bit stays free. */
export const SHARDS_MAX = 31;

/** Leading parts of a key that choose its shard. */
export const PARTITION_DEPTH_DEFAULT = 2;
export const PARTITION_DEPTH_MAX = 8;

/** Leading parts whose hashes travel with a change record. A deeper prefix is matched by comparing bytes. */
export const PREFIX_DEPTH_MAX = 16;

/** Threads that may share one engine, the opening one included: each has one bit of a word and one pair of rings a shard. */
export const CALLERS_MAX = 31;

/** Bytes of one caller's request ring to one shard. Half of it is the largest frame that travels inside. */
export const REQUEST_RING_BYTES = 1 * MIB;

/** Bytes of one shard's reply ring to one caller. A caller reserves room for the answer before it asks. */
export const REPLY_RING_BYTES = 1 * MIB;

/** Bytes of the ring in which multi-shard commits wait for their round. */
export const ROUND_RING_BYTES = 4 * MIB;

/** Commits in one round: their verdicts have one cell each. */
export const ROUND_COMMITS_MAX = 1024;

/** Bytes of one shard's change ring. A reader that falls further behind takes the gap from the log. */
export const CHANGE_RING_BYTES = 4 * MIB;

/** Requests waiting in one caller for room in a ring, in bytes. Beyond it a call is refused. */
export const CALLER_BACKLOG_BYTES_MAX = 256 * MIB;

/** Requests that a shard takes into one transaction. Bounds the time that one batch may take. */
export const BATCH_COMMITS_MAX = 4096;

/** Bytes of the requests that a shard takes into one transaction; a larger single request is a batch of its own. */
export const BATCH_BYTES_MAX = 4 * MIB;

/**
 * Bytes of requests up to which a shard takes all that waits into one transaction; of more it takes half, so that callers have answers to go
 * on with while it executes the rest. With a flush in each transaction it pays later.
 */
export const BATCH_WHOLE_BYTES_MAX = { relaxed: 4 * KIB, sync: 32 * KIB } as const;

/**
 * Bytes of one row of the change log, so that four fit into a page of LMDB's. A row of more than a page needs pages that lie side by side, and
 * looking for those costs more than everything else where the free pages are scattered. A row is never split within one commit, so one
 * commit may exceed it. The log's tail, which grows to such a row, is written with each commit.
 */
export const LOG_ROW_BYTES_MAX = 2000;

/** Bytes of the change log of a whole store, unless `history` says otherwise. */
export const HISTORY_BYTES_MAX = 256 * MIB;

/** Rows of a shard's log that one transaction may trim: as a rule more than one appends, so that trimming keeps up. */
export const LOG_TRIM_ROWS_MAX = 1024;

/** Time between two looks at the age of a log to which nobody writes, in milliseconds. */
export const LOG_TRIM_INTERVAL_MS = 5000;

/** Expired entries that are swept in one transaction. */
export const SWEEP_ENTRIES_MAX = 1000;

/**
 * Counter values that are left out each time an existing store is opened: more than may have been given out since the last that is in the store. They are known outside, in
 * positions and versionstamps of what changed nothing or what a power cut took, and none may be given out again.
 */
export const COUNTERS_LEFT_OUT = 2 ** 20;

/** Counter values after which a transaction that changes nothing leaves a mark of its own in the store: well within those that are left out. */
export const COUNTERS_UNMARKED_MAX = 2 ** 16;

/** Commits that a caller makes by itself in one transaction; more than that are the shard's work, beside the caller's. */
export const INLINE_COMMITS_MAX = 32;

/** Bytes of keys and values, and of what goes with them, of a commit that a caller makes by itself. */
export const INLINE_BYTES_MAX = 16 * KIB;

/** Time in one turn of the event loop that a caller's own commits take before their answers wait for the next turn, in milliseconds. */
export const INLINE_LOOP_MS = 0.5;

/** After a caller's own transaction that took longer than this, in milliseconds, it makes none for {@link INLINE_PAUSE_FACTOR} times as long as that took. */
export const INLINE_SLOW_MS = 10;
export const INLINE_PAUSE_FACTOR = 4;

/** Time between background flushes with `durability: "relaxed"`, in milliseconds. */
export const FLUSH_INTERVAL_MS = 200;

/**
 * Transactions of a shard between two background flushes, about, where they come faster than in `FLUSH_INTERVAL_MS`, and the least time between
 * two in milliseconds. What is replaced while a checkpoint is pinned can't be used again, so a file is as large as what its shard writes
 * meanwhile; and LMDB forgets its list of free pages with each transaction that comes more than 300 after the oldest pin.
 */
export const FLUSH_TRANSACTIONS = 64;
export const FLUSH_INTERVAL_MS_MIN = 10;

/**
 * Transactions that a shard makes while none is flushed: then it waits for the disk before the next one, at most so many milliseconds each
 * time. So a disk that can't keep up slows writes down, instead of letting files grow and power cuts take more and more.
 */
export const DISK_LAG_TRANSACTIONS_MAX = 4096;
export const DISK_PAUSE_MS_MAX = 100;

/** Longest sleep of a shard, in milliseconds: the slow fallback behind every wake-up. */
export const SHARD_SLEEP_MS_MAX = 1000;

/** Age of a transaction at which the watchdog turns a shard's health red, in milliseconds. */
export const STALL_MS_MAX = 10_000;

/** Time between two looks of the watchdog, and the slow fallback behind a caller's bell, in milliseconds. */
export const WATCHDOG_INTERVAL_MS = 1000;

/** Time that `close` waits for what was sent before it tells the shards to stop, in milliseconds. */
export const DRAIN_MS_MAX = 30_000;

/** Time that `process.exit()` waits for the shards to leave their transactions, in milliseconds. */
export const EXIT_GUARD_MS_MAX = 5_000;

/** Deaths of one shard's thread within the window after which it is given up. */
export const SHARD_RESTARTS_MAX = 5;
export const SHARD_RESTART_WINDOW_MS = 60_000;

/** Collects over several shards before writers are asked to pause for the cut. */
export const CUT_TRIES_MAX = 16;

/** Longest time that a shard pauses before a commit for the sake of a cut, in milliseconds. */
export const CUT_PAUSE_MS_MAX = 5;

/** Longest time a blocking read waits for an unfinished round, in milliseconds. */
export const ROUND_WAIT_MS_MAX = 5_000;

/**
 * Snapshots, and initial states of feeds, that one thread may have open at a time. Each is a reader of every shard, and all threads together
 * stay below `STORE_READERS_MAX`, with room for the reads that are under way.
 */
export const SNAPSHOTS_MAX = 4000;

/** Addresses that are reserved for the map of one shard's file, in bytes: it is as large as the file may become, and takes no memory. */
export const MAP_BYTES = 2 ** 40;

/** Readers of one shard's file. Each slot is 64 bytes of a sparse file. */
export const STORE_READERS_MAX = 2 ** 17;

/** Age at which an open snapshot is released, in milliseconds: it pins pages, and the file grows. */
export const SNAPSHOT_AGE_MS_MAX = 60_000;

/** Bytes that the dispatcher takes from a ring in one go. */
export const POLL_BYTES_MAX = 256 * KIB;

/** Changes that the dispatcher delivers before it lets timers run. */
export const DISPATCH_CHANGES_MAX = 2000;

/** Bytes of changes that the dispatcher holds for a shard that is ahead of the watermark. */
export const DISPATCH_BACKLOG_BYTES_MAX = 8 * MIB;

/** Default bounds of one watcher's buffer. */
export const WATCHER_BUFFER_BYTES_MAX = 4 * MIB;
export const WATCHER_BUFFER_COUNT_MAX = 10_000;

/** Bytes of log that one catch-up slice reads before live watchers get their turn. */
export const CATCH_UP_SLICE_BYTES_MAX = 1 * MIB;

/** Bytes that a backup copies between two looks at the event loop. */
export const COPY_CHUNK_BYTES = 1 * MIB;

/** Time that a backup waits for the shards to stand still for a moment, in milliseconds. */
export const MOMENT_WAIT_MS_MAX = 10_000;

/** Time that a compaction waits for snapshots that are being read to be let go, in milliseconds. */
export const COMPACTION_WAIT_MS_MAX = 2_000;

/**
 * Bytes of log of each shard that a catch-up reads first; each further read takes twice as many, up to its slice. A feed with a small
 * buffer throws away what does not fit, and must not read a whole slice for a few changes.
 */
export const CATCH_UP_FIRST_READ_BYTES = 16 * KIB;

/** Feeds that get a slice in one turn of the event loop: a slice costs something even where the log has little. */
export const CATCH_UP_FEEDS_MAX = 64;

/** Bytes, about, and entries of an initial state that are read at once for one feed's consumer. */
export const INITIAL_CHUNK_BYTES = 256 * KIB;
export const INITIAL_CHUNK_ENTRIES_MAX = 512;

/** Age at which the snapshot behind an initial state is released, in milliseconds: it pins pages, and the file grows. */
export const INITIAL_STATE_AGE_MS_MAX = 600_000;

/** Bytes of one request's body to the server. The largest commit, and its tags and base64. */
export const SERVER_BODY_BYTES_MAX = 96 * MIB;

/** Connections to one server. Each costs some 50 KiB. */
export const SERVER_CONNECTIONS_MAX = 4096;

/** Requests at once on one HTTP/2 connection. */
export const SERVER_STREAMS_MAX = 256;

/** Watches and change feeds on one connection. */
export const SERVER_WATCHES_MAX = 128;

/** Requests a second that one token (without tokens: one address) may make over time, and at once. */
export const SERVER_REQUESTS_PER_SECOND = 10_000;
export const SERVER_REQUESTS_BURST = 20_000;

/** Tokens and addresses whose rate is remembered. The one that was idle longest is forgotten first. */
export const SERVER_RATES_MAX = 10_000;

/** Time for a connection to say its first byte, and for a request's head to arrive, in milliseconds. */
export const SERVER_HEAD_MS_MAX = 10_000;

/** Time that a connection may be without a request or a heartbeat, in milliseconds: who is gone without a word should hold no place for ever. */
export const SERVER_IDLE_MS_MAX = 65_000;

/** Time for a request's body to arrive, in milliseconds. */
export const SERVER_BODY_MS_MAX = 60_000;

/** Time that closing a server waits for requests that run, in milliseconds. */
export const SERVER_DRAIN_MS_MAX = 10_000;

/** Time between heartbeats on a stream, in milliseconds: proxies drop connections that are silent for a minute. */
export const SERVER_HEARTBEAT_MS = 15_000;

/** Bytes of one stream that wait for its socket before the server stops reading its feed. */
export const SERVER_STREAM_BYTES_MAX = 256 * KIB;

/** Characters of an access token. 16 is the least that can't be guessed over a network. */
export const ACCESS_TOKEN_CHARACTERS_MIN = 16;
export const ACCESS_TOKEN_CHARACTERS_MAX = 1024;

/** Levels of nesting that a value may have on the wire: decoders go down one stack frame a level. */
export const WIRE_DEPTH_MAX = 500;

/** KV Connect: ranges in one read, entries in one read, keys in one watch. As in Deno's server. */
export const CONNECT_RANGES_MAX = 10;
export const CONNECT_ENTRIES_MAX = 1000;
export const CONNECT_WATCH_KEYS_MAX = 10;

/** KV Connect: how long the answer of a metadata exchange is good for, in milliseconds. */
export const CONNECT_METADATA_MS = 24 * 60 * 60 * 1000;

/** Bytes of stored values in one page of a list that a server sends. One larger entry is a page of its own. */
export const SERVER_PAGE_BYTES_MAX = 8 * MIB;

/** Changes of one stream that wait in memory for its client. */
export const SERVER_STREAM_CHANGES_MAX = 1000;

/** Longest delay of a message, in milliseconds: 30 days, as in Deno KV. */
export const QUEUE_DELAY_MS_MAX = 2_592_000_000;

/** Intervals of one backoff schedule, and the longest of them in milliseconds: as in Deno KV. */
export const QUEUE_BACKOFF_INTERVALS_MAX = 5;
export const QUEUE_BACKOFF_MS_MAX = 3_600_000;

/** Keys that one message may be written under when it can't be delivered: they are one commit. */
export const QUEUE_UNDELIVERED_KEYS_MAX = 1000;

/** Handlers that one listener runs at a time, unless `concurrency` says otherwise, and the most it may ask for. */
export const QUEUE_CONCURRENCY_DEFAULT = 100;
export const QUEUE_CONCURRENCY_MAX = 1000;

/** Messages that one thread handles at a time, all its listeners together: it must be able to name them all in one request. */
export const QUEUE_HELD_MAX = 10_000;

/** Messages that one request to a shard leases, and that it settles: with them the request fits its ring, and so does the answer. */
export const QUEUE_TURN_MESSAGES_MAX = 256;

/** Times that a crash may interrupt the handling of one message before it is held to be the cause and becomes a dead letter. */
export const QUEUE_INTERRUPTIONS_MAX = 10;

/** Bytes of an error's text that a dead letter keeps. */
export const QUEUE_ERROR_BYTES_MAX = 1024;

/** Messages that a shard's timer moves in one transaction. Bounds the time that it keeps commits waiting. */
export const QUEUE_MOVES_MAX = 1000;

/** Time that a message which has become due waits for a listener to ask for it before the shard spends a transaction on it, in milliseconds. */
export const QUEUE_CLAIM_MS = 20;

/** Time between two tries of what a shard has refused for now (a full disk, say), in milliseconds. */
export const QUEUE_RETRY_MS = 1000;

/** Dead letters of a whole store. Beyond it the oldest go, and are counted. */
export const DEAD_LETTERS_MAX = 100_000;

/** Bytes of the dead letters of a whole store. Beyond it the oldest go, and are counted. */
export const DEAD_LETTERS_BYTES_MAX = 256 * MIB;

/** Dead letters of one shard that a listing reads at once. */
export const DEAD_LETTERS_PAGE_MAX = 100;
