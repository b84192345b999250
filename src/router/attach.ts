/**
 * Owns the joining of a store by another thread of the process, from the handle that was posted to it. Runs on that thread.
 */
import { KvShardFailedError } from "../errors.js";
import { Caller, openStores } from "./caller.js";
import type { OwnerMessage, StoreHandle } from "./sharing.js";

/** A share in a store that another thread opened. */
export interface AttachedCaller {
  readonly caller: Caller;
  /** Leaves: resolves when what was sent is answered and the opening thread knows. Idempotent. */
  release(): Promise<void>;
  /** Calls `listener` when the opening thread closes the store. */
  onClosing(listener: () => void): void;
}

/** Joins. Throws KvStorageError when the shards can't be read. */
export function attach(handle: StoreHandle): AttachedCaller {
  const { store, caller: number, holder, rings, shardPorts, ownerPort } = handle;
  const caller = new Caller({
    store,
    caller: number,
    holder,
    rings,
    stores: openStores(store.directories, store.durability),
  });
  for (const [shard, port] of shardPorts.entries()) caller.clients[shard]!.setPort(port);
  const closingListeners: (() => void)[] = [];
  ownerPort.on("message", (message: OwnerMessage) => {
    if (message.type === "closing") for (const listener of closingListeners) listener();
    else obey(message, caller);
  });
  ownerPort.unref();
  let releasing: Promise<void> | null = null;
  return {
    caller,
    release: () => {
      releasing ??= leave();
      return releasing;
    },
    onClosing: (listener) => closingListeners.push(listener),
  };

  async function leave(): Promise<void> {
    await caller.drain();
    await caller.close();
    ownerPort.close();
  }
}

function obey(message: Exclude<OwnerMessage, { type: "closing" }>, caller: Caller): void {
  switch (message.type) {
    case "restarted":
      caller.clients[message.shard]!.setPort(message.port);
      caller.shardRestarted(message.shard);
      return;
    case "failed":
      caller.router.shardFailed({
        error: new KvShardFailedError(message.shard, message.reason),
        roundsGoOn: message.roundsGoOn,
        hasRun: message.hasRun,
      });
      return;
    case "stalled":
      caller.router.shardStalled(message.shard, message.stalledMs);
  }
}
