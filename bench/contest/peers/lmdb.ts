/**
 * lmdb-js as it comes, in the calling thread: its own encoding (msgpack), its own batching of asynchronous writes.
 */
import { join } from "node:path";
import { findPackage, importPackage } from "../find-package.js";
import { type BenchKey, type Peer, type PeerStore, reopenable } from "../peer.js";

interface Database {
  get(key: BenchKey): unknown;
  put(key: BenchKey, value: unknown): Promise<boolean>;
  putSync(key: BenchKey, value: unknown): void;
  transaction<T>(action: () => T): Promise<T>;
  transactionSync<T>(action: () => T): T;
  getRange(options: { start: BenchKey; end: BenchKey; limit: number }): Iterable<unknown>;
  close(): Promise<void>;
}

export const lmdb: Peer = {
  name: "lmdb",
  modes: [
    { durability: "relaxed", kept: "relaxed", setting: "noSync" },
    { durability: "sync", kept: "sync", setting: "flushed before it resolves (overlappingSync: false)" },
  ],
  find: async () => {
    const found = findPackage("lmdb");
    return found === undefined ? { missing: "package lmdb" } : { version: found.version };
  },
  open: async (directory, { durability }) => {
    const { open } = await importPackage<{ open(options: object): Database }>("lmdb");
    const options = {
      path: join(directory, "store"),
      noSync: durability === "relaxed",
      overlappingSync: false,
    };
    return reopenable(async () => store(open(options)));
  },
};

function store(db: Database): PeerStore {
  return {
    set: (key, value) => db.put(key, value),
    // What a transaction returns is waited for, so it must be nothing: then the commit is flushed before this returns.
    setSync: (key, value) =>
      db.transactionSync(() => {
        db.put(key, value);
      }),
    setAll: (entries) =>
      db.transaction(() => {
        for (const [key, value] of entries) db.put(key, value);
      }),
    get: (key) => db.get(key),
    getSync: (key) => db.get(key),
    list: (prefix, limit) => {
      let count = 0;
      // Behind a number that starts no key: the end of the prefix.
      for (const _ of db.getRange({ start: prefix, end: [...prefix, "\uffff"], limit })) count++;
      return count;
    },
    sum: (key, operand) => db.transaction(() => db.put(key, ((db.get(key) as number) ?? 0) + operand)),
    increment: (key) => {
      db.transactionSync(() => {
        db.put(key, ((db.get(key) as number) ?? 0) + 1);
      });
    },
    close: () => db.close(),
  };
}
