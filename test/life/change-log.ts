/**
 * Owns reading the change logs of a store that nobody has open: all shards, merged into the one order of the store.
 */
import { readChangeRecord } from "../../src/codec/change-record.js";
import { decodeKey } from "../../src/codec/key.js";
import { formatVersionstamp } from "../../src/codec/versionstamp.js";
import { aligned } from "../../src/ring/ring-memory.js";
import { shardDirectory } from "../../src/store/manifest.js";
import { ShardStore } from "../../src/store/shard-store.js";
import { nameOf } from "./ledger.js";

export interface LoggedChange {
  readonly shard: number;
  readonly versionstamp: string;
  readonly place: number;
  readonly type: "create" | "update" | "delete";
  readonly name: string;
  readonly isMulti: boolean;
}

const TYPES = { 1: "create", 2: "update", 3: "delete" } as const;

/** Every change in the logs of a closed store, in order. Throws when the log of a shard is not in order by itself. */
export async function readChangeLogs(path: string, shards: number): Promise<LoggedChange[]> {
  const changes: LoggedChange[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const store = ShardStore.open(shardDirectory(path, shard), "sync");
    const rows = store.log.read(new Uint8Array(10), Number.POSITIVE_INFINITY);
    const own = rows.flatMap((records) => readRow(shard, records));
    await store.close();
    own.forEach((change, index) => {
      if (index > 0 && compareChanges(own[index - 1]!, change) >= 0)
        throw new Error(`shard ${shard} logs ${describe(change)} after ${describe(own[index - 1]!)}`);
    });
    changes.push(...own);
  }
  return changes.sort(compareChanges);
}

function readRow(shard: number, records: Uint8Array): LoggedChange[] {
  const changes: LoggedChange[] = [];
  for (let offset = 0; offset < records.length; ) {
    const record = readChangeRecord(records, offset);
    changes.push({
      shard,
      versionstamp: formatVersionstamp(record.counter, record.order),
      place: record.place,
      type: TYPES[record.type],
      name: nameOf(decodeKey(record.key)),
      isMulti: record.isMulti,
    });
    offset += aligned(record.length);
  }
  return changes;
}

function compareChanges(a: LoggedChange, b: LoggedChange): number {
  if (a.versionstamp !== b.versionstamp) return a.versionstamp < b.versionstamp ? -1 : 1;
  return a.place - b.place;
}

/** What a feed shows of a change, as a line. */
export function describe(change: {
  readonly versionstamp: string;
  readonly type: string;
  readonly name: string;
}): string {
  return `${change.versionstamp} ${change.type} ${change.name}`;
}

/** The names that the logs leave in the store, with the versionstamp that each has. */
export function stateOfLogs(changes: readonly LoggedChange[]): Map<string, string> {
  const state = new Map<string, string>();
  for (const { name, type, versionstamp } of changes) {
    if (type === "delete") state.delete(name);
    else state.set(name, versionstamp);
  }
  return state;
}
