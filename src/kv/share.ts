/**
 * Owns the sharing of an open store with other threads of the process, as callers see it.
 */
import { attach } from "../router/attach.js";
import type { StoreHandle } from "../router/sharing.js";
import { Kv } from "./kv.js";

/**
 * What another thread needs to join a store: post it, with its `transfer` list, and give it to {@link attachKv} there. It serves one
 * thread, once.
 */
export type KvHandle = StoreHandle;

/**
 * Joins the store of another thread of this process.
 *
 * The result is a full Kv with its own way to the shards: it reads, writes and watches without the thread that opened the store. It
 * leaves when it is closed; when its thread ends without that, the store notices, and completes what it had sent.
 *
 * *Closing*: when the store is closed by the thread that opened it, this Kv closes by itself.
 *
 * @throws KvStorageError when the shards can't be read.
 *
 * @example
 * // main thread
 * const handle = kv.share();
 * new Worker("./worker.js", { workerData: handle, transferList: [...handle.transfer] });
 * // worker.js
 * await using kv = attachKv(workerData);
 */
export function attachKv(handle: KvHandle): Kv {
  const { caller, release, onClosing } = attach(handle);
  const kv = new Kv(caller, { ...handle.settings, release, share: null });
  onClosing(() => kv.closeFromBelow());
  return kv;
}
