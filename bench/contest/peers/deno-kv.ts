/**
 * The package @deno/kv: Deno KV's SQLite backend in Node.
 */
import { join } from "node:path";
import { findPackage, importPackage } from "../find-package.js";
import type { Peer } from "../peer.js";
import { type DenoLikeKv, kvStore } from "./kv-store.js";

export const denoKv: Peer = {
  name: "deno-kv",
  modes: [
    { durability: "relaxed", kept: "memory", setting: ":memory:" },
    { durability: "sync", kept: "sync", setting: "a file" },
  ],
  find: async () => {
    const found = findPackage("@deno/kv");
    return found === undefined ? { missing: "package @deno/kv" } : { version: found.version };
  },
  open: async (directory, { durability }) => {
    const { openKv } = await importPackage<{ openKv(path: string): Promise<DenoLikeKv> }>("@deno/kv");
    const {
      watch: _,
      increment: __,
      listen: ___,
      enqueue: ____,
      ...store
    } = kvStore(await openKv(durability === "relaxed" ? ":memory:" : join(directory, "store")));
    // It has no watch, its queue is not measured, and 16 callers that check and set one key hold each other up for minutes (0.14).
    return store;
  },
};
