/** The redo record: what goes in comes out, and what is cut off is told as such. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { commitFrameBytes, writeCommitFrame } from "../../src/codec/commit-frame.js";
import { KvCorruptError } from "../../src/errors.js";
import { type DecidedRound, decodeRedo, encodeRedo, commitOf as fieldsOf } from "../../src/shard/redo.js";
import { checking, combining, commitOf, setting } from "./stored-entries.js";

const frame = fc.uint8Array({ maxLength: 40 }).map((bytes) => new Uint8Array(bytes));
const round: fc.Arbitrary<DecidedRound> = fc.record({
  round: fc.nat(0xffff_ffff),
  counter: fc.nat(Number.MAX_SAFE_INTEGER),
  nowMs: fc.double({ min: 0, max: 1e15, noNaN: true }),
  participants: fc.nat(0x7fff_ffff),
  commits: fc.array(fc.record({ index: fc.nat(1023), frame }), { maxLength: 6 }),
});

test("a round is read as it was written, also from within larger bytes", () => {
  fc.assert(
    fc.property(round, fc.nat(9), (decided, offset) => {
      const bytes = encodeRedo(decided);
      const block = new Uint8Array(bytes.length + 20).fill(0xee);
      block.set(bytes, offset);
      expect(decodeRedo(block.subarray(offset, offset + bytes.length))).toEqual(decided);
    }),
  );
});

test("what is read is private", () => {
  const bytes = encodeRedo({
    round: 1,
    counter: 2,
    nowMs: 3,
    participants: 3,
    commits: [{ index: 0, frame: Uint8Array.of(7) }],
  });
  const { commits } = decodeRedo(bytes);
  bytes.fill(0);
  expect(commits[0]!.frame).toEqual(Uint8Array.of(7));
});

test("a record that is cut off anywhere is a KvCorruptError", () => {
  const commits = [1, 2].map((index) => ({ index, frame: new Uint8Array(5).fill(index) }));
  const bytes = encodeRedo({ round: 1, counter: 2, nowMs: 3, participants: 3, commits });
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decodeRedo(bytes.subarray(0, length))).toThrow(KvCorruptError);
  }
});

test("the fields of a decided commit are those that its caller sent", () => {
  const sent = commitOf(
    [setting(0, "a", Uint8Array.of(1), 99), combining("SUM", 1, "n", 4n)],
    [checking(0, "a", null)],
  );
  const bytes = new Uint8Array(commitFrameBytes(sent));
  writeCommitFrame(bytes, 0, sent);
  expect(fieldsOf({ index: 0, frame: bytes })).toEqual(sent);
});
