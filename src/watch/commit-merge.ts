/**
 * Owns the merge of the shards' records into commits in the one order of the store. Pure functions over queues; runs in the
 * thread that reads.
 *
 * Invariants:
 * 1. A commit is taken whole: with all its records, of all shards, in the order of their places.
 * 2. Commits are taken in increasing (counter, order), and never above the line that the caller gives.
 *
 * The caller answers for the line: up to it, every queue must hold all that its shard has (`RecordQueue.sealed`).
 */
import type { ChangeRecord } from "../codec/change-record.js";
import type { RecordQueue } from "./record-queue.js";
import { compareStamps, type Stamp } from "./stamp.js";

/** The line up to which every queue is complete, at most `limit`. */
export function completeLine(queues: readonly RecordQueue[], limit: Stamp): Stamp {
  let line = limit;
  for (const queue of queues) {
    if (compareStamps(queue.sealed, line) < 0) line = queue.sealed;
  }
  return line;
}

/** Takes the records of the first commit up to `line`, at least one; `undefined` when no queue holds any. */
export function takeCommit(queues: readonly RecordQueue[], line: Stamp): ChangeRecord[] | undefined {
  const first = firstCommit(queues);
  return first === undefined || compareStamps(first, line) > 0 ? undefined : takeCommitAt(queues, first);
}

/** The first commit of which a queue holds a record. */
export function firstCommit(queues: readonly RecordQueue[]): Stamp | undefined {
  let first: Stamp | undefined;
  for (let index = 0; index < queues.length; index++) {
    const { head } = queues[index]!;
    if (head !== undefined && (first === undefined || compareStamps(head, first) < 0)) first = head;
  }
  return first;
}

/** Takes the records of the first commit, which is at `stamp`. */
export function takeCommitAt(queues: readonly RecordQueue[], stamp: Stamp): ChangeRecord[] {
  const records: ChangeRecord[] = [];
  for (let index = 0; index < queues.length; index++) queues[index]!.takeCommit(stamp, records);
  if (records.length > 1 && records[0]!.isMulti) records.sort((a, b) => a.place - b.place);
  return records;
}
