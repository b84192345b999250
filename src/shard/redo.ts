/**
 * Owns the redo record: what a participant keeps of a round so that the others can be brought to it after a crash.
 * Written by shard threads within the transaction that applies the round; read when the store is opened.
 *
 *   u32 round · f64 counter · f64 nowMs · u32 participants · u32 count, then for each commit of the round that was applied:
 *   u32 index in the round · u32 frame bytes · the commit frame                                            (little-endian)
 *
 * It holds the whole round, not only the commits of this shard: commits of one round may build on each other across shards,
 * so either all of them are there after a crash or none.
 */
import { type CommitFields, readCommitFrame } from "../codec/commit-frame.js";
import { KvCorruptError } from "../errors.js";

/** One commit of a round, decided: to be applied. */
export interface DecidedCommit {
  /** Its index in the round, of which its order follows. */
  readonly index: number;
  readonly frame: Uint8Array;
}

/** A decided round. */
export interface DecidedRound {
  readonly round: number;
  readonly counter: number;
  readonly nowMs: number;
  /** Bit i: shard i takes part. */
  readonly participants: number;
  readonly commits: readonly DecidedCommit[];
}

const HEADER_BYTES = 28;
const COMMIT_HEADER_BYTES = 8;

export function encodeRedo(round: DecidedRound): Uint8Array {
  const frameBytes = round.commits.reduce((sum, { frame }) => sum + COMMIT_HEADER_BYTES + frame.length, 0);
  const bytes = new Uint8Array(HEADER_BYTES + frameBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, round.round, true);
  view.setFloat64(4, round.counter, true);
  view.setFloat64(12, round.nowMs, true);
  view.setUint32(20, round.participants, true);
  view.setUint32(24, round.commits.length, true);
  let offset = HEADER_BYTES;
  for (const { index, frame } of round.commits) {
    view.setUint32(offset, index, true);
    view.setUint32(offset + 4, frame.length, true);
    bytes.set(frame, offset + COMMIT_HEADER_BYTES);
    offset += COMMIT_HEADER_BYTES + frame.length;
  }
  return bytes;
}

export function decodeRedo(bytes: Uint8Array): DecidedRound {
  if (bytes.length < HEADER_BYTES) throw damaged(bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const commits: DecidedCommit[] = [];
  let offset = HEADER_BYTES;
  for (let left = view.getUint32(24, true); left > 0; left--) {
    if (offset + COMMIT_HEADER_BYTES > bytes.length) throw damaged(bytes.length);
    const end = offset + COMMIT_HEADER_BYTES + view.getUint32(offset + 4, true);
    if (end > bytes.length) throw damaged(bytes.length);
    commits.push({
      index: view.getUint32(offset, true),
      frame: bytes.slice(offset + COMMIT_HEADER_BYTES, end),
    });
    offset = end;
  }
  return {
    round: view.getUint32(0, true),
    counter: view.getFloat64(4, true),
    nowMs: view.getFloat64(12, true),
    participants: view.getUint32(20, true),
    commits,
  };
}

/** The fields of a decided commit. */
export function commitOf(decided: DecidedCommit): CommitFields {
  return readCommitFrame(decided.frame, 0, decided.frame.length);
}

function damaged(bytes: number): KvCorruptError {
  return new KvCorruptError(`a redo record of ${bytes} bytes ends early`);
}
