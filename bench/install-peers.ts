/**
 * Owns `--install-peers`: the packages of the peers, into a cache directory of their own, without running their scripts.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { peersDirectory } from "./contest/find-package.js";
import { PEER_PACKAGES } from "./contest/peers/registry.js";

/** Returns npm's exit code. */
export function installPeers(): number {
  const directory = peersDirectory();
  mkdirSync(directory, { recursive: true });
  const manifest = join(directory, "package.json");
  if (!existsSync(manifest)) writeFileSync(manifest, '{ "private": true }\n');
  console.error(`installing into ${directory}: ${PEER_PACKAGES.join(" ")}`);
  // By force: some of them ask for a newer Node than this one, and are run in it.
  const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--force", ...PEER_PACKAGES];
  const { status } = spawnSync("npm", args, { cwd: directory, stdio: "inherit" });
  console.error("redis, etcd and nats are measured when redis-server, etcd and nats-server are on the PATH");
  return status ?? 1;
}
