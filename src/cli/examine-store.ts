/**
 * Owns what `belfry doctor` looks at in the directory of a store. It changes nothing there; for a moment its lock stands beside the files.
 */
import { constants } from "node:fs";
import { access, stat, statfs } from "node:fs/promises";
import { KvLockedError, verifyStore } from "../index.js";
import { dataFileOf } from "../store/data-file.js";
import { type Manifest, readManifest, shardDirectory } from "../store/manifest.js";
import { OwnerLock } from "../store/owner-lock.js";
import { type Finding, failed, gibibytes, ok, warning } from "./finding.js";

const FREE_BYTES_MIN = 64 * 2 ** 20;
const FREE_BYTES_WANTED = 2 ** 30;

/** File systems of statfs(2) on Linux that a store should not be on. */
const NETWORK = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9p"],
]);
const TMPFS = 0x01021994;

/** What was found, up to the first thing without which the rest can't be looked at. */
export async function examineStore(path: string, verify: boolean): Promise<Finding[]> {
  const findings = [await directory(path)];
  if (findings[0]!.state === "failed") return findings;
  findings.push(await space(path), await fileSystem(path));
  const { finding, isFree } = await owner(path);
  findings.push(finding);
  const manifest = manifestOf(path);
  findings.push(manifest.finding);
  if (manifest.manifest === null) return findings;
  findings.push(await shards(path, manifest.manifest));
  if (verify) findings.push(isFree ? await contents(path) : unverified());
  return findings;
}

async function directory(path: string): Promise<Finding> {
  try {
    if (!(await stat(path)).isDirectory())
      return failed("path", `${path} is no directory`, "give the directory of a store");
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return ok("path", `${path}, may be read and written`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT"
      ? failed(
          "path",
          `${path} does not exist`,
          "is the path right? `belfry set`, `import` and `serve` make a store",
        )
      : failed("path", message, "give the user who runs this rights to read and write the directory");
  }
}

async function space(path: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(path);
  const free = bavail * bsize;
  const found = `${gibibytes(free)} free`;
  if (free < FREE_BYTES_MIN)
    return failed("space", found, "make room: commits are refused when the disk is full");
  if (free < FREE_BYTES_WANTED)
    return warning("space", found, "make room: commits are refused when the disk is full");
  return ok("space", found);
}

async function fileSystem(path: string): Promise<Finding> {
  const { type } = await statfs(path);
  const network = NETWORK.get(type >>> 0);
  if (network !== undefined)
    return warning(
      "file system",
      network,
      "use a local disk: over a network nothing keeps two machines from opening a store at once",
    );
  if (type === TMPFS)
    return warning("file system", "tmpfs", "it is in memory: a restart of the machine empties it");
  return ok("file system", `type 0x${(type >>> 0).toString(16)}`);
}

async function owner(path: string): Promise<{ readonly finding: Finding; readonly isFree: boolean }> {
  try {
    (await OwnerLock.acquire(path)).release();
    return { finding: ok("owner", "nobody has it open"), isFree: true };
  } catch (error) {
    if (error instanceof KvLockedError)
      return { finding: ok("owner", `process ${error.pid} has it open`), isFree: false };
    const advice = "the lock is a file in the directory: give this user rights, or make room";
    return { finding: failed("owner", (error as Error).message, advice), isFree: false };
  }
}

function manifestOf(path: string): { readonly finding: Finding; readonly manifest: Manifest | null } {
  try {
    const manifest = readManifest(path, {});
    if (manifest === null) {
      const advice = "whoever opens the path next makes a store of it";
      return {
        finding: warning("manifest", "no store yet, or one whose creation was not finished", advice),
        manifest,
      };
    }
    const { format, id, createdAt, partitionDepth } = manifest;
    const found = `format ${format}, ${manifest.shards} shards, partition depth ${partitionDepth}, created ${createdAt}, id ${id}`;
    return { finding: ok("manifest", found), manifest };
  } catch (error) {
    const advice = "use the version of belfry that wrote it, or restore a backup";
    return { finding: failed("manifest", (error as Error).message, advice), manifest: null };
  }
}

async function shards(path: string, manifest: Manifest): Promise<Finding> {
  let bytes = 0;
  const missing: string[] = [];
  for (let shard = 0; shard < manifest.shards; shard++) {
    const file = dataFileOf(shardDirectory(path, shard));
    const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
      throw error;
    });
    if (found === null) missing.push(file);
    else bytes += found.size;
  }
  if (missing.length > 0)
    return failed(
      "shards",
      `there is no ${missing.join(", ")}`,
      "restore a backup: a part of the store is gone",
    );
  return ok("shards", `${manifest.shards} of ${manifest.shards}, ${gibibytes(bytes)}`);
}

async function contents(path: string): Promise<Finding> {
  const { problems } = await verifyStore(path);
  if (problems.length === 0) return ok("contents", "every page and row is as it was written");
  const [first] = problems;
  const found = `${problems.length} problems, the first in ${first!.where}: ${first!.what}`;
  return failed("contents", found, "`belfry verify` tells all; restore a backup");
}

function unverified(): Finding {
  return warning(
    "contents",
    "not verified: somebody has it open",
    "close it there, or verify a backup of it",
  );
}
