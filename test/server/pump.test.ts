import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { pump } from "../../src/server/pump.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Counts up to `count`, and then waits for ever. Each fourth number takes a turn of the event loop. */
function numbers(count: number) {
  let next = 0;
  const state = { isReturned: false };
  const items: AsyncIterator<number, unknown> = {
    next: async () => {
      if (next === count) return new Promise<never>(() => {});
      if (next % 1000 === 0) await sleep(0);
      return { done: false, value: next++ };
    },
    return: async () => {
      state.isReturned = true;
      return { done: true, value: undefined };
    },
  };
  return { items, state };
}

const NEVER = 1_000_000;

describe("a pump", () => {
  it("hands over each item, and ends its iterator when the signal aborts", async () => {
    const ending = new AbortController();
    const { items, state } = numbers(3);
    const seen: number[] = [];
    const onItem = async (item: number): Promise<void> => {
      if (seen.push(item) === 3) setTimeout(() => ending.abort(), 5);
    };
    const { signal } = ending;
    expect(await pump({ items, onItem, onIdle: async () => {}, idleMs: NEVER, signal })).toBe("aborted");
    expect([seen, state.isReturned]).toEqual([[0, 1, 2], true]);
    expect(await pump({ items, onItem, onIdle: async () => {}, idleMs: NEVER, signal })).toBe("aborted");
  });

  it("beats while nothing comes, one beat at a time", async () => {
    const ending = new AbortController();
    const { items } = numbers(0);
    let beats = 0;
    let most = 0;
    let under = 0;
    const onIdle = async (): Promise<void> => {
      most = Math.max(most, ++under);
      await sleep(10);
      under--;
      if (++beats === 3) ending.abort();
    };
    await pump({ items, onItem: async () => {}, onIdle, idleMs: 1, signal: ending.signal });
    expect([beats, most]).toEqual([3, 1]);
  });

  it("fails as the iterator does, or as what takes the items does, and ends the iterator", async () => {
    const { signal } = new AbortController();
    const { items, state } = numbers(1);
    const onItem = (): Promise<void> => Promise.reject(new Error("taker"));
    await expect(pump({ items, onItem, onIdle: async () => {}, idleMs: NEVER, signal })).rejects.toThrow(
      "taker",
    );
    expect(state.isReturned).toBe(true);
    const broken = { next: () => Promise.reject(new Error("giver")) };
    const options = { onItem: async () => {}, onIdle: async () => {}, idleMs: NEVER, signal };
    await expect(pump({ items: broken, ...options })).rejects.toThrow("giver");
  });

  it("keeps nothing of the items that have gone", async () => {
    const ending = new AbortController();
    const count = 200_000;
    const { items } = numbers(count);
    let before = 0;
    let after = 0;
    const onItem = async (item: number): Promise<void> => {
      if (item === 1000) {
        gc();
        before = process.memoryUsage().heapUsed;
      }
      if (item < count - 1) return;
      gc();
      after = process.memoryUsage().heapUsed;
      ending.abort();
    };
    await pump({ items, onItem, onIdle: async () => {}, idleMs: NEVER, signal: ending.signal });
    expect((after - before) / count, "bytes an item").toBeLessThan(20);
  });
});
