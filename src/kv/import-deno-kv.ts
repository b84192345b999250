/**
 * Owns the copying of a store that Deno KV wrote, from its SQLite file into an open store.
 *
 * Keys and values are the same bytes in both, so nothing is decoded on the way. Entries are written in the order of their versionstamps,
 * those of one commit in one commit, each after the one before was acknowledged: they are ordered as before, under new versionstamps.
 */
import { decodeKey } from "../codec/key.js";
import type { Encoding } from "../codec/value.js";
import { KvError } from "../errors.js";
import type { ImportedEntry } from "./commit-builder.js";
import type { Kv } from "./kv.js";
import { openSqlite, type SqliteFile } from "./sqlite-file.js";

/** What was copied, and what was not. */
export interface DenoImport {
  /** Entries that were written. */
  readonly entries: number;
  /** Entries whose time was up. They were left out. */
  readonly expired: number;
  /** Messages of its queue, delivered or not. They are not copied: let Deno handle them first. */
  readonly messagesLeft: number;
}

/** A row of Deno's table of entries. */
interface EntryRow {
  readonly k: Uint8Array;
  readonly v: Uint8Array;
  readonly v_encoding: number;
  readonly version: number;
  /** Milliseconds since 1970; -1: never. */
  readonly expiration_ms: number;
}

const ENTRIES = "select k, v, v_encoding, version, expiration_ms from kv order by version, k";
const MESSAGES = "select (select count(*) from queue) + (select count(*) from queue_running) as count";

/**
 * Copies what is in a store of Deno KV: entries, the order of their versionstamps, and what is left of their time to live. What stands in
 * `kv` under the same keys is replaced. A million entries take a while, since each commit is acknowledged before the next:
 * `durability: "relaxed"` is much faster.
 *
 * The file is only read; Deno should not have it open. It needs `node:sqlite` (Node.js 22.13 on), or the package `libsql` beside belfry.
 * A Blob or File that Deno stored can't be read afterwards: Deno kept its bytes in the memory of its process.
 *
 * @param sqlitePath What was given to `Deno.openKv`.
 * @throws KvError KV_SQLITE_MISSING (there is nothing that reads SQLite), KV_NOT_A_DENO_STORE; what {@link Kv.set} throws, and then what came
 * before has been copied.
 *
 * @example
 * await using kv = await openKv("./data");
 * const { entries } = await importDenoKv("./kv.sqlite3", kv);
 */
export async function importDenoKv(sqlitePath: string, kv: Kv): Promise<DenoImport> {
  const file = await openSqlite(sqlitePath);
  try {
    return await copy(file, kv);
  } finally {
    file.close();
  }
}

async function copy(file: SqliteFile, kv: Kv): Promise<DenoImport> {
  let [entries, expired] = [0, 0];
  let group: EntryRow[] = [];
  const write = async (): Promise<void> => {
    if (group.length > 0) entries += await kv.importEntries(group.map(importedEntry));
    group = [];
  };
  for (const row of readRows(file)) {
    if (row.expiration_ms !== -1 && row.expiration_ms <= Date.now()) {
      expired++;
      continue;
    }
    if (group.length > 0 && group[0]!.version !== row.version) await write();
    group.push(row);
  }
  await write();
  const [messages] = file.rows(MESSAGES) as Iterable<{ count: number }>;
  return { entries, expired, messagesLeft: Number(messages?.count ?? 0) };
}

function readRows(file: SqliteFile): Iterable<EntryRow> {
  try {
    return file.rows(ENTRIES) as Iterable<EntryRow>;
  } catch (cause) {
    throw new KvError("KV_NOT_A_DENO_STORE", `${file.path} has no table of Deno KV's entries`, { cause });
  }
}

function importedEntry({ k, v, v_encoding: encoding, expiration_ms }: EntryRow): ImportedEntry {
  const key = new Uint8Array(k);
  decodeKey(key);
  return {
    key,
    value: { encoding: encoding as Encoding, bytes: new Uint8Array(v) },
    expiresAtMs: expiration_ms === -1 ? 0 : expiration_ms,
  };
}
