import { describe, expect, test } from "vitest";
import { encodeKey, type KvKey } from "../../src/codec/key.js";
import { KvClosedError } from "../../src/errors.js";
import { type WatchKeysOptions, watchKeys } from "../../src/watch/level-watch.js";
import { FakeEngine, isPending, turns } from "./fake-engine.js";

interface Entry {
  readonly value: unknown;
  readonly versionstamp: string | null;
}

/** A store of two lines: what was set last under each key. */
class World {
  readonly engine = new FakeEngine();
  readonly state = new Map<string, Entry>();
  reads = 0;

  set(key: KvKey, value: unknown): void {
    const counter = this.engine.shards[0]!.write([{ key, value }]);
    this.state.set(JSON.stringify(key), { value, versionstamp: `${counter}` });
    this.engine.pollAll();
  }

  get(key: KvKey): Entry {
    return this.state.get(JSON.stringify(key)) ?? { value: null, versionstamp: null };
  }

  watch(keys: readonly KvKey[], options: Partial<WatchKeysOptions<Entry>> = {}) {
    const stream = watchKeys<Entry>({
      dispatcher: this.engine.dispatcher,
      keys: keys.map(encodeKey),
      read: () => {
        this.reads++;
        return keys.map((key) => this.get(key));
      },
      versionstampOf: (entry) => entry.versionstamp,
      ...options,
    });
    return stream.getReader();
  }
}

function valuesOf(item: { value?: Entry[] | undefined }): unknown[] {
  return item.value!.map((entry) => entry.value);
}

describe("level watch", () => {
  test("the first item is the current state, also when there is nothing", async () => {
    const world = new World();
    world.set(["a"], 1);
    const reader = world.watch([["a"], ["b"], ["a"]]);
    expect(valuesOf(await reader.read())).toEqual([1, null, 1]);
    expect(valuesOf(await world.watch([["nothing"]]).read())).toEqual([null]);
    expect(valuesOf(await world.watch([[]]).read())).toEqual([null]);
  });

  test("an item comes when a watched key has moved, with all keys", async () => {
    const world = new World();
    const reader = world.watch([["a"], ["b"]]);
    await reader.read();
    const next = reader.read();
    expect(await isPending(next)).toBe(true);
    world.set(["b"], 2);
    expect(valuesOf(await next)).toEqual([null, 2]);
  });

  test("keys beside and below a watched one do not wake it", async () => {
    const world = new World();
    const reader = world.watch([["a"]]);
    await reader.read();
    await turns();
    const reads = world.reads;
    world.set(["a", "child"], 1);
    world.set(["b"], 1);
    await turns();
    expect(world.reads).toBe(reads);
  });

  test("a slow reader gets the item that was read ahead, then the newest, and nothing between", async () => {
    const world = new World();
    const reader = world.watch([["a"]]);
    expect(valuesOf(await reader.read())).toEqual([null]);
    world.set(["a"], 0);
    await turns();
    for (let value = 1; value < 10; value++) {
      world.set(["a"], value);
      await turns();
    }
    expect(valuesOf(await reader.read())).toEqual([0]);
    expect(valuesOf(await reader.read())).toEqual([9]);
    expect(await isPending(reader.read())).toBe(true);
  });

  test("rewriting the same value is news, a wake-up without a new versionstamp is not, unless raw", async () => {
    const world = new World();
    world.set(["a"], 1);
    const readers = [world.watch([["a"]]), world.watch([["a"]], { raw: true })];
    for (const reader of readers) await reader.read();
    world.set(["a"], 1);
    for (const reader of readers) expect(valuesOf(await reader.read())).toEqual([1]);
    const [plain, raw] = readers.map((reader) => reader.read());
    world.engine.shards[0]!.write([{ key: ["a"], value: "not in the state" }]);
    world.engine.pollAll();
    expect(valuesOf(await raw!)).toEqual([1]);
    expect(await isPending(plain!)).toBe(true);
  });

  test("a change that is committed during a read is not missed", async () => {
    const world = new World();
    let release: (() => void) | undefined;
    const read = async () => {
      const cut = [world.get(["a"])];
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return cut;
    };
    const reader = world.watch([["a"]], { read });
    await turns();
    world.set(["a"], "during the read");
    release?.();
    expect(valuesOf(await reader.read())).toEqual([null]);
    const next = reader.read();
    await turns();
    release?.();
    expect(valuesOf(await next)).toEqual(["during the read"]);
  });

  test("a commit that was in flight when the watch began is not missed", async () => {
    const world = new World();
    const { engine } = world;
    const counter = engine.control.takeCounter(0);
    const reader = world.watch([["a"]]);
    expect(valuesOf(await reader.read())).toEqual([null]);
    const next = reader.read();
    await turns();
    const batch = engine.batch(0, counter, [[{ key: ["a"], value: 1 }]], false);
    engine.shards[0]!.appendLog(batch);
    world.state.set('["a"]', { value: 1, versionstamp: "1" });
    engine.shards[0]!.publish(batch);
    engine.control.clearInFlight(0);
    engine.pollAll();
    expect(valuesOf(await next)).toEqual([1]);
  });
});

describe("level watch: its end", () => {
  test("watching no keys ends at once and listens to nothing", async () => {
    const world = new World();
    expect(await world.watch([]).read()).toEqual({ done: true, value: undefined });
    expect(world.engine.dispatcher.state).toBe("idle");
  });

  test("closing the store ends a pending read with done, after what was read ahead", async () => {
    const world = new World();
    const [reader, ahead] = [world.watch([["a"]]), world.watch([["a"]])];
    await reader.read();
    const next = reader.read();
    await turns();
    world.engine.dispatcher.close();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(valuesOf(await ahead.read())).toEqual([null]);
    expect((await ahead.read()).done).toBe(true);
    expect(() => world.watch([["a"]])).toThrow(KvClosedError);
  });

  test("cancel lets the process end, and twice does nothing", async () => {
    const world = new World();
    const reader = world.watch([["a"]]);
    await reader.read();
    await reader.cancel();
    await reader.cancel();
    expect(world.engine.calls.at(-1)).toBe("idle");
    world.set(["a"], 1);
    expect((await reader.read()).done).toBe(true);
  });

  test("cancel during a read emits nothing more", async () => {
    const world = new World();
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const reader = world.watch([["a"]], { read: () => gate.then(() => [world.get(["a"])]) });
    await turns();
    await reader.cancel();
    release?.();
    await turns();
    expect((await reader.read()).done).toBe(true);
  });

  test("an aborted signal ends the stream with its reason", async () => {
    const world = new World();
    const controller = new AbortController();
    const reader = world.watch([["a"]], { signal: controller.signal });
    await reader.read();
    const next = reader.read();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(next).rejects.toBe(reason);
    expect(world.engine.dispatcher.state).toBe("idle");
    expect(() => world.watch([["a"]], { signal: controller.signal })).toThrow(reason);
  });

  test("a read that fails, or the engine's failure, ends the stream with that error", async () => {
    const world = new World();
    const failure = new Error("failed");
    const failing = world.watch([["a"]], { read: () => Promise.reject(failure) });
    await expect(failing.read()).rejects.toBe(failure);
    expect(world.engine.dispatcher.state).toBe("idle");
    const reader = world.watch([["a"]]);
    await reader.read();
    const next = reader.read();
    world.engine.dispatcher.fail(failure);
    await expect(next).rejects.toBe(failure);
  });
});
