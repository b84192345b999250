/**
 * Owns the options of `kv.changes`: checked, with their defaults, and free of contradictions. Pure functions.
 */
import { ChangeType } from "../codec/change-record.js";
import { KvTypeError } from "../errors.js";
import { WATCHER_BUFFER_BYTES_MAX, WATCHER_BUFFER_COUNT_MAX } from "../limits.js";
import type { ShownAs } from "./committed-change.js";
import type { ChangesOptions, KvChange, OverflowPolicy } from "./kv-change.js";
import { type Position, parsePosition, START_POSITION } from "./position.js";

/** Checked options. */
export interface FeedSettings {
  readonly since: Position | "now" | "earliest";
  readonly initial: boolean;
  /** `undefined`: all types. */
  readonly types: ReadonlySet<ChangeType> | undefined;
  readonly where: ((change: KvChange) => unknown) | undefined;
  readonly shownAs: ShownAs;
  readonly order: "commit" | "shard";
  readonly overflow: OverflowPolicy;
  readonly onTrimmed: "error" | "resync";
  /** `undefined`: no progress events by time. */
  readonly progressMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly bufferBytesMax: number;
  readonly bufferCountMax: number;
}

/** Longest delay of a timer. */
const PROGRESS_MS_MAX = 2 ** 31 - 1;

const OVERFLOW_POLICIES = ["catch-up", "latest", "drop-oldest", "drop-newest", "error"] as const;

/**
 * The options with their defaults.
 *
 * @throws KvTypeError KV_INVALID_OPTION.
 */
export function checkChangesOptions<T>(options: ChangesOptions<T> | undefined): FeedSettings {
  return options === undefined ? DEFAULTS : checkGiven(options);
}

function checkGiven<T>(options: ChangesOptions<T>): FeedSettings {
  if (typeof options !== "object" || options === null) {
    throw invalidOption(`options of changes must be an object, found ${describe(options)}`);
  }
  checkContradictions(options);
  return {
    since: checkSince(options.since, options.initial === true),
    initial: checkFlag("initial", options.initial, false),
    types: checkTypes(options.types),
    where: checkInstance("where", options.where, "a function", (value) => typeof value === "function") as
      | FeedSettings["where"]
      | undefined,
    shownAs: checkShown(options),
    order: checkChoice("order", options.order, ["commit", "shard"]),
    overflow: checkChoice("overflow", options.overflow, OVERFLOW_POLICIES),
    onTrimmed: checkChoice("onTrimmed", options.onTrimmed, ["error", "resync"]),
    progressMs: checkProgress(options.progressMs),
    signal: checkInstance(
      "signal",
      options.signal,
      "an AbortSignal",
      (value) => value instanceof AbortSignal,
    ),
    bufferBytesMax: checkBound("bufferBytesMax", options.bufferBytesMax, WATCHER_BUFFER_BYTES_MAX),
    bufferCountMax: checkBound("bufferCountMax", options.bufferCountMax, WATCHER_BUFFER_COUNT_MAX),
  };
}

/** The error for a position that the store has not reached. */
export function futurePosition(position: string, newest: string): KvTypeError {
  return invalidOption(
    `since is ${position}, but the newest versionstamp of this store is ${newest}: is it the position of another store?`,
  );
}

function checkContradictions<T>(options: ChangesOptions<T>): void {
  const { initial, since, types, previous, values, order, overflow } = options;
  const isFromNow = since === undefined || since === "now" || since === START_POSITION;
  if (initial === true && !isFromNow) {
    throw invalidOption(
      `initial begins with the state of now, since with the changes after ${describe(since)}: leave one of them out`,
    );
  }
  if (initial === true && Array.isArray(types) && !types.includes("create")) {
    throw invalidOption('initial yields the state as "create" changes, and types leaves those out');
  }
  if (order === "shard" && (overflow === "drop-oldest" || overflow === "drop-newest")) {
    throw invalidOption(
      `overflow: "${overflow}" says which range of the one order was dropped, and order: "shard" does not follow that: leave one of them out`,
    );
  }
  if (previous === true && values === false) {
    throw invalidOption("previous asks for the values before, values: false for no values");
  }
}

function checkSince(since: unknown, isInitial: boolean): FeedSettings["since"] {
  if (since === undefined || since === "now" || isInitial) return "now";
  if (since === "earliest") return since;
  const position = typeof since === "string" ? parsePosition(since) : undefined;
  if (position !== undefined) return position;
  throw invalidOption(
    `since must be "now", "earliest", a versionstamp (20 hex digits) or a position (24), found ${describe(since)}`,
  );
}

function checkTypes(types: unknown): FeedSettings["types"] {
  if (types === undefined) return undefined;
  const isList = Array.isArray(types) && types.length > 0;
  if (isList && types.every((type) => typeof type === "string" && Object.hasOwn(ChangeType, type)))
    return new Set(types.map((type: keyof typeof ChangeType) => ChangeType[type]));
  throw invalidOption('types must be an array of at least one of "create", "update" and "delete"');
}

function checkShown<T>(options: ChangesOptions<T>): ShownAs {
  if (!checkFlag("values", options.values, true)) return "key";
  return checkFlag("previous", options.previous, false) ? "previous" : "value";
}

function checkProgress(progressMs: unknown): number | undefined {
  if (progressMs === undefined) return undefined;
  const checked = checkBound("progressMs", progressMs, 1);
  if (checked <= PROGRESS_MS_MAX) return checked;
  throw invalidOption(`progressMs is ${checked}, limit ${PROGRESS_MS_MAX}`);
}

function checkFlag(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value === "boolean") return value;
  throw invalidOption(`${name} must be true or false, found ${describe(value)}`);
}

/** The first choice is the default. */
function checkChoice<C extends string>(name: string, value: unknown, choices: readonly [C, ...C[]]): C {
  if (value === undefined) return choices[0];
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw invalidOption(
    `${name} must be one of ${choices.map((choice) => `"${choice}"`).join(", ")}, found ${describe(value)}`,
  );
}

function checkInstance<V>(
  name: string,
  value: V | undefined,
  what: string,
  isOne: (value: V) => boolean,
): V | undefined {
  if (value === undefined || isOne(value)) return value;
  throw invalidOption(`${name} must be ${what}, found ${describe(value)}`);
}

function checkBound(name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw invalidOption(`${name} must be a whole number from 1, found ${describe(value)}`);
}

function invalidOption(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_OPTION", message);
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return value === null || typeof value === "number" ? String(value) : typeof value;
}

/** Those of every feed that is opened without any: one object for all. */
const DEFAULTS: FeedSettings = checkGiven({});
