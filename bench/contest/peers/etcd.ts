/**
 * etcd on the loopback interface, a cluster of one, by the package etcd3: its plain calls, and one watch stream that all watchers share.
 */
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { findPackage, importPackage } from "../find-package.js";
import type { BenchKey, Peer, PeerStore } from "../peer.js";
import { flatKey } from "../sample-data.js";
import { EtcdWatches, type WatchStream } from "./etcd-watches.js";
import { freePort, serverVersion, startServer } from "./server-process.js";

/** An entry; `mod_revision` is a decimal number. */
interface KeyValue {
  readonly value: Buffer;
  readonly mod_revision: string;
}

interface RangeResponse {
  readonly kvs: readonly KeyValue[];
}

interface TxnResponse {
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range?: RangeResponse }[];
}

interface Client {
  readonly kv: {
    put(request: { key: Buffer; value: Buffer }): Promise<unknown>;
    range(request: { key: Buffer; range_end?: Buffer; limit?: number }): Promise<RangeResponse>;
    txn(request: { compare?: object[]; success: object[]; failure?: object[] }): Promise<TxnResponse>;
  };
  readonly watchClient: { watch(): Promise<WatchStream> };
  close(): void;
}

interface Etcd {
  Etcd3: new (options: { hosts: string }) => Client;
}

/** A commit has up to 100 sets; the server's default is 128 operations. */
const TXN_OPS_MAX = 1024;
/** Old revisions stay until they are compacted, and large values come to more than the default of 2 GiB. */
const BACKEND_BYTES_MAX = 8 * 1024 ** 3;

export const etcd: Peer = {
  name: "etcd",
  modes: [
    { durability: "relaxed", kept: "relaxed", setting: "--unsafe-no-fsync" },
    { durability: "sync", kept: "sync", setting: "fsync of each raft batch" },
  ],
  find: async () => {
    if (findPackage("etcd3") === undefined) return { missing: "package etcd3" };
    const version = serverVersion("etcd", ["--version"], /etcd Version: (\S+)/);
    return version === undefined ? { missing: "etcd on the PATH" } : { version };
  },
  open: async (directory, { durability }) => {
    const { Etcd3 } = await importPackage<Etcd>("etcd3");
    const [port, peerPort] = await Promise.all([freePort(), freePort()]);
    const args = serverArguments(directory, `http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`);
    if (durability === "relaxed") args.push("--unsafe-no-fsync");
    const hosts = `127.0.0.1:${port}`;
    const { client, stop } = await startServer("etcd", args, () => connect(Etcd3, hosts));
    const close = async (): Promise<void> => {
      try {
        client.watches.close();
      } finally {
        client.etcd.close();
        await stop();
      }
    };
    return store(client, close);
  },
};

function serverArguments(directory: string, clientUrl: string, peerUrl: string): string[] {
  const settings = {
    name: "bench",
    "data-dir": join(directory, "etcd"),
    "listen-client-urls": clientUrl,
    "advertise-client-urls": clientUrl,
    "listen-peer-urls": peerUrl,
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": `bench=${peerUrl}`,
    "max-txn-ops": TXN_OPS_MAX,
    "quota-backend-bytes": BACKEND_BYTES_MAX,
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

interface Connected {
  readonly etcd: Client;
  readonly watches: EtcdWatches;
}

/** A client to which the server has answered: its one member has become the leader. */
async function connect(Etcd3: Etcd["Etcd3"], hosts: string): Promise<Connected> {
  const client = new Etcd3({ hosts });
  try {
    await client.kv.range({ key: keyBytes(["none"]) });
    return { etcd: client, watches: new EtcdWatches(await client.watchClient.watch()) };
  } catch (error) {
    client.close();
    throw error;
  }
}

function store({ etcd: { kv }, watches }: Connected, close: () => Promise<void>): PeerStore {
  return {
    set: (key, value) => kv.put({ key: keyBytes(key), value: serialize(value) }),
    setAll: (entries) => kv.txn({ success: entries.map(([key, value]) => put(keyBytes(key), value)) }),
    get: async (key) => {
      const { kvs } = await kv.range({ key: keyBytes(key) });
      return kvs[0] && deserialize(kvs[0].value);
    },
    list: async (prefix, limit) => {
      const { kvs } = await kv.range({ key: keyBytes(prefix), range_end: endOfPrefix(prefix), limit });
      for (const { value } of kvs) deserialize(value);
      return kvs.length;
    },
    increment: (key) => increment(kv, keyBytes(key)),
    watch: (key, heard) => watches.add(keyBytes(key), (value) => heard(deserialize(value))),
    close,
  };
}

/** A transaction that was too late brings back what is there now, for the next one: one round trip for each attempt. */
async function increment(kv: Client["kv"], key: Buffer): Promise<void> {
  let [current] = (await kv.range({ key })).kvs;
  for (;;) {
    const next = current === undefined ? 1 : (deserialize(current.value) as number) + 1;
    const { succeeded, responses } = await kv.txn({
      compare: [{ key, target: "Mod", result: "Equal", mod_revision: current?.mod_revision ?? "0" }],
      success: [put(key, next)],
      failure: [{ request_range: { key } }],
    });
    if (succeeded) return;
    current = responses[0]?.response_range?.kvs[0];
  }
}

function put(key: Buffer, value: unknown): object {
  return { request_put: { key, value: serialize(value) } };
}

function keyBytes(key: BenchKey): Buffer {
  return Buffer.from(flatKey(key));
}

/** The first key behind all those that begin so: a flat key ends with a slash. */
function endOfPrefix(prefix: BenchKey): Buffer {
  const end = keyBytes(prefix);
  end[end.length - 1]!++;
  return end;
}
