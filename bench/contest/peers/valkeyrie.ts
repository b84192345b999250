/**
 * Valkeyrie, on node:sqlite. Where the running Node is older than 22, in a child process of a newer one: BELFRY_BENCH_NODE, or the
 * package that `--install-peers` brings.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findPackage, importPackage } from "../find-package.js";
import type { Peer, PeerFinding } from "../peer.js";
import { type DenoLikeKv, kvStore } from "./kv-store.js";

const NODE_MAJOR_MIN = 22;

export const valkeyrie: Peer = {
  name: "valkeyrie",
  modes: [{ durability: "relaxed", kept: "relaxed", setting: "its defaults" }],
  find: async (): Promise<PeerFinding> => {
    const found = findPackage("valkeyrie");
    if (found === undefined) return { missing: "package valkeyrie" };
    if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) return { version: found.version };
    const node = newerNode();
    if (node === undefined) return { missing: `Node ${NODE_MAJOR_MIN}: name one in BELFRY_BENCH_NODE` };
    return { version: found.version, command: [node] };
  },
  open: async (directory) => {
    const { Valkeyrie } = await importPackage<{ Valkeyrie: { open(path: string): Promise<DenoLikeKv> } }>(
      "valkeyrie",
    );
    const { listen: _, enqueue: __, ...store } = kvStore(await Valkeyrie.open(join(directory, "store")));
    // It has no queue.
    return store;
  },
};

function newerNode(): string | undefined {
  const named = process.env["BELFRY_BENCH_NODE"];
  if (named !== undefined) return named;
  const found = findPackage(`node-${process.platform}-${process.arch}`);
  const file = found && join(found.directory, "bin", "node");
  const isNew = found !== undefined && Number.parseInt(found.version, 10) >= NODE_MAJOR_MIN;
  return isNew && file !== undefined && existsSync(file) ? file : undefined;
}
