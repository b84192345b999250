import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Control } from "../../src/ring/control.js";
import { Checkpointer } from "../../src/router/checkpointer.js";
import { dataFileOf } from "../../src/store/data-file.js";
import { ShardStore } from "../../src/store/shard-store.js";

/** Longer than the test: what happens, happens because it was told to. */
const NEVER_MS = 60_000;

const FILE = "checkpoint.json";

let path: string;
let store: ShardStore;
let control: Control;
let checkpointer: Checkpointer;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "belfry-checkpointer-"));
  const directory = join(path, "shard-000");
  mkdirSync(directory);
  store = ShardStore.open(directory, "relaxed");
  control = Control.create(1, 0, 0);
  write(0);
  checkpointer = new Checkpointer({
    path,
    directories: [directory],
    stores: [store],
    control,
    caller: 0,
    intervalMs: NEVER_MS,
  });
});

afterEach(async () => {
  checkpointer.closeSync(false);
  await store.close();
  rmSync(path, { recursive: true, force: true });
});

/** As a shard does it. */
function write(number: number): void {
  store.transaction(() => store.putEntry(Uint8Array.of(1), Uint8Array.of(number)));
  control.raiseCommits(0);
}

function checkpoint(): string {
  return readFileSync(join(path, FILE), "utf8");
}

/** What the process is warned of while `action` runs. */
async function warningsOf(action: () => Promise<void>): Promise<string[]> {
  const warnings: string[] = [];
  const hear = ({ name, message }: Error) => warnings.push(`${name}: ${message}`);
  process.on("warning", hear);
  try {
    await action();
    await new Promise((resolve) => setImmediate(resolve));
    return warnings;
  } finally {
    process.off("warning", hear);
  }
}

test("a checkpoint is made of what was committed since the last one, and only then", async () => {
  const first = checkpoint();
  await checkpointer.tick();
  expect(checkpoint()).toBe(first);
  write(1);
  await checkpointer.tick();
  expect(checkpoint()).not.toBe(first);
});

test("a flush that fails is a warning: the last checkpoint stays, and the next try makes another", async () => {
  const file = dataFileOf(join(path, "shard-000"));
  const first = checkpoint();
  write(1);
  renameSync(file, `${file}-away`);
  const warnings = await warningsOf(() => checkpointer.tick());
  expect(warnings).toEqual([expect.stringMatching(/^BelfryWarning: .* could not be flushed: ENOENT/)]);
  expect(checkpoint()).toBe(first);
  renameSync(`${file}-away`, file);
  expect(await warningsOf(() => checkpointer.tick())).toEqual([]);
  expect(checkpoint()).not.toBe(first);
});

test("a checkpoint that can't be written is a warning, and no state stays pinned for it", async () => {
  const first = checkpoint();
  const pinned = store.oldestReaderLag();
  for (const number of [1, 2, 3]) {
    write(number);
    mkdirSync(join(path, `${FILE}.new`), { recursive: true });
    const warnings = await warningsOf(() => checkpointer.tick());
    expect(warnings).toEqual([expect.stringMatching(/^BelfryWarning: /)]);
  }
  expect(checkpoint()).toBe(first);
  // The first checkpoint's, as before.
  expect(store.oldestReaderLag()).toBe(pinned + 3);
  rmSync(join(path, `${FILE}.new`), { recursive: true });
  await checkpointer.tick();
  expect(checkpoint()).not.toBe(first);
  expect(store.oldestReaderLag()).toBe(0);
});

test("a checkpointer that is closed while it flushes leaves nothing to put back", async () => {
  write(1);
  const ticking = checkpointer.tick();
  checkpointer.closeSync();
  expect(await warningsOf(() => ticking)).toEqual([]);
  expect(() => checkpoint()).toThrow("ENOENT");
});

test("a shard that is far ahead of the disk is so until a checkpoint is on the disk, and waits for it no longer than it may", async () => {
  expect(control.isFarAheadOfDisk(0)).toBe(false);
  control.setDiskLagMax(2);
  for (const number of [1, 2]) {
    expect(control.isFarAheadOfDisk(0)).toBe(false);
    write(number);
  }
  expect(control.isFarAheadOfDisk(0)).toBe(true);
  mkdirSync(join(path, `${FILE}.new`));
  await warningsOf(() => checkpointer.tick());
  expect(control.isFarAheadOfDisk(0)).toBe(true);
  control.awaitDisk(0, 1);
  rmSync(join(path, `${FILE}.new`), { recursive: true });
  await checkpointer.tick();
  expect(control.isFarAheadOfDisk(0)).toBe(false);
  checkpointer.closeSync();
  for (const number of [3, 4, 5]) write(number);
  expect(control.isFarAheadOfDisk(0)).toBe(false);
});
