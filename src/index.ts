/**
 * Belfry: an embedded, sharded key-value engine in which every committed write rings. This is all that is public.
 */
export { type KvClock, ManualClock } from "./clock.js";
export type { KvKey, KvKeyPart } from "./codec/key.js";
export type { KvListSelector } from "./codec/key-range.js";
export type { KvEntry, KvEntryMaybe } from "./codec/kv-entry.js";
export { KvU64 } from "./codec/kv-u64.js";
export * from "./errors.js";
export { AtomicOperation } from "./kv/atomic-operation.js";
export { type KvBackup, type KvBackupOptions, restoreBackup } from "./kv/backup.js";
export type { KvCheck, KvMutation, KvSetOptions } from "./kv/commit-builder.js";
export type { KvCommitError, KvCommitResult, KvFailedCheck } from "./kv/commit-result.js";
export type { KvCommitVersionstamp, KvSetKey } from "./kv/commit-versionstamp.js";
export { compactStore } from "./kv/compact-store.js";
export type { Compaction } from "./kv/compaction.js";
export {
  EncodedKv,
  type KvEncodedCheck,
  type KvEncodedCommit,
  type KvEncodedEnqueue,
  type KvEncodedEntry,
  type KvEncodedMutation,
  type KvEncodedRange,
} from "./kv/encoded-kv.js";
export { type DenoImport, importDenoKv } from "./kv/import-deno-kv.js";
export { Kv, type KvStats } from "./kv/kv.js";
export type { KvLimits } from "./kv/kv-limits.js";
export type { KvGetOptions, KvWatchOptions } from "./kv/kv-reads.js";
export { KvSnapshot } from "./kv/kv-snapshot.js";
export { type KvConsistencyLevel, KvListIterator, type KvListOptions } from "./kv/list-iterator.js";
export { type KvOpenOptions, openKv } from "./kv/open-kv.js";
export { attachKv, type KvHandle } from "./kv/share.js";
export { type StoreProblem, type StoreReport, type VerifiedShard, verifyStore } from "./kv/verify-store.js";
export {
  type DeadLetter,
  type DeadLetterListOptions,
  type DeadLetterPurgeOptions,
  DeadLetters,
} from "./queue/dead-letters.js";
export type { KvEnqueueOptions, KvListenOptions } from "./queue/enqueue-options.js";
export type { QueueShardStats, QueueStats, QueueTally } from "./queue/queue-stats.js";
export type { History } from "./router/caller.js";
export type { ShardStats } from "./router/stats.js";
export type { Durability } from "./store/shard-store.js";
export type { CopyProgress } from "./store/store-copy.js";
export { ChangeFeed } from "./watch/change-feed.js";
export type { FeedState, FeedStats } from "./watch/feed-stats.js";
export {
  type AnyPart,
  anyPart,
  type ChangeSelector,
  type ChangesOptions,
  type KvChange,
  type KvChangeEvent,
  type KvDeleteChange,
  type KvLaggedEvent,
  type KvProgressEvent,
  type KvSetChange,
  type OverflowPolicy,
  type PlainChangesOptions,
} from "./watch/kv-change.js";
