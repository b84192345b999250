import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.js";
import { Control, ShardState } from "../../src/ring/control.js";
import { Reader } from "../../src/router/reader.js";
import { ShardStore } from "../../src/store/shard-store.js";

const KEY = Buffer.from("k");
/** An entry that never expires; its first byte tells which. */
const entry = (first: number) => Uint8Array.from({ length: 24 }, (_, index) => (index === 0 ? first : 0));

test("a get sees what LMDB has committed, and so a cut before it may have seen, though the shard has not said yet that it has committed", async () => {
  const path = mkdtempSync(join(tmpdir(), "belfry-reader-"));
  const store = ShardStore.open(path, "relaxed");
  // As the shard's thread has it: a writer's own snapshot moves with its commits.
  const writer = ShardStore.open(path, "relaxed");
  try {
    const control = Control.create(1, 0, 0);
    control.setState(0, ShardState.running);
    const reader = new Reader(control, 0, [store], 2, systemClock);
    const get = () => reader.getSync(KEY, (bytes) => bytes?.[0]);
    writer.transaction(() => writer.putEntry(KEY, entry(1)));
    expect(get()).toBe(1);
    control.setState(0, ShardState.inTransaction);
    writer.transaction(() => writer.putEntry(KEY, entry(2)));
    expect(get()).toBe(2);
  } finally {
    await Promise.all([store.close(), writer.close()]);
    rmSync(path, { recursive: true, force: true });
  }
});
