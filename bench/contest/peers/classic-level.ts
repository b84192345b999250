/**
 * LevelDB by the package classic-level; values as node:v8 serializes them.
 */
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { findPackage, importPackage } from "../find-package.js";
import type { Peer, PeerStore } from "../peer.js";
import { flatKey } from "../sample-data.js";

type Put = { type: "put"; key: string; value: Buffer };

interface Level {
  open(): Promise<void>;
  put(key: string, value: Buffer, options: object): Promise<void>;
  batch(puts: readonly Put[], options: object): Promise<void>;
  get(key: string): Promise<Buffer | undefined>;
  getSync?(key: string): Buffer | undefined;
  iterator(options: object): { all(): Promise<[string, Buffer][]> };
  close(): Promise<void>;
}

type LevelClass = new (path: string, options: object) => Level;

export const classicLevel: Peer = {
  name: "classic-level",
  modes: [
    { durability: "relaxed", kept: "relaxed", setting: "sync: false" },
    { durability: "sync", kept: "sync", setting: "sync: true" },
  ],
  find: async () => {
    const found = findPackage("classic-level");
    return found === undefined ? { missing: "package classic-level" } : { version: found.version };
  },
  open: async (directory, { durability }) => {
    const { ClassicLevel } = await importPackage<{ ClassicLevel: LevelClass }>("classic-level");
    const db = new ClassicLevel(join(directory, "store"), { valueEncoding: "buffer" });
    await db.open();
    return store(db, { sync: durability === "sync" });
  },
};

function store(db: Level, options: { readonly sync: boolean }): PeerStore {
  const getSync = (key: string): unknown => {
    const value = db.getSync!(key);
    return value && deserialize(value);
  };
  return {
    set: (key, value) => db.put(flatKey(key), serialize(value), options),
    setAll: (entries) => {
      const puts = entries.map(
        ([key, value]): Put => ({ type: "put", key: flatKey(key), value: serialize(value) }),
      );
      return db.batch(puts, options);
    },
    get: async (key) => {
      const value = await db.get(flatKey(key));
      return value && deserialize(value);
    },
    ...(db.getSync === undefined ? {} : { getSync: (key) => getSync(flatKey(key)) }),
    list: async (prefix, limit) => {
      const start = flatKey(prefix);
      const rows = await db.iterator({ gt: start, lt: `${start}\uffff`, limit }).all();
      for (const [, value] of rows) deserialize(value);
      return rows.length;
    },
    close: () => db.close(),
  };
}
