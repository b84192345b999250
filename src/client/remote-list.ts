/**
 * Owns the iteration of a remote `list`, page by page.
 */
import { KvError, KvTypeError } from "../errors.js";
import type { KvEntry, KvKey, KvListOptions, KvListSelector } from "../index.js";
import type { WireEntry, WirePage } from "../wire/entries.js";
import { checkConsistency, checkedKey } from "./checks.js";
import type { Transport } from "./transport.js";

const PAGE_DEFAULT = 100;
const PAGE_MAX = 1000;

/** The entries that `kv.list` found, in key order. As the KvListIterator of the embedded store. */
export class RemoteListIterator<T> implements AsyncIterableIterator<KvEntry<T>> {
  readonly #transport: Transport;
  readonly #selector: KvListSelector;
  readonly #options: KvListOptions;
  #entries: readonly WireEntry[] = [];
  #cursors: readonly string[] = [];
  #next = 0;
  #left: number;
  /** Where the next page begins; `null`: there is none. */
  #pageCursor: string | null;
  #cursor: string | undefined;

  /** Made by `kv.list()`. */
  constructor(transport: Transport, selector: KvListSelector, options: KvListOptions) {
    this.#transport = transport;
    // As in the embedded store: what is wrong with the keys themselves is told with the first entry.
    const copied = Object.entries(selector).map(([name, key]) => [name, Array.isArray(key) ? [...key] : key]);
    this.#selector = Object.fromEntries(copied) as KvListSelector;
    this.#options = { ...options };
    this.#left = options.limit ?? Number.POSITIVE_INFINITY;
    this.#pageCursor = options.cursor ?? "";
    this.#cursor = options.cursor === "" ? undefined : options.cursor;
  }

  /** Where to go on later: behind the last entry that was taken; empty when there are no more. */
  get cursor(): string {
    if (this.#cursor !== undefined) return this.#cursor;
    throw new KvError("KV_CURSOR_TOO_EARLY", "Cannot get cursor before first iteration");
  }

  async next(): Promise<IteratorResult<KvEntry<T>, undefined>> {
    while (this.#next === this.#entries.length && this.#left > 0 && this.#pageCursor !== null) {
      await this.#readPage(this.#pageCursor);
    }
    if (this.#next === this.#entries.length || this.#left === 0) {
      // An iteration that its limit has ended can go on.
      if (this.#left > 0) this.#cursor = "";
      return { done: true, value: undefined };
    }
    this.#cursor = this.#cursors[this.#next]!;
    this.#left--;
    return { done: false, value: this.#entries[this.#next++] as KvEntry<T> };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #readPage(cursor: string): Promise<void> {
    const { batchSize, limit, reverse, consistency } = this.#options;
    if (batchSize !== undefined && batchSize > PAGE_MAX) {
      throw new KvTypeError("KV_LIMIT_EXCEEDED", `Too many entries (max ${PAGE_MAX})`);
    }
    checkConsistency(consistency);
    const request = {
      selector: this.#checkedSelector(),
      limit: Math.min(batchSize ?? limit ?? PAGE_DEFAULT, this.#left, PAGE_MAX),
      reverse: reverse === true,
      cursors: true,
      ...(cursor !== "" && { cursor }),
    };
    const page = (await this.#transport.call("/v1/list", request, "read")) as WirePage;
    this.#entries = page.entries;
    this.#cursors = page.cursors ?? [];
    this.#next = 0;
    this.#pageCursor = page.cursor === "" ? null : page.cursor;
  }

  #checkedSelector(): object {
    const keys = Object.entries(this.#selector).filter(([, key]) => key !== undefined);
    return Object.fromEntries(keys.map(([name, key]) => [name, checkedKey(key as KvKey)]));
  }
}
