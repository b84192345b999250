import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../../src/clock.js";
import { createChangeRing } from "../../src/ring/change-ring.js";
import { Control } from "../../src/ring/control.js";
import { Faults } from "../../src/shard/faults.js";
import { ShardWriter } from "../../src/shard/shard-writer.js";
import { ShardStore } from "../../src/store/shard-store.js";

let path: string;
let store: ShardStore;
beforeEach(() => {
  path = realpathSync(mkdtempSync(join(tmpdir(), "belfry-writer-")));
  store = ShardStore.open(path, "relaxed");
});
afterEach(async () => {
  await store.close();
  rmSync(path, { recursive: true });
});

test("a commit stops at a closed gate, and a part of a round that others may have committed does not", () => {
  const control = Control.create(1, 0, 0);
  const bounds = { bytesMax: 1e6, ageMsMax: Number.POSITIVE_INFINITY };
  const changes = createChangeRing(4096);
  const faults = new Faults(null, 0);
  const writer = new ShardWriter(
    { shard: 0, control, store, clock: systemClock, changes, faults, log: bounds },
    null,
  );
  const stops = vi.spyOn(control, "passCutGate");
  control.closeCutGate(0);
  writer.commit(1, () => {});
  expect(stops).toHaveBeenCalledTimes(1);
  writer.commitNow(1, () => {});
  expect(stops).toHaveBeenCalledTimes(1);
  expect(control.commits(0)).toBe(2);
});

test("a transaction removes from the log what was there before it, and never what it appends itself", () => {
  const control = Control.create(1, 0, 0);
  const bounds = { bytesMax: 50_000, ageMsMax: Number.POSITIVE_INFINITY };
  const changes = createChangeRing(2 ** 20);
  const writer = new ShardWriter(
    { shard: 0, control, store, clock: systemClock, changes, faults: new Faults(null, 0), log: bounds },
    null,
  );
  const commit = (first: number, count: number, bytes: number) =>
    writer.commit(1, (batch) => {
      for (let n = first; n < first + count; n++) {
        const after = { encoding: 1, value: new Uint8Array(bytes), expiresAtMs: 0 };
        const effect = { shard: 0, key: Buffer.from(`key ${n}`), place: 0, before: null, after };
        batch.apply([effect], control.takeCounter(0), 1, false);
      }
    });
  const logged = () => {
    store.renew();
    return [...store.log.heads()].map(({ bytes }) => bytes);
  };
  // Each of these is beyond the bound by itself: LMDB may lose pages that are used and let go within one transaction.
  commit(0, 5, 20_000);
  expect(logged().length).toBe(5);
  commit(5, 4, 20_000);
  expect(logged().length).toBe(4);
  commit(9, 1, 10);
  expect(logged().length).toBe(3);
  expect(logged().reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(bounds.bytesMax);
  expect(store.head()!.logBytes).toBe(logged().reduce((sum, bytes) => sum + bytes, 0));
});
