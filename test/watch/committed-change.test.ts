import { expect, test } from "vitest";
import { readChangeRecord } from "../../src/codec/change-record.js";
import { CommittedChange } from "../../src/watch/committed-change.js";
import { FakeEngine } from "./fake-engine.js";

function changeIn(otherBytes: number): { change: CommittedChange; block: Uint8Array } {
  const writes = [
    { key: ["small"], value: 1 },
    { key: ["other"], value: "x".repeat(otherBytes) },
  ];
  const block = new FakeEngine({ ringBytes: 1 << 20 }).batch(0, 7, [writes], false).ringBytes;
  return { change: new CommittedChange(readChangeRecord(block, 0)), block };
}

test("a retained change does not need the block that it was read with", () => {
  const { change, block } = changeIn(50_000);
  expect(change.retain()).toBe(change);
  block.fill(0xff);
  expect(change.decode()).toMatchObject({ key: ["small"], value: 1, versionstamp: "00000000000000070000" });
});

test("a change is decoded once, and can't be changed by who gets it", () => {
  const { change } = changeIn(10);
  expect(change.decode()).toBe(change.decode());
  expect(Object.isFrozen(change.decode()) && Object.isFrozen(change.decode().key)).toBe(true);
});
