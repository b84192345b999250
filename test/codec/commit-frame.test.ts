import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type CommitFields,
  commitFrameBytes,
  KeyKind,
  MutationType,
  readCommitFrame,
  writeCommitFrame,
} from "../../src/codec/commit-frame.js";
import { KvCorruptError } from "../../src/errors.js";
import { SHARDS_MAX } from "../../src/limits.js";
import { bytesOf, hexOf, isPlainBytes } from "./bytes.js";

const shard = fc.nat(SHARDS_MAX - 1);
const key = fc.uint8Array({ maxLength: 80 });
const stamp = fc.record({ counter: fc.maxSafeNat(), order: fc.nat(0xffff) }, { noNullPrototype: true });
const check = fc.record({ shard, key, versionstamp: fc.option(stamp) }, { noNullPrototype: true });
const content = fc.oneof(
  fc.tuple(fc.constantFrom(0, 1, 3), fc.uint8Array({ maxLength: 80 })),
  fc.tuple(fc.constant(2), fc.uint8Array({ minLength: 8, maxLength: 8 })),
);
const mutation = fc
  .record({
    type: fc.constantFrom(...Object.values(MutationType)),
    shard,
    key,
    keyKind: fc.constantFrom(...Object.values(KeyKind)),
    content,
    expiresAtMs: fc.oneof(fc.constant(0), fc.nat()),
  })
  .map(({ content: [encoding, value], ...rest }) => ({ ...rest, encoding, value }));
const commit: fc.Arbitrary<CommitFields> = fc.record(
  { checks: fc.array(check, { maxLength: 4 }), mutations: fc.array(mutation, { maxLength: 4 }) },
  { noNullPrototype: true },
);

function frameOf(fields: CommitFields): Uint8Array {
  const bytes = new Uint8Array(commitFrameBytes(fields));
  expect(writeCommitFrame(bytes, 0, fields)).toBe(bytes.length);
  return bytes;
}

const deletion: CommitFields = {
  checks: [],
  mutations: [
    {
      type: MutationType.DELETE,
      shard: 2,
      key: bytesOf("026100"),
      keyKind: KeyKind.PLAIN,
      encoding: 0,
      value: new Uint8Array(0),
      expiresAtMs: 0,
    },
  ],
};

describe("commit frames", () => {
  it("have their golden bytes", () => {
    expect(hexOf(frameOf(deletion))).toBe(
      hexOf(bytesOf("1d000000 0000 0100 | 02 00 02 00 0300 00000000 0000000000000000 026100")),
    );
    const [drop] = deletion.mutations;
    const guarded: CommitFields = {
      checks: [
        { shard: 1, key: bytesOf("27"), versionstamp: { counter: 258, order: 3 } },
        { shard: 0, key: bytesOf("26"), versionstamp: null },
      ],
      mutations: [
        {
          ...drop!,
          type: MutationType.SET,
          keyKind: 1,
          encoding: 1,
          value: bytesOf("ff0f54"),
          expiresAtMs: 1,
        },
      ],
    };
    expect(hexOf(frameOf(guarded))).toBe(
      hexOf(
        bytesOf(`34000000 0200 0100 | 01 01 0100 27 00000000000001020003 | 00 00 0100 26 |
          01 01 02 01 0300 03000000 000000000000f03f 026100 ff0f54`),
      ),
    );
  });

  it("come back as they were, from the middle of shared memory", () => {
    fc.assert(
      fc.property(commit, fc.nat(9), (fields, offset) => {
        const length = commitFrameBytes(fields);
        const bytes = new Uint8Array(new SharedArrayBuffer(offset + length + 3)).fill(0xee);
        expect(writeCommitFrame(bytes, offset, fields)).toBe(offset + length);
        expect(bytes[offset + length]).toBe(0xee);
        expect(readCommitFrame(bytes, offset, offset + length)).toStrictEqual(fields);
      }),
    );
  });

  it("lend plain bytes even from a Buffer", () => {
    const { mutations } = readCommitFrame(Buffer.from(frameOf(deletion)), 0, 29);
    expect(isPlainBytes(mutations[0]!.key) && isPlainBytes(mutations[0]!.value)).toBe(true);
  });

  it.each([
    ["a type of 0", 8, 0],
    ["a type of 6", 8, 6],
    ["an encoding of 4", 9, 4],
    ["a u64 without bytes", 9, 2],
    ["a shard of 31", 10, 31],
    ["flags of 4", 11, 4],
    ["a key too long", 12, 4],
    ["a key too short", 12, 2],
    ["a total too large", 0, 0x1e],
    ["a check too many", 4, 1],
    ["a mutation too many", 6, 2],
    ["a mutation too few", 6, 0],
  ])("with %s are corrupt", (_, offset, byte) => {
    const bytes = frameOf(deletion);
    bytes[offset] = byte;
    expect(() => readCommitFrame(bytes, 0, bytes.length)).toThrow(KvCorruptError);
  });

  it("are a commit or a KvCorruptError for any damage", () => {
    const edits = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 3 });
    fc.assert(
      fc.property(commit, edits, fc.integer({ min: -2, max: 2 }), (fields, changes, cut) => {
        const bytes = frameOf(fields);
        for (const [offset, byte] of changes) if (offset < bytes.length) bytes[offset] = byte;
        try {
          expect(hexOf(frameOf(readCommitFrame(bytes, 0, bytes.length + cut)))).toHaveLength(
            2 * bytes.length,
          );
        } catch (error) {
          expect(error).toBeInstanceOf(KvCorruptError);
        }
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: -5, max: 70 }), (bytes, offset) => {
        expect(() => readCommitFrame(bytes, offset, bytes.length)).toThrow(KvCorruptError);
      }),
    );
  });
});
