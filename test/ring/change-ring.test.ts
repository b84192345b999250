import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ChangeRingReader,
  ChangeRingWriter,
  createChangeRing,
  maxRecordBytes,
} from "../../src/ring/change-ring.js";
import { CHANGE_INTENT_WORD, CHANGE_TAIL_WORD, DATA_OFFSET_BYTES } from "../../src/ring/layout.js";
import { numbersIn, record, recordBlock, recordLength, type Sizes } from "./numbered-records.js";

const KIB = 1024;
const SIZES: Sizes = { min: 8, max: 100 };

function openRing(capacityBytes = KIB, startPosition = 0) {
  const ring = createChangeRing(capacityBytes, startPosition);
  return { ring, writer: new ChangeRingWriter(ring), reader: new ChangeRingReader(ring) };
}

/** Everything there is, by polls of `maxBytes`. */
function drain(reader: ChangeRingReader, sizes: Sizes, maxBytes = 64 * KIB): number[] {
  const numbers: number[] = [];
  for (;;) {
    const polled = reader.poll(maxBytes);
    if (polled === "empty") return numbers;
    if (polled === "lapped") throw new Error("lapped");
    expect(polled.byteLength).toBeGreaterThan(0);
    numbers.push(...numbersIn(polled, sizes));
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

describe("a change ring", () => {
  it.each([0, 32, 100, 1000, 2 ** 31, 96.5, Number.NaN])("refuses a capacity of %d", (capacityBytes) => {
    expect(() => createChangeRing(capacityBytes)).toThrow(RangeError);
  });

  it("writes the bytes that its layout says", () => {
    const { ring, writer } = openRing(64);
    writer.publish(record(7, 8));
    const words = new Uint32Array(ring);
    expect([...words.subarray(0, 3)]).toEqual([1, 1, 1]);
    expect([...words.subarray(DATA_OFFSET_BYTES / 4, DATA_OFFSET_BYTES / 4 + 2)]).toEqual([8, 7]);
  });

  it("is empty for a reader that begins at the tail", () => {
    const { ring, writer, reader } = openRing();
    expect(reader.poll(KIB)).toBe("empty");
    writer.publish(recordBlock(0, 3, SIZES));
    expect(new ChangeRingReader(ring).poll(KIB)).toBe("empty");
    expect(new ChangeRingReader(ring, 0).poll(KIB)).not.toBe("empty");
  });

  it("shows every reader every record in order", () => {
    const { ring, writer, reader } = openRing();
    const other = new ChangeRingReader(ring);
    writer.publish(recordBlock(0, 5, SIZES));
    writer.publish(recordBlock(5, 8, SIZES));
    expect(drain(reader, SIZES)).toEqual(range(0, 8));
    expect(drain(other, SIZES)).toEqual(range(0, 8));
    expect(reader.position).toBe(writer.tail);
    expect(reader.lagBytes).toBe(0);
  });

  it("returns whole records only, and at most maxBytes unless the first one is larger", () => {
    const { writer, reader } = openRing();
    writer.publish(new Uint8Array([...record(0, 100), ...record(1, 16), ...record(2, 16)]));
    const first = reader.poll(24) as Uint8Array;
    expect(first.byteLength).toBe(104);
    expect((reader.poll(31) as Uint8Array).byteLength).toBe(16);
    expect((reader.poll(0) as Uint8Array).byteLength).toBe(16);
    expect(reader.poll(0)).toBe("empty");
  });

  it("returns a private copy that later records don't change", () => {
    const { writer, reader } = openRing(64);
    writer.publish(record(1, 8));
    const polled = reader.poll(64) as Uint8Array;
    expect(polled.buffer).toBeInstanceOf(ArrayBuffer);
    for (let number = 2; number < 20; number += 1) writer.publish(record(number, 8));
    expect(polled).toEqual(record(1, 8));
  });

  it("never splits a record over the wrap", () => {
    const { ring, writer, reader } = openRing(KIB);
    const numbers: number[] = [];
    for (let number = 0; number < 500; number += 1) {
      writer.publish(record(number, recordLength(number, SIZES)));
      if (number % 3 === 0) numbers.push(...drain(reader, SIZES));
    }
    numbers.push(...drain(reader, SIZES));
    expect(numbers).toEqual(range(0, 500));
    expect(ring.byteLength).toBe(DATA_OFFSET_BYTES + KIB);
  });

  it("fills up to the wrap exactly without padding", () => {
    const { writer, reader } = openRing(64);
    const sizes = { min: 8, max: 8 };
    for (let round = 0; round < 5; round += 1) {
      writer.publish(recordBlock(round * 8, round * 8 + 8, sizes));
      expect(writer.tail).toBe(round * 8 + 8);
      expect(drain(reader, sizes)).toEqual(range(round * 8, round * 8 + 8));
    }
  });

  it("publishes a block larger than the ring in steps, and its end stays readable", () => {
    const { ring, writer, reader } = openRing(KIB);
    writer.publish(recordBlock(0, 1000, SIZES));
    expect(reader.poll(KIB)).toBe("lapped");
    const late = new ChangeRingReader(ring, writer.tail - (KIB / 8 - 16));
    expect(late.lagBytes).toBe(KIB - 128);
    writer.publish(recordBlock(1000, 1003, SIZES));
    reader.skipTo(reader.tail);
    writer.publish(recordBlock(1003, 1006, SIZES));
    expect(drain(reader, SIZES)).toEqual([1003, 1004, 1005]);
  });

  it("refuses a record above an eighth of the capacity, and publishes nothing of its block", () => {
    const { writer, reader } = openRing(KIB);
    const max = maxRecordBytes(KIB);
    const block = new Uint8Array([...record(0, 16), ...record(1, max + 1)]);
    expect(() => writer.publish(block)).toThrow(/change record is 129 bytes, limit 128/);
    expect(reader.poll(KIB)).toBe("empty");
    writer.publish(record(2, max));
    expect(drain(reader, { min: max, max })).toEqual([2]);
  });

  it.each([
    ["not padded", new Uint8Array(9)],
    ["a length of zero, in a large block", new Uint8Array(256)],
    ["a tail of seven bytes", new Uint8Array([...record(0, 128), 1, 2, 3, 4, 5, 6, 7])],
  ])("refuses a block with %s", (_, block) => {
    const { writer, reader } = openRing(KIB);
    expect(() => writer.publish(block)).toThrow(RangeError);
    expect(reader.poll(KIB)).toBe("empty");
  });

  it("publishes nothing for an empty block", () => {
    const { writer, reader } = openRing();
    writer.publish(new Uint8Array(0));
    expect(reader.poll(KIB)).toBe("empty");
  });
});

describe("a lapped reader", () => {
  it("is told by how much, keeps its position, and resumes where it skips to", () => {
    const { writer, reader } = openRing(KIB);
    const sizes = { min: 16, max: 16 };
    writer.publish(recordBlock(0, 64, sizes));
    expect(reader.lagBytes).toBe(KIB);
    writer.publish(recordBlock(64, 65, sizes));
    expect(reader.poll(KIB)).toBe("lapped");
    expect(reader.lostBytes).toBe(65 * 16);
    expect(reader.position).toBe(0);
    reader.skipTo(reader.tail);
    writer.publish(recordBlock(65, 67, sizes));
    expect(drain(reader, sizes)).toEqual([65, 66]);
    expect(reader.lostBytes).toBe(0);
  });

  it("is not lapped by a lag of exactly one ring", () => {
    const { writer, reader } = openRing(KIB);
    const sizes = { min: 16, max: 16 };
    writer.publish(recordBlock(0, 64, sizes));
    expect(drain(reader, sizes)).toEqual(range(0, 64));
  });

  it("is lapped when its position is not in the ring", () => {
    const { writer, reader } = openRing(KIB);
    writer.publish(recordBlock(0, 3, SIZES));
    reader.skipTo(writer.tail + 1);
    expect(reader.poll(KIB)).toBe("lapped");
    reader.skipTo(writer.tail - 2 ** 31);
    expect(reader.poll(KIB)).toBe("lapped");
  });
});

describe("a successor of a dead writer", () => {
  it("goes on where a finished predecessor stopped, with a higher epoch", () => {
    const { ring, writer, reader } = openRing();
    writer.publish(recordBlock(0, 2, SIZES));
    const epoch = reader.epoch;
    new ChangeRingWriter(ring).publish(recordBlock(2, 4, SIZES));
    expect(reader.epoch).toBe(epoch + 1);
    expect(drain(reader, SIZES)).toEqual([0, 1, 2, 3]);
  });

  it("turns what was announced and never published into padding", () => {
    const { ring, writer, reader } = openRing(KIB);
    writer.publish(recordBlock(0, 2, SIZES));
    const words = new Int32Array(ring);
    words[CHANGE_INTENT_WORD]! += 20;
    const successor = new ChangeRingWriter(ring);
    expect(words[CHANGE_TAIL_WORD]).toBe(words[CHANGE_INTENT_WORD]);
    successor.publish(recordBlock(2, 4, SIZES));
    expect(drain(reader, SIZES)).toEqual([0, 1, 2, 3]);
  });

  it("refuses a ring whose words no writer leaves behind", () => {
    const { ring } = openRing(KIB);
    new Int32Array(ring)[CHANGE_INTENT_WORD]! += KIB / 8;
    expect(() => new ChangeRingWriter(ring)).toThrow(/announces/);
  });

  it("is noticed by a writer that was thought dead", () => {
    const { ring, writer } = openRing(KIB);
    new ChangeRingWriter(ring).publish(recordBlock(0, 2, SIZES));
    expect(() => writer.publish(recordBlock(0, 1, SIZES))).toThrow(/second writer/);
  });
});

describe("positions", () => {
  it.each([2 ** 31, 2 ** 32])("wrap at %d units without anybody noticing", (wrapUnits) => {
    const start = wrapUnits - 200;
    const { writer, reader } = openRing(KIB, start);
    expect(writer.tail).toBe(start | 0);
    const numbers: number[] = [];
    for (let number = 0; number < 1000; number += 1) {
      writer.publish(record(number, recordLength(number, SIZES)));
      if (number % 5 === 0) numbers.push(...drain(reader, SIZES));
    }
    numbers.push(...drain(reader, SIZES));
    expect(numbers).toEqual(range(0, 1000));
    expect((writer.tail - start) | 0).toBeGreaterThan(200);
  });

  it.each([2 ** 31, 2 ** 32])("tell a lap over the wrap at %d units", (wrapUnits) => {
    const { writer, reader } = openRing(KIB, wrapUnits - 1);
    writer.publish(recordBlock(0, 200, { min: 16, max: 16 }));
    expect(reader.poll(KIB)).toBe("lapped");
    expect(reader.lostBytes).toBeGreaterThanOrEqual(200 * 16);
    expect(reader.lostBytes).toBe(reader.lagBytes);
  });
});

describe("a change ring beside a plain array", () => {
  const publish = fc.record({ do: fc.constant("publish" as const), count: fc.integer({ min: 1, max: 40 }) });
  const poll = fc.record({ do: fc.constant("poll" as const), maxBytes: fc.integer({ min: 0, max: 600 }) });
  const succeed = fc.record({
    do: fc.constant("succeed" as const),
    diedWithUnits: fc.integer({ min: 0, max: 32 }),
  });
  const actions = fc.array(
    fc.oneof({ weight: 4, arbitrary: publish }, { weight: 8, arbitrary: poll }, succeed),
    {
      maxLength: 60,
    },
  );

  it("returns what the array holds, or says that it was lapped and by how much", () => {
    const starts = fc.oneof(fc.constant(0), fc.constant(2 ** 31 - 64), fc.constant(-64), fc.integer());
    fc.assert(
      fc.property(starts, actions, (start, script) => {
        const model = new ModelRing(start);
        for (const action of script) {
          if (action.do === "publish") model.publish(action.count);
          else if (action.do === "poll") model.poll(action.maxBytes);
          else model.succeed(action.diedWithUnits);
        }
        model.finish();
      }),
      { numRuns: 2000 },
    );
  });
});

/** A ring of 1 KiB with one reader, and beside it what a plain array says. Distances are kept as plain numbers that don't wrap. */
class ModelRing {
  readonly #ring: SharedArrayBuffer;
  readonly #reader: ChangeRingReader;
  #writer: ChangeRingWriter;
  #published = 0;
  #next = 0;
  #lagUnits = 0;

  constructor(start: number) {
    this.#ring = createChangeRing(KIB, start);
    this.#writer = new ChangeRingWriter(this.#ring);
    this.#reader = new ChangeRingReader(this.#ring);
  }

  publish(count: number): void {
    const before = this.#writer.tail;
    const block = recordBlock(this.#published, this.#published + count, SIZES);
    this.#writer.publish(block);
    const advanced = (this.#writer.tail - before) | 0;
    expect(advanced * 8).toBeGreaterThanOrEqual(block.byteLength);
    expect(advanced * 8 - block.byteLength).toBeLessThan((1 + block.byteLength / (KIB - 104)) * 104);
    this.#lagUnits += advanced;
    this.#published += count;
  }

  /** The writer dies inside a step for which it had announced some units, and another takes over. */
  succeed(diedWithUnits: number): void {
    const words = new Int32Array(this.#ring);
    const roomUnits = KIB / 8 - (this.#writer.tail & (KIB / 8 - 1));
    const units = Math.min(diedWithUnits, roomUnits);
    words[CHANGE_INTENT_WORD] = this.#writer.tail + units;
    this.#writer = new ChangeRingWriter(this.#ring);
    this.#lagUnits += units;
  }

  poll(maxBytes: number): Uint8Array | "empty" | "lapped" {
    const before = this.#reader.position;
    const polled = this.#reader.poll(maxBytes);
    expect(polled === "lapped").toBe(this.#lagUnits * 8 > KIB);
    if (polled === "lapped") {
      expect(this.#reader.lostBytes).toBe(this.#lagUnits * 8);
      expect(this.#reader.position).toBe(before);
      this.#reader.skipTo(this.#reader.tail);
      this.#next = this.#published;
    } else if (polled !== "empty") {
      const numbers = numbersIn(polled, SIZES);
      expect(numbers).toEqual(range(this.#next, this.#next + numbers.length));
      expect(polled.byteLength <= maxBytes || numbers.length === 1).toBe(true);
      this.#next += numbers.length;
    }
    this.#lagUnits -= polled === "lapped" ? this.#lagUnits : (this.#reader.position - before) | 0;
    return polled;
  }

  finish(): void {
    while (this.poll(200) !== "empty");
    expect(this.#next).toBe(this.#published);
    expect(this.#lagUnits).toBe(0);
  }
}
