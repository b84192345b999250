/**
 * Owns what LMDB's own errors mean to whoever reads: damage, or storage that refuses. Pure.
 *
 * LMDB has no checksums of its own pages. It notices some damage all the same, when a page is not of the kind that its parent says, or a
 * number in it can't be. Its binding throws errors with LMDB's number as their code, or the system's.
 *
 * @see lmdb.h, "Return Codes".
 */
import { KvCorruptError, KvStorageError } from "../errors.js";

const DAMAGE: readonly number[] = [
  -30797, // MDB_PAGE_NOTFOUND
  -30796, // MDB_CORRUPTED
  -30793, // MDB_INVALID
  -30787, // MDB_CURSOR_FULL: a tree that is deeper than any can be
  -30786, // MDB_PAGE_FULL
  -30782, // MDB_BAD_TXN: what comes after one of the others
  -30779, // MDB_PROBLEM
];

/**
 * The error of a read of `table` ("entries of <directory>"), as ours; anything else that was thrown meanwhile, as it is.
 */
export function readFailure(table: string, error: unknown): unknown {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  if (typeof code !== "number") return error;
  const { message } = error as Error;
  if (!DAMAGE.includes(code))
    return new KvStorageError(`${table} can't be read: ${message}`, { cause: error });
  return new KvCorruptError(
    `${table}: a page is damaged (${message}); verifyStore() finds what else is, a backup has it whole`,
    { cause: error },
  );
}
