import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CHANGE_HEADER_BYTES,
  ChangeCause,
  type ChangeFields,
  type ChangeRecord,
  ChangeType,
  changeRecordBytes,
  readChangeRecord,
  writeChangeRecord,
  writeStubRecord,
} from "../../src/codec/change-record.js";
import { encodeKey, hashBytes } from "../../src/codec/key.js";
import { formatVersionstamp } from "../../src/codec/versionstamp.js";
import { KvCorruptError } from "../../src/errors.js";
import { PREFIX_DEPTH_MAX } from "../../src/limits.js";
import { bytesOf, hexOf, isPlainBytes } from "./bytes.js";

const parts = fc.array(fc.oneof(fc.string({ maxLength: 5 }), fc.integer()), { maxLength: 20 });
const value = fc.uint8Array({ maxLength: 100 });
const change: fc.Arbitrary<ChangeFields> = fc
  .record({
    type: fc.constantFrom(...Object.values(ChangeType)),
    cause: fc.constantFrom(...Object.values(ChangeCause)),
    isMulti: fc.boolean(),
    encoding: fc.integer({ min: 0, max: 3 }),
    counter: fc.maxSafeNat(),
    order: fc.nat(0xffff),
    place: fc.nat(0xffff),
    expiresAtMs: fc.nat(),
    key: parts.map(encodeKey),
    value,
    previous: fc.option(fc.record({ encoding: fc.integer({ min: 1, max: 3 }), value }), { nil: undefined }),
  })
  .map(({ previous, ...fields }) => (previous === undefined ? fields : { ...fields, previous }));

const sample: ChangeFields = {
  type: ChangeType.update,
  cause: ChangeCause.set,
  isMulti: true,
  encoding: 1,
  counter: 258,
  order: 3,
  place: 4,
  expiresAtMs: 1,
  key: encodeKey(["a"]),
  value: bytesOf("ff0f54"),
  previous: { encoding: 3, value: bytesOf("0708") },
};

/** A target that holds older bytes, as a ring does. */
function dirty(bytes: number): { target: Uint8Array; view: DataView } {
  const target = new Uint8Array(new SharedArrayBuffer(bytes)).fill(0xee);
  return { target, view: new DataView(target.buffer) };
}

function expectSame(record: ChangeRecord, fields: ChangeFields): void {
  const { previous, ...rest } = fields;
  for (const name of ["key", "value"] as const) {
    expect(hexOf(record[name])).toBe(hexOf(rest[name]));
    expect(isPlainBytes(record[name])).toBe(true);
  }
  for (const name of ["type", "cause", "isMulti", "encoding", "counter", "order", "place"] as const) {
    expect(record[name]).toBe(rest[name]);
  }
  expect(record.expiresAtMs).toBe(rest.expiresAtMs);
  expect(record.versionstamp).toBe(formatVersionstamp(rest.counter, rest.order));
  expect([record.isStub, record.hasPrevious]).toStrictEqual([false, previous !== undefined]);
  expect(hexOf(record.previous)).toBe(previous === undefined ? "" : hexOf(previous.value));
  expect(record.previousEncoding).toBe(previous?.encoding ?? 0);
}

describe("change records", () => {
  it("have their golden bytes", () => {
    const bytes = new Uint8Array(changeRecordBytes(sample));
    expect(writeChangeRecord(bytes, new DataView(bytes.buffer), 0, sample)).toBe(bytes.length);
    const header =
      "34000000 32 01 01 03 00000000000001020003 0300 03000000 02000000 0400 0000 000000000000f03f";
    expect(hexOf(bytes)).toBe(hexOf(bytesOf(`${header} 722be165 026100 ff0f54 0708`)));
  });

  it("come back as they were, out of shared memory that held others", () => {
    fc.assert(
      fc.property(change, fc.nat(20), (fields, offset) => {
        const length = changeRecordBytes(fields);
        const { target, view } = dirty(offset + length + 5);
        expect(writeChangeRecord(target, view, offset, fields)).toBe(offset + length);
        const record = readChangeRecord(target, offset, view);
        expect(record.length).toBe(length);
        expectSame(record, fields);
        expectSame(readChangeRecord(Buffer.from(target), offset), fields);
        expect([target[offset + length], target[offset + 30], target[offset + 31]]).toStrictEqual([
          0xee, 0, 0,
        ]);
      }),
    );
  });

  it("carry the hashes of the key's prefixes", () => {
    fc.assert(
      fc.property(parts, (path) => {
        const fields = { ...sample, key: encodeKey(path) };
        const { target, view } = dirty(changeRecordBytes(fields));
        writeChangeRecord(target, view, 0, fields);
        const record = readChangeRecord(target, 0);
        expect(record.hashCount).toBe(Math.min(path.length, PREFIX_DEPTH_MAX));
        for (let index = 0; index < record.hashCount; index++) {
          expect(record.hash(index)).toBe(hashBytes(encodeKey(path.slice(0, index + 1))));
        }
      }),
    );
  });

  it("have stubs that keep all but the body", () => {
    const { target, view } = dirty(100);
    writeChangeRecord(target, view, 0, sample);
    const full = readChangeRecord(target, 0);
    const { target: stubTarget, view: stubView } = dirty(CHANGE_HEADER_BYTES);
    expect(writeStubRecord(stubTarget, stubView, 0, full)).toBe(CHANGE_HEADER_BYTES);
    const stub = readChangeRecord(stubTarget, 0);
    expect([stub.isStub, stub.isMulti, stub.hasPrevious, stub.length]).toStrictEqual([true, true, false, 40]);
    expect([stub.hashCount, stub.keyLength, stub.valueLength]).toStrictEqual([0, 0, 0]);
    expect([stub.versionstamp, stub.type, stub.place]).toStrictEqual([
      full.versionstamp,
      full.type,
      full.place,
    ]);
  });

  it("are a record or a KvCorruptError for any damage", () => {
    const damage = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(change, damage, fc.integer({ min: -3, max: 200 }), (fields, edits, cut) => {
        const bytes = new Uint8Array(changeRecordBytes(fields));
        writeChangeRecord(bytes, new DataView(bytes.buffer), 0, fields);
        for (const [offset, byte] of edits) if (offset < bytes.length) bytes[offset] = byte;
        expectRecordOrCorrupt(bytes.subarray(0, Math.max(cut, 0)), Math.min(cut, 0));
        expectRecordOrCorrupt(bytes, 0);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(90), expectRecordOrCorrupt));
  });

  it("that are cut short by a byte are corrupt", () => {
    const bytes = new Uint8Array(changeRecordBytes(sample));
    writeChangeRecord(bytes, new DataView(bytes.buffer), 0, sample);
    expect(() => readChangeRecord(bytes, 0)).not.toThrow();
    expect(() => readChangeRecord(bytes.subarray(0, -1), 0)).toThrow(KvCorruptError);
  });
});

function expectRecordOrCorrupt(bytes: Uint8Array, offset: number): void {
  let record: ChangeRecord;
  try {
    record = readChangeRecord(bytes, offset);
  } catch (error) {
    expect(error).toBeInstanceOf(KvCorruptError);
    return;
  }
  expect(offset + record.length).toBeLessThanOrEqual(bytes.length);
  const body = record.key.length + record.value.length + record.previous.length;
  expect(record.bodyOffset + body).toBe(record.length);
}
