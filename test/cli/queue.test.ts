import { describe, expect, it, vi } from "vitest";
import type { Kv } from "../../src/index.js";
import { tempKv, tempPath } from "../kv/temp-store.js";
import { tempServer } from "../server/temp-server.js";
import { belfry } from "./program.js";

/** Lets messages die, and gives the ids of all letters. */
async function lettersOf(kv: Kv, ...values: string[]): Promise<string[]> {
  // What a handler throws is written there, and is no news here.
  const silence = vi.spyOn(console, "error").mockReturnValue();
  const before = kv.queueStats().dead;
  const stop = new AbortController();
  const fail = (value: unknown) => {
    throw new Error(`no handler for ${value}\nand more`);
  };
  const listening = kv.listenQueue(fail, { signal: stop.signal });
  for (const value of values) await kv.enqueue(value, { backoffSchedule: [] });
  await vi.waitFor(() => expect(kv.queueStats().dead).toBe(before + values.length), 20_000);
  stop.abort();
  await listening;
  silence.mockRestore();
  const ids: string[] = [];
  for await (const { id } of kv.deadLetters.list()) ids.push(id);
  return ids;
}

describe("belfry queue and belfry dead", () => {
  it("look into a path, and requeue and delete letters", async () => {
    const path = tempPath();
    const kv = await tempKv(path, { shards: 1 });
    const ids = await lettersOf(kv, "one", "two", "three");
    await kv.close();

    const { stdout: listed } = await belfry(["dead", "ls", path]);
    expect(listed.trimEnd().split("\n")).toEqual([
      expect.stringMatching(new RegExp(`^${ids[0]}  20.*Z  1 failures  .*no handler for one  "one"$`)),
      expect.stringContaining('"two"'),
      expect.stringContaining('"three"'),
    ]);
    expect((await belfry(["dead", "requeue", path, ids[0]!, "--delay", "3600000"])).stdout).toBe(
      "1 requeued\n",
    );
    expect(await belfry(["dead", "delete", path, ids[0]!, ids[1]!, "--json"])).toMatchObject({
      code: 3,
      stdout: `{"count":1,"missing":["${ids[0]}"]}\n`,
      stderr: expect.stringContaining(`no letter with the id ${ids[0]}`),
    });
    const { stdout: stats } = await belfry(["queue", path]);
    expect(stats).toMatch(/^shard +ready +delayed +leased +dead /);
    expect(stats).toMatch(/\nall +0 +1 +0 +1 .* - +20\S+Z\n$/);
    expect(await belfry(["dead", "delete", path, "no-id"])).toMatchObject({ code: 2, stdout: "" });
  }, 60_000);

  it("do the same on an address", async () => {
    const { kv, url } = await tempServer();
    const [first] = await lettersOf(kv, "one", "two");
    const { stdout } = await belfry(["dead", "list", url, "--after", first!, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ value: "two", failures: 1 });
    expect((await belfry(["dead", "purge", url, "--older-than", "3600000"])).stdout).toBe(
      "0 letters purged\n",
    );
    expect(await belfry(["dead", "requeue", url, "--all", "--json"])).toMatchObject({
      code: 0,
      stdout: '{"count":2,"missing":[]}\n',
    });
    expect(JSON.parse((await belfry(["queue", url, "--json"])).stdout)).toMatchObject({ ready: 2, dead: 0 });
    expect((await belfry(["dead", "purge", url])).stdout).toBe("0 letters purged\n");
  }, 60_000);
});
