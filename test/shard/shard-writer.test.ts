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
