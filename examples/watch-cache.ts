/**
 * A cache that is never stale for long: it is filled once from a snapshot, and every committed change under its prefix is applied to it.
 *
 * The feed is opened before the snapshot is taken, so no change can fall between the two. A change that the snapshot has already is
 * recognised by its versionstamp.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type ChangeFeed, type Kv, openKv } from "../src/index.js";

class SettingsCache {
  readonly #known = new Map<string, { readonly value: unknown; readonly versionstamp: string }>();
  readonly #feed: ChangeFeed;
  readonly #followed: Promise<void>;

  private constructor(feed: ChangeFeed) {
    this.#feed = feed;
    this.#followed = this.#follow();
  }

  static async open(kv: Kv): Promise<SettingsCache> {
    const feed = kv.changes({ prefix: ["settings"] });
    const filled: [string, { value: unknown; versionstamp: string }][] = [];
    using snapshot = await kv.snapshot();
    for await (const { key, value, versionstamp } of snapshot.list({ prefix: ["settings"] })) {
      filled.push([String(key[1]), { value, versionstamp }]);
    }
    const cache = new SettingsCache(feed);
    for (const [name, entry] of filled) cache.#known.set(name, entry);
    return cache;
  }

  /** No promise, no read of the store. */
  get(name: string): unknown {
    return this.#known.get(name)?.value;
  }

  async close(): Promise<void> {
    this.#feed.close();
    await this.#followed;
  }

  async #follow(): Promise<void> {
    for await (const { key, type, value, versionstamp } of this.#feed) {
      const name = String(key[1]);
      if (versionstamp <= (this.#known.get(name)?.versionstamp ?? "")) continue;
      if (type === "delete") this.#known.delete(name);
      else this.#known.set(name, { value, versionstamp });
    }
  }
}

await using kv = await openKv();
await kv.set(["settings", "theme"], "dark");

const cache = await SettingsCache.open(kv);
console.log(cache.get("theme")); // → dark

const written = await kv.atomic().set(["settings", "theme"], "light").set(["settings", "size"], 14).commit();
while (cache.get("size") === undefined) await sleep(1);
console.log(written.ok, cache.get("theme"), cache.get("size")); // → true light 14

await kv.delete(["settings", "size"]);
while (cache.get("size") !== undefined) await sleep(1);
console.log(cache.get("size")); // → undefined

await cache.close();
