/** The end of listening: by the signal, by closing, by reopening; and of messages that end processes. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { KvClosedError } from "../../src/index.js";
import { pretendInterrupted } from "./queue-rows.js";
import { all, isEmpty, take, until } from "./queue-waiting.js";
import { tempKv, tempPath } from "./temp-store.js";

describe("the end of listening", () => {
  test("aborting the signal takes no more messages, and resolves when those that are handled have been", async () => {
    const kv = await tempKv();
    const stop = new AbortController();
    const events: unknown[] = [];
    const listening = kv.listenQueue(
      async (value) => {
        stop.abort();
        await sleep(20);
        events.push(value);
      },
      { signal: stop.signal, concurrency: 1 },
    );
    await kv.enqueue("a");
    await kv.enqueue("b");
    await listening;
    expect(events).toEqual(["a"]);
    await until("the first is settled", () => kv.queueStats().leased === 0);
    expect(kv.queueStats()).toMatchObject({ ready: 1, listeners: 0 });
    await kv.listenQueue(() => events.push("not begun"), { signal: AbortSignal.abort() });
    expect(events).toEqual(["a"]);
  });

  test("close resolves it, while a handler runs, too; afterwards it rejects", async () => {
    const kv = await tempKv();
    let begun = false;
    const listening = kv.listenQueue(() => {
      begun = true;
      return new Promise(() => {});
    });
    await kv.enqueue("x");
    await until("it is begun", () => begun);
    const closing = kv.close();
    await expect(listening).resolves.toBeUndefined();
    await closing;
    await expect(kv.listenQueue(() => {})).rejects.toThrow("Queue already closed");
    await expect(kv.enqueue("y")).rejects.toBeInstanceOf(KvClosedError);
    expect(() => kv.queueStats()).toThrow(KvClosedError);
    expect(() => kv.deadLetters).toThrow(KvClosedError);
  });

  test("what was handled before the close is gone; what was being handled comes again after the reopening", async () => {
    const path = tempPath();
    const kv = await tempKv(path, { shards: 2 });
    const begun: unknown[] = [];
    void kv.listenQueue(async (value) => {
      begun.push(value);
      if (typeof value === "string") await new Promise(() => {});
    });
    for (let n = 0; n < 20; n++) await kv.enqueue(n);
    await kv.enqueue("unfinished");
    await kv.enqueue("later", { delay: 30 });
    await until("all but one are begun", () => begun.length >= 21);
    await kv.close();
    const again = await tempKv(path);
    expect((await take(again, 2)).sort()).toEqual(["later", "unfinished"]);
    await until("nothing is left", () => isEmpty(again));
  });

  test("a handler that closes the store has handled its message", async () => {
    const path = tempPath();
    const kv = await tempKv(path);
    await kv.enqueue("x");
    await kv.listenQueue(() => void kv.close());
    await kv[Symbol.asyncDispose]();
    const again = await tempKv(path);
    expect(isEmpty(again)).toBe(true);
  });

  test("what a closed Kv still handles is settled while another one keeps the store open", async () => {
    const path = tempPath();
    const other = await tempKv(path, { shards: 1 });
    const kv = await tempKv(path);
    let finish = () => {};
    let begun = 0;
    void kv.listenQueue(() => {
      begun++;
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    });
    await other.enqueue("x");
    await until("it is begun", () => begun === 1);
    await kv.close();
    const seen: unknown[] = [];
    void other.listenQueue((value) => seen.push(value));
    await sleep(30);
    expect(seen).toEqual([]);
    finish();
    await until("it is settled", () => isEmpty(other));
    expect(seen).toEqual([]);
  });
});

test("a message whose handling ends its process again and again becomes a dead letter", async () => {
  const path = tempPath();
  {
    const kv = await tempKv(path, { shards: 1 });
    await kv.enqueue("poison", { keysIfUndelivered: [["poison"]] });
    await kv.close();
  }
  await pretendInterrupted(path, 11);
  const kv = await tempKv(path);
  const handled: unknown[] = [];
  void kv.listenQueue((value) => handled.push(value));
  await until("it is dead", () => kv.queueStats().dead === 1);
  const [letter] = await all(kv.deadLetters.list());
  expect(letter).toMatchObject({ value: "poison", failures: 0, interruptions: 11 });
  expect(letter!.error).toMatch(/interrupted 11 times/);
  expect(handled).toEqual([]);
  expect((await kv.get(["poison"])).value).toBe("poison");
});
