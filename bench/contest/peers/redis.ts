/**
 * Redis on the loopback interface, by the package redis. A watch is a subscription: the writer publishes in the same MULTI as it sets.
 */
import { deserialize, serialize } from "node:v8";
import { findPackage, importPackage } from "../find-package.js";
import type { Peer, PeerStore } from "../peer.js";
import { flatKey } from "../sample-data.js";
import { freePort, serverVersion, startServer } from "./server-process.js";

interface Multi {
  set(key: string, value: Buffer): Multi;
  publish(channel: string, message: Buffer): Multi;
  exec(): Promise<unknown>;
}

interface Client {
  connect(): Promise<unknown>;
  duplicate(): Client;
  on(event: "error", listener: (error: Error) => void): unknown;
  set(key: string, value: Buffer): Promise<unknown>;
  get(key: string): Promise<Buffer | null>;
  incrBy(key: string, operand: number): Promise<unknown>;
  multi(): Multi;
  eval(script: string, options: { keys: string[] }): Promise<unknown>;
  withTypeMapping(mapping: object): Client;
  subscribe(channel: string, listener: (message: Buffer) => void, asBuffers: true): Promise<void>;
  destroy(): void;
}

interface Redis {
  createClient(options: object): Client;
  RESP_TYPES: { BLOB_STRING: number };
}

/** As a check-and-set would, in one round trip: Redis has no other that does not need a connection for each caller. */
const INCREMENT = "return redis.call('SET', KEYS[1], (tonumber(redis.call('GET', KEYS[1])) or 0) + 1)";

export const redis: Peer = {
  name: "redis",
  modes: [
    { durability: "relaxed", kept: "relaxed", setting: "appendfsync everysec" },
    { durability: "sync", kept: "sync", setting: "appendfsync always" },
  ],
  find: async () => {
    if (findPackage("redis") === undefined) return { missing: "package redis" };
    const version = serverVersion("redis-server", ["--version"], /v=(\S+)/);
    return version === undefined ? { missing: "redis-server on the PATH" } : { version };
  },
  open: async (directory, { durability }) => {
    const { createClient, RESP_TYPES } = await importPackage<Redis>("redis");
    const port = await freePort();
    const fsync = durability === "relaxed" ? "everysec" : "always";
    const settings = { port, bind: "127.0.0.1", dir: directory, appendonly: "yes", appendfsync: fsync };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const connect = async (): Promise<Client> => {
      const client = createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: false } });
      client.on("error", () => {});
      await client.connect();
      return client;
    };
    const { client, stop } = await startServer("redis-server", [...args, "--save", ""], connect);
    const subscriber = client.duplicate();
    subscriber.on("error", () => {});
    await subscriber.connect();
    const close = async (): Promise<void> => {
      subscriber.destroy();
      client.destroy();
      await stop();
    };
    return store(client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }), subscriber, close);
  },
};

function store(client: Client, subscriber: Client, close: () => Promise<void>): PeerStore {
  return {
    set: (key, value) => client.set(flatKey(key), serialize(value)),
    setAll: (entries) => {
      const multi = client.multi();
      for (const [key, value] of entries) multi.set(flatKey(key), serialize(value));
      return multi.exec();
    },
    get: async (key) => {
      const value = await client.get(flatKey(key));
      return value && deserialize(value);
    },
    sum: (key, operand) => client.incrBy(flatKey(key), operand),
    increment: async (key) => void (await client.eval(INCREMENT, { keys: [flatKey(key)] })),
    watch: async (key, heard) => {
      await subscriber.subscribe(flatKey(key), (message) => heard(deserialize(message)), true);
      // The connection ends with the store.
      return () => {};
    },
    setWatched: (key, value) => {
      const bytes = serialize(value);
      return client.multi().set(flatKey(key), bytes).publish(flatKey(key), bytes).exec();
    },
    close,
  };
}
