/** Change records: what every change is written as once, and read as by every dispatcher. */
import {
  ChangeCause,
  type ChangeFields,
  ChangeType,
  changeRecordBytes,
  readChangeRecord,
  writeChangeRecord,
} from "../../src/codec/change-record.js";
import { encodeKey } from "../../src/codec/key.js";
import { encodeValue } from "../../src/codec/value.js";
import { measureSmall } from "./measure.js";
import { sampleKey, sampleValue } from "./sample-data.js";
import type { SmallWorkload } from "./workload.js";

export const changeRecord: SmallWorkload = {
  name: "change-record",
  about: "the record of one set, with its prefix hashes",
  run: (seconds) => {
    const fields = sampleChange();
    const bytes = new Uint8Array(changeRecordBytes(fields));
    const view = new DataView(bytes.buffer);
    writeChangeRecord(bytes, view, 0, fields);
    const tasks = [
      { name: "write change record", unit: "records", call: () => writeChangeRecord(bytes, view, 0, fields) },
      { name: "read change record", unit: "records", call: () => readChangeRecord(bytes, 0, view).hash(2) },
    ];
    return measureSmall(tasks, seconds);
  },
};

/** One set of a small object. */
export function sampleChange(): ChangeFields {
  const { encoding, bytes } = encodeValue(sampleValue(7));
  return {
    type: ChangeType.update,
    cause: ChangeCause.set,
    isMulti: false,
    encoding,
    counter: 1,
    order: 1,
    place: 0,
    expiresAtMs: 0,
    key: encodeKey(sampleKey(1234)),
    value: bytes,
  };
}
