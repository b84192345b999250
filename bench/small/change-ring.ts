/** The change ring: a block of records published and polled, in one thread, so without the cost of waking anybody. */
import { changeRecordBytes, writeChangeRecord } from "../../src/codec/change-record.js";
import { ChangeRingReader, ChangeRingWriter, createChangeRing } from "../../src/ring/change-ring.js";
import { aligned } from "../../src/ring/ring-memory.js";
import { sampleChange } from "./change-record.js";
import { measureSmall } from "./measure.js";
import type { SmallWorkload } from "./workload.js";

const RING_BYTES = 4 * 1024 * 1024;
const RECORDS_PER_BLOCK = 64;
const POLL_BYTES_MAX = 256 * 1024;

export const changeRing: SmallWorkload = {
  name: "change-ring",
  about: "publish records and poll them again, one at a time and in blocks",
  run: (seconds) => {
    const ring = createChangeRing(RING_BYTES);
    const writer = new ChangeRingWriter(ring);
    const reader = new ChangeRingReader(ring);
    const roundTrip = (records: Uint8Array) => () => {
      writer.publish(records);
      return reader.poll(POLL_BYTES_MAX);
    };
    const tasks = [
      { name: "publish and poll 1 record", unit: "records", call: roundTrip(block(1)) },
      {
        name: `publish and poll ${RECORDS_PER_BLOCK} records`,
        unit: "records",
        call: roundTrip(block(RECORDS_PER_BLOCK)),
        operations: RECORDS_PER_BLOCK,
      },
    ];
    return measureSmall(tasks, seconds);
  },
};

/** Whole padded records, one behind the other. */
function block(count: number): Uint8Array {
  const fields = sampleChange();
  const paddedBytes = aligned(changeRecordBytes(fields));
  const bytes = new Uint8Array(paddedBytes * count);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < count; index++) writeChangeRecord(bytes, view, index * paddedBytes, fields);
  return bytes;
}
