/**
 * Owns the reading of an SQLite file, with whatever there is to read it: Node's own `node:sqlite`, or the optional package `libsql`, whose
 * binary comes ready-made. Neither is loaded before it is needed.
 */
import { existsSync } from "node:fs";
import { KvError } from "../errors.js";

/** A file that is open for reading. */
export interface SqliteFile {
  readonly path: string;
  /** The rows of a query; a bad query is refused at the call. */
  rows(query: string): Iterable<unknown>;
  close(): void;
}

interface Database {
  prepare(query: string): { iterate?: () => Iterable<unknown>; all: () => unknown[] };
  close(): void;
}

/** @throws KvError KV_SQLITE_MISSING, KV_NOT_A_DENO_STORE (there is no such file, or it is none of SQLite's). */
export async function openSqlite(path: string): Promise<SqliteFile> {
  if (!existsSync(path)) throw new KvError("KV_NOT_A_DENO_STORE", `there is no file ${path}`);
  const open = (await withNode()) ?? (await withLibsql());
  if (open === null) {
    throw new KvError(
      "KV_SQLITE_MISSING",
      `${path} can't be read, since this is Node.js ${process.versions.node} without SQLite: use Node.js 22.13 or later, or \`npm install libsql\``,
    );
  }
  try {
    const database = open(path);
    return { path, rows: (query) => rowsOf(database, query), close: () => database.close() };
  } catch (cause) {
    throw new KvError("KV_NOT_A_DENO_STORE", `${path} can't be opened as an SQLite file`, { cause });
  }
}

function rowsOf(database: Database, query: string): Iterable<unknown> {
  const statement = database.prepare(query);
  return statement.iterate?.() ?? statement.all();
}

type Opener = (path: string) => Database;

async function withNode(): Promise<Opener | null> {
  const sqlite = await loaded<{ DatabaseSync: new (path: string, options: object) => Database }>(
    "node:sqlite",
  );
  return sqlite && ((path) => new sqlite.DatabaseSync(path, { readOnly: true }));
}

async function withLibsql(): Promise<Opener | null> {
  const libsql = await loaded<{ default: new (path: string, options: object) => Database }>("libsql");
  return libsql && ((path) => new libsql.default(path, { readonly: true }));
}

/** A module that need not be there; `null` when it is not. What else goes wrong with it is thrown. */
async function loaded<T>(name: string): Promise<T | null> {
  try {
    return (await import(name)) as T;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ERR_MODULE_NOT_FOUND" || code === "ERR_UNKNOWN_BUILTIN_MODULE") return null;
    throw error;
  }
}
