import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PeerFinding, PeerStore } from "../../bench/contest/peer.js";
import { loadPeer } from "../../bench/contest/peers/registry.js";
import { sampleBytes } from "../../bench/contest/sample-data.js";

/** They are no dependencies: where one is missing, the name of the skipped tests says what of it. */
const SERVERS = await Promise.all(
  ["etcd", "nats"].map(async (name) => {
    const peer = await loadPeer(name);
    return { peer, reason: missing(await peer.find()) };
  }),
);
const CASES = SERVERS.flatMap(({ peer, reason }) => peer.modes.map((mode) => ({ peer, mode, reason })));

describe.each(CASES)("$peer.name ($mode.setting), $reason", ({ peer, mode, reason }) => {
  describe.skipIf(reason !== "found")("as a peer of the bench", () => {
    let directory: string;
    let store: PeerStore;
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), "belfry-peer-test-"));
      store = await peer.open(directory, mode);
    });
    afterAll(async () => {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    });

    it("gives back what was set last, and nothing where nothing is", async () => {
      const value = { text: "Ada", bytes: new Uint8Array([0, 255]), big: 2n ** 70n };
      await store.set(["set", 1, "a/b.c *>"], { text: "before" });
      await store.set(["set", 1, "a/b.c *>"], value);
      expect(await store.get!(["set", 1, "a/b.c *>"])).toEqual(value);
      expect((await store.get!(["set", 2])) ?? null).toBeNull();
    });

    it("keeps a value of 1 MiB", async () => {
      const value = sampleBytes(1024 * 1024);
      await store.set(["large"], value);
      // Element by element, a comparison takes seconds.
      expect(Buffer.compare((await store.get!(["large"])) as Uint8Array, value)).toBe(0);
    });

    it("commits many sets at once", async ({ skip }) => {
      if (store.setAll === undefined) return skip();
      await store.setAll(Array.from({ length: 200 }, (_, number) => [["all", number], { number }] as const));
      expect(await store.get!(["all", 199])).toEqual({ number: 199 });
    });

    it("lists what is under a prefix, up to the limit, and not its neighbours", async ({ skip }) => {
      if (store.list === undefined) return skip();
      for (const part of [0, 1, 2, 10]) await store.set(["list", part, "neighbour"], 0);
      for (let number = 0; number < 20; number++) await store.set(["list", 1, number], number);
      expect(await store.list(["list", 1], 100)).toBe(21);
      expect(await store.list(["list", 1], 5)).toBe(5);
      expect(await store.list(["none"], 5)).toBe(0);
    });

    it("loses no increment of callers that race", async () => {
      const caller = async (): Promise<void> => {
        for (let count = 0; count < 5; count++) await store.increment!(["counter"]);
      };
      await Promise.all(Array.from({ length: 8 }, caller));
      expect(await store.get!(["counter"])).toBe(40);
    });

    it("tells watchers the new values of their key, in order, until they stop", async () => {
      const heard: unknown[] = [];
      const elsewhere: unknown[] = [];
      await store.set(["watched", 1], "before");
      const stop = await store.watch!(["watched", 1], (value) => heard.push(value));
      await store.watch!(["watched", 10], (value) => elsewhere.push(value));
      const numbers = Array.from({ length: 10 }, (_, number) => ({ number }));
      for (const value of numbers) {
        await store.set(["watched", 1], value);
        // A bucket without history leaves out what was replaced before it could be sent.
        await expect.poll(() => heard.at(-1)).toEqual(value);
      }
      await stop();
      await store.set(["watched", 1], "after");
      await store.set(["watched", 10], "end");
      await expect.poll(() => elsewhere).toEqual(["end"]);
      expect(heard).toEqual(numbers);
    });
  });
});

function missing(finding: PeerFinding): string {
  return "missing" in finding ? `left out: no ${finding.missing}` : "found";
}
