/**
 * Owns the list of the stores that can be measured. Each is loaded only when it is asked for: a child process of another runtime can't
 * load them all.
 */
import type { Peer } from "../peer.js";

const LOADERS: Readonly<Record<string, () => Promise<Peer>>> = {
  belfry: async () => (await import("./belfry.js")).belfry(),
  "belfry-1": async () => (await import("./belfry.js")).belfry("belfry-1", 1),
  "belfry-2": async () => (await import("./belfry.js")).belfry("belfry-2", 2),
  "belfry-4": async () => (await import("./belfry.js")).belfry("belfry-4", 4),
  "belfry-8": async () => (await import("./belfry.js")).belfry("belfry-8", 8),
  lmdb: async () => (await import("./lmdb.js")).lmdb,
  libsql: async () => (await import("./sqlite.js")).libsql,
  "better-sqlite3": async () => (await import("./sqlite.js")).betterSqlite3,
  "classic-level": async () => (await import("./classic-level.js")).classicLevel,
  "deno-kv": async () => (await import("./deno-kv.js")).denoKv,
  deno: async () => (await import("./deno.js")).deno,
  valkeyrie: async () => (await import("./valkeyrie.js")).valkeyrie,
  redis: async () => (await import("./redis.js")).redis,
  etcd: async () => (await import("./etcd.js")).etcd,
  nats: async () => (await import("./nats.js")).nats,
};

/** The names of all, Belfry first. */
export const PEER_NAMES: readonly string[] = Object.keys(LOADERS);

/** Those that take part unless others are named: Belfry as it comes, and all the others. */
export const DEFAULT_PEER_NAMES: readonly string[] = PEER_NAMES.filter((name) => !/^belfry-\d/.test(name));

/** Packages that `--install-peers` installs. None of them needs to compile or download anything when it is installed. */
export const PEER_PACKAGES: readonly string[] = [
  "@deno/kv@0.14.0",
  "deno@2.9.6",
  "libsql@0.5.29",
  "classic-level@3.0.0",
  "valkeyrie@0.8.4",
  `node-${process.platform}-${process.arch}@22`,
  "redis@6.3.1",
  "etcd3@1.1.2",
  "@nats-io/transport-node@3.4.0",
  "@nats-io/kv@3.4.0",
];

/** The adapter of that name. */
export function loadPeer(name: string): Promise<Peer> {
  const load = LOADERS[name];
  if (load === undefined) throw new Error(`no peer is called ${name}: known are ${PEER_NAMES.join(", ")}`);
  return load();
}
