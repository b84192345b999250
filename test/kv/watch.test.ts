/** `watch(keys)`, as in Deno: the current state, then the newest one whenever a key has moved, never torn. */
import { describe, expect, test } from "vitest";
import { type Kv, type KvKey, openKv } from "../../src/index.js";
import { keyOnEachShard, tempKv } from "./temp-store.js";

/** Lets the event loop turn until nothing can be on its way any more: a commit and its news are through the whole engine. */
async function quiet(kv: Kv): Promise<void> {
  const reader = kv.watch([["quiet"]]).getReader();
  await reader.read();
  await kv.set(["quiet"], Math.random());
  await reader.read();
  await reader.cancel();
}

describe.each([1, 2, 5])("over %i shards", (shards) => {
  const open = () => tempKv(":memory:", { shards });
  const [one, two] = keyOnEachShard("k", Math.max(2, shards)) as [KvKey, KvKey];

  test("the first item is the current state, also when nothing is there", async () => {
    const kv = await open();
    await kv.set(one, 1);
    const { value } = await kv.watch([one, two, one]).getReader().read();
    expect(value).toMatchObject([
      { key: one, value: 1 },
      { key: two, value: null, versionstamp: null },
      { key: one, value: 1 },
    ]);
    expect(
      (
        await kv
          .watch([["none"]])
          .getReader()
          .read()
      ).value,
    ).toMatchObject([{ value: null }]);
  });

  test("a change of any key gives an item of all keys in their order", async () => {
    const kv = await open();
    const reader = kv.watch([one, two]).getReader();
    await reader.read();
    await kv.set(two, 2);
    expect((await reader.read()).value).toMatchObject([{ value: null }, { value: 2 }]);
    await kv.set(one, 1);
    expect((await reader.read()).value).toMatchObject([{ value: 1 }, { value: 2 }]);
    await kv.delete(two);
    expect((await reader.read()).value).toMatchObject([{ value: 1 }, { value: null }]);
  });

  test("a slow reader gets the item that was read ahead, then the newest state", async () => {
    const kv = await open();
    await kv.set(one, 0);
    const reader = kv.watch<[number]>([one]).getReader();
    await quiet(kv);
    for (let n = 1; n < 10; n++) await kv.set(one, n);
    await quiet(kv);
    const seen = [(await reader.read()).value![0].value, (await reader.read()).value![0].value];
    expect(seen).toEqual([0, 9]);
  });

  test("the newest state always comes, whatever is skipped", async () => {
    const kv = await open();
    const reader = kv.watch<[number]>([one]).getReader();
    const writing = (async () => {
      for (let n = 0; n <= 300; n++) await kv.set(one, n);
    })();
    let last = -1;
    while (last < 300) {
      const found = (await reader.read()).value![0].value ?? -1;
      expect(found).toBeGreaterThanOrEqual(last);
      last = found;
    }
    await writing;
  });

  test("200 commits of two keys on different shards are never seen torn", async () => {
    const kv = await open();
    const reader = kv.watch<[number, number]>([one, two]).getReader();
    const writing = (async () => {
      for (let n = 1; n <= 200; n++) await kv.atomic().set(one, n).set(two, n).commit();
    })();
    let last: number | null = 0;
    while (last !== 200) {
      const [a, b] = (await reader.read()).value!;
      expect(a.value).toBe(b.value);
      expect(a.versionstamp).toBe(b.versionstamp);
      last = a.value;
    }
    await writing;
  });

  test("a hundred keys over all shards in one watch", async () => {
    const kv = await open();
    const keys = Array.from({ length: 100 }, (_, n) => ["many", n]);
    const reader = kv.watch(keys).getReader();
    expect((await reader.read()).value!.every(({ value }) => value === null)).toBe(true);
    const operation = kv.atomic();
    for (const key of keys) operation.set(key, "all");
    await operation.commit();
    expect((await reader.read()).value!.every(({ value }) => value === "all")).toBe(true);
    await kv.set(keys[77]!, "one");
    expect((await reader.read()).value!.map(({ value }) => value).indexOf("one")).toBe(77);
  });

  test("writing the same value again is news; deleting what is missing, other keys and children are not", async () => {
    const kv = await open();
    await kv.set(one, 1);
    const reader = kv.watch([one, two]).getReader();
    await reader.read();
    await kv.set(one, 1);
    const again = (await reader.read()).value!;
    await kv.delete(two);
    await kv.set([...one, "child"], 1);
    await kv.set(["other"], 1);
    await kv.atomic().check({ key: one, versionstamp: null }).set(one, 5).commit();
    await quiet(kv);
    const { versionstamp } = await kv.set(two, 2);
    const next = (await reader.read()).value!;
    expect(next).toMatchObject([{ versionstamp: again[0]!.versionstamp }, { versionstamp }]);
  });
});

test("no keys: the stream ends at once; the empty key: a null entry", async () => {
  const kv = await tempKv();
  expect(await kv.watch([]).getReader().read()).toEqual({ done: true, value: undefined });
  expect((await kv.watch([[]]).getReader().read()).value).toMatchObject([{ key: [], value: null }]);
});

test("an aborted signal ends the stream with its reason", async () => {
  const kv = await tempKv();
  const controller = new AbortController();
  const reader = kv.watch([["a"]], { signal: controller.signal }).getReader();
  await reader.read();
  const pending = reader.read();
  controller.abort(new Error("enough"));
  await expect(pending).rejects.toThrow("enough");
  expect(() => kv.watch([["a"]], { signal: controller.signal })).toThrow("enough");
});

test("a pending read is done when the store is closed, and a later watch throws", async () => {
  const kv = await openKv(":memory:", { shards: 2 });
  const reader = kv.watch([["a"]]).getReader();
  await reader.read();
  const pending = reader.read();
  await kv.close();
  expect(await pending).toEqual({ done: true, value: undefined });
  expect(() => kv.watch([["a"]])).toThrow("Bad resource ID");
});

test("cancelling twice does nothing, leaving the loop ends the stream, and writes go on", async () => {
  const kv = await tempKv();
  const reader = kv.watch([["a"]]).getReader();
  await reader.read();
  await reader.cancel();
  await reader.cancel();
  expect((await reader.read()).done).toBe(true);
  const stream = kv.watch([["a"]]);
  for await (const [entry] of stream) {
    expect(entry!.value).toBeNull();
    break;
  }
  expect(stream.locked).toBe(false);
  await kv.set(["a"], 1);
  expect((await kv.get(["a"])).value).toBe(1);
});

test("with raw, an item comes for a notification that moved nothing", async () => {
  const kv = await tempKv(":memory:", { shards: 2 });
  const reader = kv.watch([["a"]], { raw: true }).getReader();
  await reader.read();
  const read = reader.read();
  await kv.atomic().set(["a"], 1).commit();
  expect((await read).value).toMatchObject([{ value: 1 }]);
});
