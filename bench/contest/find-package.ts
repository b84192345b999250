/**
 * Owns finding packages that are no dependencies: peers are measured when they are there. They are looked for in the project, in the
 * directories that BELFRY_BENCH_PEERS names (separated as in PATH), and where `--install-peers` puts them.
 */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** What we read of a package.json. */
interface PackageJson {
  readonly version: string;
  readonly main?: string;
  readonly module?: string;
  readonly exports?: unknown;
}

export interface FoundPackage {
  readonly directory: string;
  readonly version: string;
}

/** Where `--install-peers` puts packages. */
export function peersDirectory(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "belfry-bench");
}

/** A package's directory and version; `undefined` when it is nowhere. */
export function findPackage(name: string): FoundPackage | undefined {
  for (const root of roots()) {
    const directory = join(root, "node_modules", name);
    const file = join(directory, "package.json");
    if (existsSync(file)) return { directory, version: readJson(file).version };
  }
  return undefined;
}

/** Imports a package that {@link findPackage} has found. */
export async function importPackage<T>(name: string): Promise<T> {
  const found = findPackage(name);
  if (found === undefined) throw new Error(`package ${name} is not on this machine`);
  const json = readJson(join(found.directory, "package.json"));
  const entry = exported(json.exports) ?? json.main ?? "index.js";
  return (await import(pathToFileURL(fileOf(found.directory, entry)).href)) as T;
}

/** The directories above this file, those of the environment, and the cache. */
function roots(): string[] {
  const found: string[] = [];
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    found.push(directory);
    if (directory === dirname(directory)) break;
  }
  const named = (process.env["BELFRY_BENCH_PEERS"] ?? "").split(delimiter).filter((path) => path !== "");
  return [...found, ...named, peersDirectory()];
}

/** The file that `exports` gives to whoever imports the package by its name. */
function exported(exports: unknown): string | undefined {
  if (typeof exports === "string") return exports;
  if (typeof exports !== "object" || exports === null) return undefined;
  const conditions = exports as Record<string, unknown>;
  if ("." in conditions) return exported(conditions["."]);
  for (const condition of ["node", "import", "default", "require"]) {
    const file = exported(conditions[condition]);
    if (file !== undefined) return file;
  }
  return undefined;
}

function fileOf(directory: string, entry: string): string {
  const file = join(directory, entry);
  const candidates = [file, `${file}.js`, join(file, "index.js")];
  return candidates.find((candidate) => existsSync(candidate) && candidate.endsWith("js")) ?? file;
}

function readJson(file: string): PackageJson {
  return JSON.parse(readFileSync(file, "utf8")) as PackageJson;
}
