/**
 * SQLite in the calling thread, by two packages with one interface: better-sqlite3, and libsql, which ships its binary. One table without
 * row numbers; values as node:v8 serializes them.
 */
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { findPackage, importPackage } from "../find-package.js";
import type { Peer, PeerStore } from "../peer.js";
import { flatKey } from "../sample-data.js";

interface Statement {
  run(...values: unknown[]): unknown;
  get(...values: unknown[]): Record<string, unknown> | undefined;
  all(...values: unknown[]): Record<string, unknown>[];
}

interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): Statement;
  close(): void;
}

const SCHEMA = "CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
const PUT = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

export const libsql = sqlite("libsql");
export const betterSqlite3 = sqlite("better-sqlite3");

function sqlite(name: string): Peer {
  return {
    name,
    modes: [
      { durability: "relaxed", kept: "relaxed", setting: "WAL, synchronous NORMAL" },
      { durability: "sync", kept: "sync", setting: "WAL, synchronous FULL" },
    ],
    find: async () => {
      const found = findPackage(name);
      if (found === undefined) return { missing: `package ${name}` };
      try {
        (await open(name, ":memory:")).close();
        return { version: found.version };
      } catch (error) {
        return { missing: `the binary of package ${name}: ${(error as Error).message.split("\n")[0]}` };
      }
    },
    open: async (directory, { durability }) => {
      const db = await open(name, join(directory, "store"));
      db.exec("PRAGMA journal_mode = WAL");
      db.exec(`PRAGMA synchronous = ${durability === "relaxed" ? "NORMAL" : "FULL"}`);
      db.exec(SCHEMA);
      return store(db);
    },
  };
}

async function open(name: string, path: string): Promise<Database> {
  const { default: Driver } = await importPackage<{ default: new (path: string) => Database }>(name);
  return new Driver(path);
}

/** One of the packages gives an ArrayBuffer where the other gives a Buffer. */
function bytesOf(blob: unknown): Uint8Array {
  return blob instanceof ArrayBuffer ? new Uint8Array(blob) : (blob as Uint8Array);
}

function store(db: Database): PeerStore {
  const put = db.prepare(PUT);
  const select = db.prepare("SELECT value FROM entries WHERE key = ?");
  const range = db.prepare("SELECT key, value FROM entries WHERE key > ? AND key < ? ORDER BY key LIMIT ?");
  const begin = db.prepare("BEGIN IMMEDIATE");
  const commit = db.prepare("COMMIT");
  const get = (key: string): unknown => {
    const row = select.get(key);
    return row && deserialize(bytesOf(row["value"]));
  };
  const together = (action: () => void): void => {
    begin.run();
    action();
    commit.run();
  };
  const add = (key: string, operand: number): void =>
    together(() => put.run(key, serialize(((get(key) as number | undefined) ?? 0) + operand)));
  return {
    set: (key, value) => put.run(flatKey(key), serialize(value)),
    setAll: (entries) =>
      together(() => {
        for (const [key, value] of entries) put.run(flatKey(key), serialize(value));
      }),
    get: (key) => get(flatKey(key)),
    getSync: (key) => get(flatKey(key)),
    list: (prefix, limit) => {
      const start = flatKey(prefix);
      const rows = range.all(start, `${start}\uffff`, limit);
      for (const row of rows) deserialize(bytesOf(row["value"]));
      return rows.length;
    },
    sum: (key, operand) => add(flatKey(key), operand),
    increment: (key) => add(flatKey(key), 1),
    close: () => db.close(),
  };
}
