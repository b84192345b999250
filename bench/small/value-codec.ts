/** Values to bytes and back, beside V8's own structured clone. */
import { deserialize, serialize } from "node:v8";
import { decodeValue, encodeValue } from "../../src/codec/value.js";
import { measureSmall, type SmallTask } from "./measure.js";
import { largeValue, mapValue, sampleValue } from "./sample-data.js";
import type { SmallWorkload } from "./workload.js";

export const valueCodec: SmallWorkload = {
  name: "value-codec",
  about: "a small plain object, an array of 100 of them, and a Map of dates; beside node:v8",
  run: (seconds) => {
    const tasks = [
      ...tasksOf("small object", sampleValue(7)),
      ...tasksOf("100 objects", largeValue()),
      ...tasksOf("Map of dates", mapValue()),
    ];
    return measureSmall(tasks, seconds);
  },
};

function tasksOf(name: string, value: unknown): SmallTask[] {
  const { encoding, bytes } = encodeValue(value);
  const native = serialize(value);
  return [
    { name: `encode ${name}`, unit: "values", call: () => encodeValue(value) },
    { name: `encode ${name}, v8.serialize`, unit: "values", call: () => serialize(value) },
    { name: `decode ${name}`, unit: "values", call: () => decodeValue(encoding, bytes) },
    { name: `decode ${name}, v8.deserialize`, unit: "values", call: () => deserialize(native) },
  ];
}
