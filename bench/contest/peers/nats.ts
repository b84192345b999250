/**
 * NATS KV, a JetStream in files, on the loopback interface, by the packages @nats-io/transport-node and @nats-io/kv. Parts of a key are
 * tokens of a subject. It has no commit of several keys, lists in the order of writing, and its watchers miss what is replaced before it
 * was sent.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { findPackage, importPackage } from "../find-package.js";
import type { BenchKey, Peer, PeerStore } from "../peer.js";
import { freePort, serverVersion, startServer } from "./server-process.js";

interface Entry {
  readonly value: Uint8Array;
  readonly revision: number;
}

type Entries = AsyncIterable<Entry> & { stop(): void };

interface Bucket {
  put(key: string, value: Uint8Array): Promise<number>;
  get(key: string): Promise<Entry | null>;
  create(key: string, value: Uint8Array): Promise<number>;
  update(key: string, value: Uint8Array, revision: number): Promise<number>;
  history(options: { key: string }): Promise<Entries>;
  watch(options: { key: string; include: "updates" }): Promise<Entries>;
}

interface Connection {
  close(): Promise<void>;
}

interface Transport {
  connect(options: { servers: string; reconnect: boolean }): Promise<Connection>;
}

interface Kv {
  Kvm: new (
    connection: Connection,
  ) => {
    create(name: string, options: { history: number; storage: "file" }): Promise<Bucket>;
  };
}

const PACKAGES = ["@nats-io/transport-node", "@nats-io/kv"] as const;
/** What the server calls a write that was too late. */
const WRONG_LAST_SEQUENCE = 10071;

export const nats: Peer = {
  name: "nats",
  // Servers before 2.10 can't sync each write: there is no other setting.
  modes: [{ durability: "relaxed", kept: "relaxed", setting: "file storage, default sync interval" }],
  find: async () => {
    const missing = PACKAGES.find((name) => findPackage(name) === undefined);
    if (missing !== undefined) return { missing: `package ${missing}` };
    const version = serverVersion("nats-server", ["--version"], /v(\d\S+)/);
    return version === undefined ? { missing: "nats-server on the PATH" } : { version };
  },
  open: async (directory) => {
    const { connect } = await importPackage<Transport>(PACKAGES[0]);
    const { Kvm } = await importPackage<Kv>(PACKAGES[1]);
    const port = await freePort();
    const file = join(directory, "nats.conf");
    writeFileSync(file, serverSettings(directory, port));
    const { client, stop } = await startServer("nats-server", ["-c", file], async () => {
      const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
      try {
        const bucket = await new Kvm(connection).create("bench", { history: 1, storage: "file" });
        return { connection, bucket };
      } catch (error) {
        await connection.close();
        throw error;
      }
    });
    const close = async (): Promise<void> => {
      await client.connection.close();
      await stop();
    };
    return store(client.bucket, close);
  },
};

/** The server's default for a message is 1 MiB: the largest value of a workload is that long before it is encoded. */
function serverSettings(directory: string, port: number): string {
  return `listen: "127.0.0.1:${port}"
max_payload: 8MB
jetstream { store_dir: ${JSON.stringify(join(directory, "nats"))} }
`;
}

function store(bucket: Bucket, close: () => Promise<void>): PeerStore {
  /** Of a watch that ended by itself; told when the store is closed. */
  let failure: unknown;
  return {
    set: (key, value) => bucket.put(subject(key), serialize(value)),
    get: async (key) => {
      const entry = await bucket.get(subject(key));
      return entry && deserialize(entry.value);
    },
    list: async (prefix, limit) => {
      let count = 0;
      for await (const { value } of await bucket.history({ key: `${subject(prefix)}.>` })) {
        deserialize(value);
        if (++count === limit) break;
      }
      return count;
    },
    increment: (key) => increment(bucket, subject(key)),
    watch: async (key, heard) => {
      const entries = await bucket.watch({ key: subject(key), include: "updates" });
      // Ends with the watch or the connection.
      const read = async (): Promise<void> => {
        for await (const { value } of entries) heard(deserialize(value));
      };
      read().catch((error: unknown) => {
        failure ??= error;
      });
      return () => entries.stop();
    },
    close: async () => {
      await close();
      if (failure !== undefined) throw failure;
    },
  };
}

async function increment(bucket: Bucket, key: string): Promise<void> {
  for (;;) {
    const entry = await bucket.get(key);
    try {
      if (entry === null) await bucket.create(key, serialize(1));
      else await bucket.update(key, serialize((deserialize(entry.value) as number) + 1), entry.revision);
      return;
    } catch (error) {
      if ((error as { code?: unknown }).code !== WRONG_LAST_SEQUENCE) throw error;
    }
  }
}

/** The key as tokens with dots between. What a token must not contain is written as `=` and its hexadecimal code. */
function subject(key: BenchKey): string {
  return key
    .map((part) => (typeof part === "number" ? String(part).padStart(9, "0") : token(part)))
    .join(".");
}

function token(part: string): string {
  return part.replace(/[^-\w]/gu, (character) => `=${character.codePointAt(0)!.toString(16)}=`);
}
