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
import { compareStamps, type Stamp, stampOf } from "./stamp.js";

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
  const first = firstHead(queues);
  if (first === undefined || compareStamps(first, line) > 0) return undefined;
  const stamp = stampOf(first);
  const records: ChangeRecord[] = [];
  for (const queue of queues) {
    while (queue.head !== undefined && compareStamps(queue.head, stamp) === 0) records.push(queue.shift());
  }
  if (first.isMulti) records.sort((a, b) => a.place - b.place);
  return records;
}

function firstHead(queues: readonly RecordQueue[]): ChangeRecord | undefined {
  let first: ChangeRecord | undefined;
  for (const queue of queues) {
    const head = queue.head;
    if (head !== undefined && (first === undefined || compareStamps(head, first) < 0)) first = head;
  }
  return first;
}
