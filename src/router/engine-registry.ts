/**
 * Owns the rule that a path is opened once in a process: every `openKv` of one path shares one engine, by reference count. An LMDB
 * environment must not be opened twice, and watchers of one Kv must hear the writes of another.
 *
 * Invariant: for a path there is at most one engine that is not closed. Whoever comes while it closes waits, and opens anew.
 */
import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { KvError } from "../errors.js";
import { Engine, type EngineOptions } from "./engine.js";

/** A share in an engine. Given back once, by `release`. */
export interface EngineShare {
  readonly engine: Engine;
  /** Resolves when the engine needs nothing of this share any more; the last one closes it. */
  release(): Promise<void>;
}

interface Registered {
  readonly opening: Promise<Engine>;
  readonly options: EngineOptions;
  shares: number;
  closing: Promise<void> | null;
}

const registered = new Map<string, Registered>();

/** A share in the engine of `path`; `null` is a private store of its own. */
export async function acquireEngine(path: string | null, options: EngineOptions): Promise<EngineShare> {
  if (path === null) {
    const engine = await Engine.open(null, options);
    return { engine, release: () => engine.close() };
  }
  const name = canonical(path);
  for (;;) {
    const found = registered.get(name);
    if (found === undefined) return share(name, register(name, path, options));
    if (found.closing === null) {
      checkCompatible(path, found.options, options);
      const shared = await share(name, found);
      return checkFixed(path, shared, options);
    }
    await found.closing;
  }
}

function register(name: string, path: string, options: EngineOptions): Registered {
  const entry: Registered = { opening: Engine.open(path, options), options, shares: 0, closing: null };
  registered.set(name, entry);
  return entry;
}

async function share(name: string, entry: Registered): Promise<EngineShare> {
  entry.shares++;
  try {
    const engine = await entry.opening;
    return { engine, release: () => release(name, entry, engine) };
  } catch (error) {
    if (registered.get(name) === entry) registered.delete(name);
    throw error;
  }
}

async function release(name: string, entry: Registered, engine: Engine): Promise<void> {
  if (--entry.shares > 0) return;
  entry.closing = engine.close().finally(() => registered.delete(name));
  await entry.closing;
}

/** What is fixed for the whole engine can't be asked for differently by the second one who opens it. */
function checkCompatible(path: string, open: EngineOptions, asked: EngineOptions): void {
  for (const name of ["durability", "shards", "partitionDepth", "clock", "changeRingBytes"] as const) {
    if (asked[name] === undefined || asked[name] === open[name]) continue;
    // The first one took what the store has, which is known when it is open.
    if (open[name] === undefined && (name === "shards" || name === "partitionDepth")) continue;
    throw conflict(path, name, open[name], asked[name]);
  }
}

/** What the store has, and the first one did not ask for. Gives the share back where the second one asked for something else. */
async function checkFixed(path: string, shared: EngineShare, asked: EngineOptions): Promise<EngineShare> {
  const { manifest } = shared.engine.caller.shared;
  for (const name of ["shards", "partitionDepth"] as const) {
    if (asked[name] === undefined || asked[name] === manifest[name]) continue;
    await shared.release();
    throw conflict(path, name, manifest[name], asked[name]);
  }
  return shared;
}

function conflict(path: string, name: string, open: unknown, asked: unknown): KvError {
  return new KvError(
    "KV_OPTIONS_CONFLICT",
    `store ${path} is open in this process with ${name} ${describe(open)}, asked ${describe(asked)}: use the same, or close it first`,
  );
}

function describe(value: unknown): string {
  return typeof value === "object" && value !== null ? value.constructor.name : String(value);
}

/** One name for all ways to write a path, whether it exists yet or not. */
function canonical(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch {
    // It does not exist: then its nearest ancestor that does decides.
    const parent = dirname(absolute);
    return parent === absolute ? absolute : join(canonical(parent), basename(absolute));
  }
}
