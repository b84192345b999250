/** Under load: readers of every kind see whole commits and fresh ones, and no update is lost. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import type { Kv, KvEntryMaybe, KvKey } from "../../src/index.js";
import { keyOnEachShard, tempKv } from "./temp-store.js";

/** Five shards and two busy threads on few cores take their time. */
const LONG = { timeout: 120_000 };
const ACCOUNTS = 6;
const START = 100;
const TRANSFERS = 150;

async function increment(kv: Kv, key: KvKey): Promise<number> {
  for (let tries = 1; ; tries++) {
    const entry = await kv.get<number>(key);
    const result = await kv
      .atomic()
      .check(entry)
      .set(key, (entry.value ?? 0) + 1)
      .commit();
    if (result.ok) return tries;
  }
}

/** Moves an amount between two accounts, however often that needs. */
async function transfer(kv: Kv, from: KvKey, to: KvKey, amount: number): Promise<void> {
  for (;;) {
    const [source, target] = await kv.getMany<[number, number]>([from, to]);
    const result = await kv
      .atomic()
      .check(source, target)
      .set(from, source.value! - amount)
      .set(to, target.value! + amount)
      .commit();
    if (result.ok) return;
  }
}

describe.each([1, 2, 5])("over %i shards", (shards) => {
  const accounts = Array.from(
    { length: ACCOUNTS },
    (_, n) => keyOnEachShard(`account${n}`, shards)[n % shards]!,
  );
  const total = (entries: readonly KvEntryMaybe<number>[]) =>
    entries.reduce((sum, { value }) => sum + value!, 0);

  test("while amounts move between accounts, every kind of read always finds the same total", async () => {
    const kv = await tempKv(":memory:", { shards });
    const opening = kv.atomic();
    for (const account of accounts) opening.set(account, START);
    await opening.commit();
    let isRunning = true;
    const writers = Promise.all(
      [0, 1, 2].map(async (writer) => {
        for (let n = 0; n < TRANSFERS; n++) {
          const from = (n + writer) % ACCOUNTS;
          const to = (from + 1 + ((n * 3) % (ACCOUNTS - 1))) % ACCOUNTS;
          await transfer(kv, accounts[from]!, accounts[to]!, 1 + (n % 7));
        }
      }),
    ).finally(() => {
      isRunning = false;
    });
    const read = async (look: () => Promise<void>): Promise<number> => {
      let looks = 0;
      do {
        await look();
        looks++;
        await new Promise(setImmediate);
      } while (isRunning);
      return looks;
    };
    const expected = ACCOUNTS * START;
    const readers = await Promise.all([
      read(async () => expect(total(await kv.getMany<number[]>(accounts))).toBe(expected)),
      read(async () => {
        const found: KvEntryMaybe<number>[] = [];
        for await (const entry of kv.list<number>({ prefix: [] })) found.push(entry);
        expect(total(found)).toBe(expected);
      }),
      read(async () => {
        using snapshot = await kv.snapshot();
        const first = total(snapshot.getMany<number>(accounts));
        await new Promise(setImmediate);
        const second = total(accounts.map((account) => snapshot.get<number>(account)));
        expect([first, second]).toEqual([expected, expected]);
      }),
      writers.then(() => 1),
    ]);
    expect(Math.min(...readers)).toBeGreaterThan(0);
    expect(total(await kv.getMany<number[]>(accounts))).toBe(expected);
  });

  test("getSync of two keys, one after the other, never goes back in time", async () => {
    const kv = await tempKv(":memory:", { shards });
    const [a, b] = [accounts[0]!, accounts[1]!];
    await kv.atomic().set(a, 0).set(b, 0).commit();
    let isRunning = true;
    const writing = (async () => {
      for (let n = 1; n <= 400; n++) await kv.atomic().set(a, n).set(b, n).commit();
      isRunning = false;
    })();
    while (isRunning) {
      const first = kv.getSync<number>(a).value!;
      const second = kv.getSync<number>(b).value!;
      const third = kv.getSync<number>(a).value!;
      expect(second).toBeGreaterThanOrEqual(first);
      expect(third).toBeGreaterThanOrEqual(second);
      await new Promise(setImmediate);
    }
    await writing;
  });

  test("20 concurrent check-and-set increments end at exactly 20", async () => {
    const kv = await tempKv(":memory:", { shards });
    await Promise.all(Array.from({ length: 20 }, () => increment(kv, ["counter"])));
    expect((await kv.get(["counter"])).value).toBe(20);
  });

  test("of commits in flight together that check the same entry, exactly one is made", async () => {
    const kv = await tempKv(":memory:", { shards });
    const [a, b] = [accounts[0]!, accounts[1]!];
    for (let pass = 0; pass < 30; pass++) {
      const entry = await kv.get(a);
      const results = await Promise.all(
        Array.from({ length: 8 }, (_, n) => {
          const operation = kv.atomic().check(entry).set(a, n);
          return (n % 2 === 0 ? operation : operation.set(b, n)).commit();
        }),
      );
      const made = results.filter(({ ok }) => ok);
      expect(made).toHaveLength(1);
      for (const result of results) {
        if (!result.ok)
          expect(result.failedChecks[0]!.actual).toBe((made[0] as { versionstamp: string }).versionstamp);
      }
    }
  });

  test("a read that starts after a write was acknowledged sees it, by every way to read", async () => {
    const kv = await tempKv(":memory:", { shards });
    const [a, b] = [accounts[0]!, accounts[1]!];
    const noise = { isOn: true };
    const noisy = (async () => {
      while (noise.isOn)
        await kv.atomic().set(["noise", 1], 1).set(["noise", 2], 1).set(["noise", 3], 1).commit();
    })();
    for (let n = 0; n < 200; n++) {
      if (n % 2 === 0) await kv.set(a, n);
      else await kv.atomic().set(a, n).set(b, n).commit();
      expect(kv.getSync(a).value).toBe(n);
      expect((await kv.get(a)).value).toBe(n);
      expect((await kv.getMany([b, a]))[1]!.value).toBe(n);
      if (n % 10 > 1) continue;
      using snapshot = await kv.snapshot();
      expect(snapshot.get(a).value).toBe(n);
      const { value } = await kv.list({ prefix: a.slice(0, 1) }).next();
      expect(value!.value).toBe(n);
    }
    noise.isOn = false;
    await noisy;
  });

  test("who hears of a change reads it", async () => {
    const kv = await tempKv(":memory:", { shards });
    const [a, b] = [accounts[0]!, accounts[1]!];
    const feed = kv.changes<number>([{ key: a }, { key: b }]);
    const writing = (async () => {
      for (let n = 1; n <= 100; n++) await kv.atomic().set(a, n).set(b, n).commit();
    })();
    let heard = 0;
    for await (const { key, value } of feed) {
      expect(kv.getSync<number>(key).value!).toBeGreaterThanOrEqual(value!);
      if (++heard === 200) break;
    }
    await writing;
  });
});

describe.each([2, 5])(
  "writes of another thread, each after the one before was acknowledged, over %i shards",
  (shards) => {
    const keys = keyOnEachShard("k", shards);
    const WRITES = 3000;

    async function whileWriting(read: (kv: Kv) => Promise<readonly (number | null)[]>): Promise<void> {
      const kv = await tempKv(":memory:", { shards });
      await Promise.all(keys.map((key) => kv.set(key, 0)));
      const handle = kv.share();
      const writer = new Worker(new URL("ordered-writer-thread.js", import.meta.url), {
        workerData: { handle, keys, count: WRITES },
        transferList: [...handle.transfer],
      });
      let isRunning = true;
      const ended = once(writer, "exit").then(() => {
        isRunning = false;
      });
      while (isRunning) {
        for (let looks = 0; looks < 20; looks++) {
          const values = (await read(kv)).map((value) => value!);
          // Written first to last: a later key is never ahead of an earlier one, and the first is at most one ahead of the last.
          for (let index = 1; index < values.length; index++) {
            expect(values[index]!).toBeLessThanOrEqual(values[index - 1]!);
          }
          expect(values[0]! - values.at(-1)!).toBeLessThanOrEqual(1);
        }
        await new Promise(setImmediate);
      }
      await ended;
      expect((await read(kv)).every((value) => value === WRITES)).toBe(true);
    }

    test("are seen by getMany in that order: a cut is one moment of the store", LONG, async () => {
      await whileWriting(async (kv) => (await kv.getMany<number[]>(keys)).map(({ value }) => value));
    });

    test("are seen by list and by a snapshot in that order", LONG, async () => {
      let turn = 0;
      await whileWriting(async (kv) => {
        const found = new Map<unknown, number | null>();
        if (turn++ % 2 === 0) {
          for await (const { key, value } of kv.list<number>({ prefix: ["k"] })) found.set(key[1], value);
        } else {
          using snapshot = await kv.snapshot();
          for (const { key, value } of snapshot.getMany<number>(keys)) found.set(key[1], value);
        }
        return keys.map((key) => found.get(key[1]) ?? null);
      });
    });
  },
);
