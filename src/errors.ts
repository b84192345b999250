/**
 * Owns every error that Belfry throws, and its stable code.
 *
 * Two families: misuse by the caller is a {@link KvTypeError} (or {@link KvRangeError}), which are ordinary `TypeError`s and
 * `RangeError`s with a code; everything else is a {@link KvError}. A failed check and a lagging watcher are results, not errors.
 * A message says what happened, what was found, the limit, and how to go on.
 */

/** Codes of misuse. They never change their meaning. */
export type KvMisuseCode =
  | "KV_INVALID_KEY"
  | "KV_INVALID_VALUE"
  | "KV_INVALID_SELECTOR"
  | "KV_INVALID_CURSOR"
  | "KV_INVALID_CHECK"
  | "KV_INVALID_MUTATION"
  | "KV_INVALID_OPTION"
  | "KV_INVALID_PATH"
  | "KV_LIMIT_EXCEEDED";

/** Codes of failures. They never change their meaning. */
export type KvErrorCode =
  | "KV_CLOSED"
  | "KV_LOCKED"
  | "KV_UNKNOWN_OUTCOME"
  | "KV_MANIFEST_DAMAGED"
  | "KV_FORMAT_NEWER"
  | "KV_FORMAT_OLDER"
  | "KV_NOT_A_STORE"
  | "KV_SHARD_COUNT"
  | "KV_OPTIONS_CONFLICT"
  | "KV_CORRUPT"
  | "KV_SHARD_FAILED"
  | "KV_SHARD_STALLED"
  | "KV_HISTORY_TRIMMED"
  | "KV_WATCH_OVERFLOW"
  | "KV_SNAPSHOT_EXPIRED"
  | "KV_CURSOR_TOO_EARLY"
  | "KV_NOT_A_DENO_STORE"
  | "KV_SQLITE_MISSING"
  | "KV_INVALID_OPTION"
  | "KV_OVERLOADED"
  | "KV_TOO_MANY_THREADS"
  | "KV_NOT_THE_OWNER"
  | "KV_TARGET_EXISTS"
  | "KV_IN_USE"
  | "KV_TOO_MANY_SNAPSHOTS"
  | "KV_STORAGE"
  | "KV_ACCESS_DENIED"
  | "KV_UNREACHABLE"
  | "KV_SERVER";

/** Misuse: the call itself is wrong, and nothing was done. */
export class KvTypeError extends TypeError {
  override readonly name = "TypeError";
  readonly code: KvMisuseCode;

  constructor(code: KvMisuseCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Misuse: a number is outside its range, and nothing was done. */
export class KvRangeError extends RangeError {
  override readonly name = "RangeError";
  readonly code: KvMisuseCode;

  constructor(code: KvMisuseCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The base of every failure that is not misuse. */
export class KvError extends Error {
  override readonly name: string = "KvError";
  readonly code: KvErrorCode;

  constructor(code: KvErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The store (or this handle on it) was closed before the call. Nothing was done. Its name and text are those of Deno's BadResource. */
export class KvClosedError extends KvError {
  override readonly name = "BadResource";

  constructor(message = "Bad resource ID") {
    super("KV_CLOSED", message);
  }
}

/** The store was closed while the call was in flight: a write may or may not have been applied. As in Deno KV, a `TypeError`. */
export class KvInterruptedError extends TypeError {
  override readonly name = "TypeError";
  readonly code = "KV_CLOSED";

  constructor() {
    super("Database is closed.");
  }
}

/** Another process owns the path. Nothing was touched. */
export class KvLockedError extends KvError {
  override readonly name = "KvLockedError";
  /** Process id of the owner. */
  readonly pid: number;
  readonly path: string;

  constructor(path: string, pid: number) {
    const owner =
      pid === process.pid
        ? `this process (pid ${pid}), through another thread or another copy of belfry: open it once and share that Kv`
        : `process ${pid}: close it there first`;
    super("KV_LOCKED", `store ${path} is owned by ${owner}`);
    this.path = path;
    this.pid = pid;
  }
}

/** The thread that was executing the write died, or the connection to the server was lost meanwhile. The write may or may not have been applied; read to find out. */
export class KvUnknownOutcomeError extends KvError {
  override readonly name = "KvUnknownOutcomeError";
  /** `null`: it was lost on its way to or from a server. */
  readonly shard: number | null;

  constructor(shard: number | null, options?: ErrorOptions) {
    const what =
      shard === null
        ? "the connection to the server was lost during this write"
        : `shard ${shard} died while it executed this write`;
    super(
      "KV_UNKNOWN_OUTCOME",
      `${what}: it may or may not have been applied; read the keys before trying again`,
      options,
    );
    this.shard = shard;
  }
}

/** A shard can't be brought back. Reads go on; its writes fail. */
export class KvShardFailedError extends KvError {
  override readonly name = "KvShardFailedError";
  readonly shard: number;

  constructor(shard: number, reason: string, options?: ErrorOptions) {
    super("KV_SHARD_FAILED", `shard ${shard} has failed and takes no writes: ${reason}`, options);
    this.shard = shard;
  }
}

/** A shard's transaction is older than the watchdog's bound, so new writes to it fail fast. */
export class KvShardStalledError extends KvError {
  override readonly name = "KvShardStalledError";
  readonly shard: number;
  readonly stalledMs: number;
  readonly stallMsMax: number;

  constructor(shard: number, stalledMs: number, stallMsMax: number) {
    super(
      "KV_SHARD_STALLED",
      `shard ${shard} is in one transaction since ${stalledMs} ms, limit ${stallMsMax} ms: this write was not started; is the disk stuck?`,
    );
    this.shard = shard;
    this.stalledMs = stalledMs;
    this.stallMsMax = stallMsMax;
  }
}

/** The manifest can't be read. Nothing was touched. */
export class KvManifestError extends KvError {
  override readonly name = "KvManifestError";

  constructor(path: string, found: string, options?: ErrorOptions) {
    super(
      "KV_MANIFEST_DAMAGED",
      `manifest ${path} is damaged: ${found}; restore it from a backup (the data beside it was not touched)`,
      options,
    );
  }
}

/** The store was written by a newer Belfry, or by an older one whose format this one does not read. Nothing was touched. */
export class KvFormatError extends KvError {
  override readonly name = "KvFormatError";
  readonly format: number;
  /** What this version reads. */
  readonly formatRead: number;

  constructor(path: string, format: number, formatRead: number) {
    const [code, advice] =
      format > formatRead
        ? (["KV_FORMAT_NEWER", "open it with a newer belfry"] as const)
        : (["KV_FORMAT_OLDER", "export it with the belfry that wrote it, and import that"] as const);
    super(code, `store ${path} has format ${format}, this version of belfry reads ${formatRead}: ${advice}`);
    this.format = format;
    this.formatRead = formatRead;
  }
}

/** The path holds something else. Nothing was touched. */
export class KvNotAStoreError extends KvError {
  override readonly name = "KvNotAStoreError";

  constructor(path: string, found: string) {
    super(
      "KV_NOT_A_STORE",
      `${path} is not a belfry store: ${found}; choose a path that does not exist yet or an empty directory`,
    );
  }
}

/** The store was created with other fixed settings. Nothing was touched. */
export class KvShardCountError extends KvError {
  override readonly name = "KvShardCountError";

  constructor(path: string, what: "shards" | "partitionDepth", found: number, asked: number) {
    super(
      "KV_SHARD_COUNT",
      `store ${path} was created with ${what} ${found}, asked ${asked}: leave the option out to use what is there, or copy the entries into a new store (\`belfry reshard\` is to do that one day)`,
    );
  }
}

/** Stored bytes are not what was written. */
export class KvCorruptError extends KvError {
  override readonly name = "KvCorruptError";

  constructor(message: string, options?: ErrorOptions) {
    super("KV_CORRUPT", message, options);
  }
}

/** The storage under a shard refused (disk full, no permission, …). The commit changed nothing. */
export class KvStorageError extends KvError {
  override readonly name = "KvStorageError";

  constructor(message: string, options?: ErrorOptions) {
    super("KV_STORAGE", message, options);
  }
}

/** More was asked than the shards take, and the queue before them is full. The call was not started. */
export class KvOverloadedError extends KvError {
  override readonly name = "KvOverloadedError";

  constructor(backlogBytes: number, backlogBytesMax: number) {
    super(
      "KV_OVERLOADED",
      `${backlogBytes} bytes of writes wait for the shards, limit ${backlogBytesMax}: await some of them before sending more`,
    );
  }
}

/** The history before `oldest` is gone. */
export class KvHistoryTrimmedError extends KvError {
  override readonly name = "KvHistoryTrimmedError";
  readonly requested: string;
  readonly oldest: string;

  constructor(requested: string, oldest: string) {
    super(
      "KV_HISTORY_TRIMMED",
      `changes after ${requested} were asked for, but the history begins at ${oldest}: read the current state and follow from there`,
    );
    this.requested = requested;
    this.oldest = oldest;
  }
}

/** A feed's consumer was slower than the writers, and the feed was told to end then. */
export class KvWatchOverflowError extends KvError {
  override readonly name = "KvWatchOverflowError";
  /** Versionstamp to continue from, as `since`: everything up to it was handed over before this error. */
  readonly after: string;
  readonly bufferCountMax: number;
  readonly bufferBytesMax: number;

  constructor(after: string, bufferCountMax: number, bufferBytesMax: number) {
    super(
      "KV_WATCH_OVERFLOW",
      `a commit did not fit into this feed's buffer, limit ${bufferCountMax} changes or ${bufferBytesMax} bytes: continue with since: "${after}"`,
    );
    this.after = after;
    this.bufferCountMax = bufferCountMax;
    this.bufferBytesMax = bufferBytesMax;
  }
}

/** A snapshot was kept open longer than its bound, and was released so that it pins no pages. */
export class KvSnapshotExpiredError extends KvError {
  override readonly name = "KvSnapshotExpiredError";
  readonly ageMsMax: number;

  constructor(ageMsMax: number) {
    super(
      "KV_SNAPSHOT_EXPIRED",
      `this snapshot was open for more than ${ageMsMax} ms and was released: take a new one`,
    );
    this.ageMsMax = ageMsMax;
  }
}

/** The server demands another access token. Nothing was done. */
export class KvAccessError extends KvError {
  override readonly name = "KvAccessError";

  constructor(message: string) {
    super("KV_ACCESS_DENIED", message);
  }
}

/** The server did not answer. Nothing was written. */
export class KvUnreachableError extends KvError {
  override readonly name = "KvUnreachableError";
  readonly url: string;

  constructor(url: string, options?: ErrorOptions) {
    super(
      "KV_UNREACHABLE",
      `the server at ${url} does not answer: is it running, and is the address right?`,
      options,
    );
    this.url = url;
  }
}
