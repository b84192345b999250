/**
 * Owns the other threads that use an open store: gives each its number, its rings and its ports, tells it what happens to the shards,
 * and takes everything back when it leaves or dies. Runs on the thread that opened the store.
 *
 * A thread that joins gets a handle, which is posted to it; there `attach.ts` makes a full caller of it. What either side has to
 * say goes through one port; that port's closing is how a thread's death is noticed.
 *
 * Invariants
 * 1. A number belongs to one thread at a time, and goes back only when every shard has been told to forget it.
 * 2. A thread that dies leaves nothing held: the sequencing lock, the gate and the bell are let go for it. What it had sent is executed,
 *    and the answers are nobody's.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { KvError } from "../errors.js";
import { CALLERS_MAX, DRAIN_MS_MAX, type KvLimits } from "../limits.js";
import { callerHolder, SequencingLock } from "../ring/sequencing-lock.js";
import type { CallerLink, PortMessage } from "../shard/boot.js";
import type { Caller, SharedStore } from "./caller.js";
import { type CallerRings, createCallerRings } from "./shard-client.js";
import type { ShardFailure } from "./shard-threads.js";

/** What a Kv is told that the engine does not need to know. */
export interface StoreSettings {
  readonly limits: KvLimits;
  readonly ifChanged: boolean;
}

/** What another thread needs to join. Post it with its `transfer` list; it serves one thread, once. */
export interface StoreHandle {
  readonly store: SharedStore;
  readonly caller: number;
  /** Names it as a holder of leases. */
  readonly holder: number;
  readonly rings: readonly CallerRings[];
  /** One to each shard, by shard. */
  readonly shardPorts: readonly MessagePort[];
  /** To the thread that opened the store. */
  readonly ownerPort: MessagePort;
  readonly settings: StoreSettings;
  /** The ports in it, which have to be transferred. */
  readonly transfer: readonly MessagePort[];
}

/** From the opening thread to one that shares. */
export type OwnerMessage =
  | { readonly type: "restarted"; readonly shard: number; readonly port: MessagePort }
  | {
      readonly type: "failed";
      readonly shard: number;
      readonly reason: string;
      readonly roundsGoOn: boolean;
      readonly hasRun: boolean;
    }
  | { readonly type: "stalled"; readonly shard: number; readonly stalledMs: number }
  | { readonly type: "closing" };

interface Guest {
  readonly caller: number;
  readonly holder: number;
  readonly rings: readonly CallerRings[];
  readonly port: MessagePort;
  readonly gone: Promise<void>;
}

export class Sharing {
  readonly #host: Caller;
  readonly #guests = new Map<number, Guest>();
  #closing = false;
  #isRefusing = false;
  #lastHolder: number;

  /** @param host The opening thread's own caller; its ports carry what the shards are told. */
  constructor(host: Caller) {
    this.#host = host;
    this.#lastHolder = host.holder;
  }

  /** Threads that share the store, this one not counted. */
  get count(): number {
    return this.#guests.size;
  }

  /** Lets no thread join until {@link admitGuests}: it would map files that are about to be replaced. Throws KV_IN_USE where some have. */
  refuseGuests(): void {
    if (this.count > 0)
      throw new KvError(
        "KV_IN_USE",
        `${this.count} other threads share this store, and have its files open: close their Kv first`,
      );
    this.#isRefusing = true;
  }

  admitGuests(): void {
    this.#isRefusing = false;
  }

  /** Makes room for one more thread. Throws KvError KV_TOO_MANY_THREADS, KV_IN_USE. */
  share({ limits, ifChanged }: StoreSettings): StoreHandle {
    const settings = { limits, ifChanged };
    const caller = this.#freeNumber();
    // Numbers of callers are used again, those of holders are not.
    const holder = ++this.#lastHolder;
    const store = this.#host.shared;
    const rings = createCallerRings(store.manifest.shards);
    const shardPorts = rings.map((pair, shard) => {
      const { port1, port2 } = new MessageChannel();
      this.#tellShard(shard, { type: "attach", link: { caller, holder, ...pair, port: port2 } }, [port2]);
      return port1;
    });
    const { port1: port, port2: ownerPort } = new MessageChannel();
    this.#guests.set(caller, this.#welcome({ caller, holder, rings, port }));
    return {
      store,
      caller,
      holder,
      rings,
      shardPorts,
      ownerPort,
      settings,
      transfer: [...shardPorts, ownerPort],
    };
  }

  /** The other threads' rings of one shard, for its new thread. */
  ringsOf(shard: number): Omit<CallerLink, "port">[] {
    return [...this.#guests.values()].map(({ caller, holder, rings }) => ({
      caller,
      holder,
      ...rings[shard]!,
    }));
  }

  /** A shard has a new thread: tells the guest `caller`, with its new port. */
  restarted(shard: number, caller: number, port: MessagePort): void {
    this.#tellGuest(this.#guests.get(caller), { type: "restarted", shard, port }, [port]);
  }

  failed({ error, roundsGoOn, hasRun }: ShardFailure): void {
    const { shard, message } = error;
    this.#tellAll({ type: "failed", shard, reason: message, roundsGoOn, hasRun });
  }

  stalled(shard: number, stalledMs: number): void {
    this.#tellAll({ type: "stalled", shard, stalledMs });
  }

  /** Asks all to leave, and resolves when they have, or after a while. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#guests.size === 0) return;
    this.#tellAll({ type: "closing" });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRAIN_MS_MAX);
    });
    await Promise.race([Promise.all([...this.#guests.values()].map(({ gone }) => gone)), late]);
    clearTimeout(timer);
    for (const { port } of this.#guests.values()) port.close();
  }

  #freeNumber(): number {
    if (this.#closing) throw new KvError("KV_CLOSED", "Database is closed.");
    if (this.#isRefusing) throw new KvError("KV_IN_USE", "the store is being compacted: share it afterwards");
    for (let caller = 1; caller < CALLERS_MAX; caller++) {
      if (!this.#guests.has(caller)) return caller;
    }
    throw new KvError(
      "KV_TOO_MANY_THREADS",
      `${CALLERS_MAX} threads share this store, which is the limit: close the Kv of one of them first`,
    );
  }

  #welcome(guest: Omit<Guest, "gone">): Guest {
    const { caller, port } = guest;
    const gone = new Promise<void>((resolve) => {
      // It closes when the guest has left, when its thread has ended, and when its handle was thrown away.
      port.on("close", () => {
        this.#farewell(caller);
        resolve();
      });
    });
    port.unref();
    return { ...guest, gone };
  }

  #farewell(caller: number): void {
    const { control } = this.#host;
    if (!this.#guests.delete(caller)) return;
    SequencingLock.breakFor(control.words, callerHolder(caller));
    control.setWatching(caller, false);
    control.setListening(caller, false);
    control.setPreviousWanted(caller, false);
    control.openCutGate(caller);
    for (let shard = 0; shard < control.shardCount; shard++)
      this.#tellShard(shard, { type: "detach", caller }, []);
  }

  #tellShard(shard: number, message: PortMessage, transfer: readonly MessagePort[]): void {
    this.#host.clients[shard]!.post(message, transfer);
    this.#host.control.raiseMail(shard);
  }

  #tellAll(message: OwnerMessage): void {
    for (const guest of this.#guests.values()) this.#tellGuest(guest, message, []);
  }

  #tellGuest(guest: Guest | undefined, message: OwnerMessage, transfer: readonly MessagePort[]): void {
    guest?.port.postMessage(message, transfer);
  }
}
