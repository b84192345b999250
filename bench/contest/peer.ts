/**
 * Owns what the harness knows of a store that is measured. Belfry is one of them; an adapter in peers/ speaks for each.
 *
 * An adapter offers the fastest way that its store documents for each job, and leaves out what its store can't do: a workload is run on
 * those that have all it needs. Methods may answer at once or with a promise; who answers at once is not charged for a promise.
 *
 * No import of the engine: adapters also run in child processes of other runtimes.
 */

/** A key: parts as in Deno KV. Adapters of stores with flat keys join them so that they sort alike. */
export type BenchKey = readonly (string | number)[];

export type MaybePromise<T> = T | Promise<T>;

/** What a store's acknowledged write survives: `sync` the loss of power, `relaxed` the death of the process, `memory` nothing. */
export type Kept = "sync" | "relaxed" | "memory";

/** The class in which a number stands: only numbers of one class are compared. */
export type DurabilityClass = "relaxed" | "sync";

/** One setting of a store. */
export interface PeerMode {
  readonly durability: DurabilityClass;
  /** Less than its class asks for is told, and stands in the class all the same: it flatters the peer. */
  readonly kept: Kept;
  /** The setting in the store's own words. */
  readonly setting: string;
}

/** Threads that write to a store. */
export interface Writers {
  /** All write at once, for so long. Resolves with how many sets were acknowledged. */
  write(seconds: number): Promise<number>;
  end(): Promise<void>;
}

/** An open store. */
export interface PeerStore {
  set(key: BenchKey, value: unknown): unknown;
  /** The same without a promise, where it is another way: taken for sets that come one after the other. */
  setSync?(key: BenchKey, value: unknown): unknown;
  /** One atomic commit of many sets. */
  setAll?(entries: readonly (readonly [BenchKey, unknown])[]): unknown;
  /** The value, decoded; `undefined` or `null` where there is none. */
  get?(key: BenchKey): unknown;
  /** The same without a promise. */
  getSync?(key: BenchKey): unknown;
  /** Reads all entries strictly under a prefix, decoded, at most `limit`, and returns how many there were. */
  list?(prefix: BenchKey, limit: number): MaybePromise<number>;
  /** Adds to a counter without reading it first. */
  sum?(key: BenchKey, operand: number): unknown;
  /** Reads a number and writes it increased by one, if nobody was faster; as often as it takes. */
  increment?(key: BenchKey): MaybePromise<void>;
  /** Calls `heard` with each new value of a key, from when the promise has resolved. */
  watch?(key: BenchKey, heard: (value: unknown) => void): MaybePromise<() => unknown>;
  /** A set that watchers hear of, where a plain one is not enough. */
  setWatched?(key: BenchKey, value: unknown): unknown;
  /** Other threads of the process that set small objects when they are told to, each with so many in flight. */
  writers?(threads: number, inFlight: number): Promise<Writers>;
  /** Calls `handle` for each message of the store's queue, from when the promise has resolved. */
  listen?(handle: (message: unknown) => void): MaybePromise<unknown>;
  /** Adds a message to the queue. */
  enqueue?(message: unknown): unknown;
  /** Follows everything, and never reads it: a consumer that stands still. */
  followUnread?(): unknown;
  /** Closes the store, opens it again, and resolves with the milliseconds that the opening alone took. */
  reopen?(): Promise<number>;
  close(): unknown;
}

/** A store that can be closed and opened again, by what opens it. */
export async function reopenable(open: () => Promise<PeerStore>): Promise<PeerStore> {
  const first = await open();
  const store: PeerStore = {
    ...first,
    reopen: async () => {
      await store.close();
      const startMs = performance.now();
      Object.assign(store, await open());
      return performance.now() - startMs;
    },
  };
  return store;
}

/** Where an adapter's store was found. */
export type PeerFinding =
  | { readonly version: string; readonly command?: readonly string[] }
  | { readonly missing: string };

/** A store that can be measured. */
export interface Peer {
  /** What the results call it, and the name of its file in peers/. */
  readonly name: string;
  readonly modes: readonly PeerMode[];
  /** Whether it is on this machine. With a `command`, it runs in a child process: the command, to which the program's arguments are added. */
  find(): Promise<PeerFinding>;
  /** Opens a new store in an empty directory. */
  open(directory: string, mode: PeerMode): Promise<PeerStore>;
}
