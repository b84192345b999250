/**
 * Owns `manifest.json`: what was fixed when a store was created. Runs on the thread that opens the store.
 *
 * Invariants
 * 1. It is written once, before any shard, whole (to a temporary file, flushed, renamed, the directory flushed).
 * 2. Reading it changes nothing: a store that is damaged, newer or other than asked is left as it was.
 * 3. While `creating` stands beside it, the store has never been open: whatever is there, a crash has left it, and it is made anew.
 * 4. Its checksum covers every field, so an edited or half-written one is found.
 */
import { createHash, randomUUID } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  KvFormatError,
  KvManifestError,
  KvNotAStoreError,
  KvShardCountError,
  KvTypeError,
} from "../errors.js";
import { PAGE_SIZE_BYTES, PARTITION_DEPTH_MAX, SHARDS_MAX, STORE_FORMAT } from "../limits.js";
import { shown } from "../shown.js";
import { flushDirectory, flushFile, replaceFile } from "./flush.js";
import { isLockFile } from "./owner-lock.js";

/** What is fixed at creation. */
export interface Manifest {
  readonly format: number;
  /** Identity of the store, for tools and for KV Connect. */
  readonly id: string;
  readonly shards: number;
  readonly partitionDepth: number;
  /** The hash that chooses a key's shard. */
  readonly partitionHash: "fnv1a32-fmix32";
  readonly pageSizeBytes: number;
  readonly createdAt: string;
}

/** What an opener asks for: `undefined` accepts what is there. */
export interface ManifestWish {
  readonly shards?: number | undefined;
  readonly partitionDepth?: number | undefined;
}

const FILE = "manifest.json";
const TEMPORARY = "manifest.json.new";
const CREATING = "creating";

/** What a store has beside its lock. */
const OWN_NAME = /^(shard-\d{3}|(manifest|checkpoint)\.json(\.new)?)$/;

/** Name of a shard's directory inside the store. */
export function shardDirectory(path: string, shard: number): string {
  return join(path, `shard-${String(shard).padStart(3, "0")}`);
}

/** Throws a {@link KvTypeError} when the wish can't be met by any store. */
export function checkWish(wish: ManifestWish): void {
  checkInteger("shards", wish.shards, SHARDS_MAX);
  checkInteger("partitionDepth", wish.partitionDepth, PARTITION_DEPTH_MAX);
}

function checkInteger(name: string, value: number | undefined, max: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new KvTypeError(
      "KV_INVALID_OPTION",
      `${name} must be an integer from 1 to ${max}: received ${shown(value)}`,
    );
  }
}

/** The manifest of the store in `path`, `null` when the directory is empty. Touches nothing. */
export function readManifest(path: string, wish: ManifestWish): Manifest | null {
  const names = readdirSync(path);
  if (names.includes(CREATING)) return null;
  if (!names.includes(FILE)) {
    const foreign = names.find((name) => name !== TEMPORARY && !isLockFile(name));
    if (foreign !== undefined) throw new KvNotAStoreError(path, `it holds ${foreign} but no ${FILE}`);
    return null;
  }
  const manifest = parseManifest(join(path, FILE));
  if (wish.shards !== undefined && wish.shards !== manifest.shards) {
    throw new KvShardCountError(path, "shards", manifest.shards, wish.shards);
  }
  if (wish.partitionDepth !== undefined && wish.partitionDepth !== manifest.partitionDepth) {
    throw new KvShardCountError(path, "partitionDepth", manifest.partitionDepth, wish.partitionDepth);
  }
  return manifest;
}

/** Creates the manifest of a new store in the existing directory `path`. It is none before {@link finishCreation}. */
export function createManifest(path: string, shards: number, partitionDepth: number): Manifest {
  const manifest: Manifest = {
    format: STORE_FORMAT,
    id: randomUUID(),
    shards,
    partitionDepth,
    partitionHash: "fnv1a32-fmix32",
    pageSizeBytes: PAGE_SIZE_BYTES,
    createdAt: new Date().toISOString(),
  };
  beginCreation(path);
  replaceFile(path, FILE, `${JSON.stringify({ ...manifest, checksum: checksum(manifest) }, null, 2)}\n`);
  return manifest;
}

/** The shards of a new store are on the disk: from now on it is a store. */
export function finishCreation(path: string): void {
  if (!readdirSync(path).includes(CREATING)) return;
  rmSync(join(path, CREATING));
  flushDirectory(path);
}

/** Begins a store in the existing directory `path` that has the manifest of another. It is none before {@link finishCreation}. */
export function copyManifest(from: string, path: string): void {
  beginCreation(path);
  replaceFile(path, FILE, readFileSync(join(from, FILE), "utf8"));
}

/** Clears away what a crash has left of an earlier creation. */
function beginCreation(path: string): void {
  writeFileSync(join(path, CREATING), "");
  flushFile(join(path, CREATING));
  flushDirectory(path);
  for (const name of readdirSync(path))
    if (OWN_NAME.test(name)) rmSync(join(path, name), { recursive: true });
}

function parseManifest(file: string): Manifest {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new KvManifestError(file, (error as Error).message, { cause: error });
  }
  if (typeof fields !== "object" || fields === null) throw new KvManifestError(file, "it is not an object");
  const { checksum: found, ...rest } = fields;
  if (typeof rest["format"] === "number" && rest["format"] > STORE_FORMAT) {
    throw new KvFormatError(file, rest["format"], STORE_FORMAT);
  }
  const expected = checksum(rest);
  if (found !== expected)
    throw new KvManifestError(file, `its checksum is ${String(found)}, expected ${expected}`);
  if (rest["format"] !== STORE_FORMAT) throw new KvFormatError(file, Number(rest["format"]), STORE_FORMAT);
  return rest as unknown as Manifest;
}

function checksum(fields: object): string {
  const sorted = Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex").slice(0, 16);
}
