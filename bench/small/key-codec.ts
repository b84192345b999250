/** Keys to bytes and back. */
import { decodeKey, encodeKey } from "../../src/codec/key.js";
import { measureSmall } from "./measure.js";
import { sampleKey } from "./sample-data.js";
import type { SmallWorkload } from "./workload.js";

export const keyCodec: SmallWorkload = {
  name: "key-codec",
  about: "a key of three parts to bytes and back",
  run: (seconds) => {
    const key = sampleKey(1234);
    const mixed = [new Uint8Array(16).fill(7), 2n ** 70n, true, "é€𝕏"];
    const encoded = encodeKey(key);
    const tasks = [
      { name: "encode key", unit: "keys", call: () => encodeKey(key) },
      { name: "encode key of bytes, bigint, boolean, text", unit: "keys", call: () => encodeKey(mixed) },
      { name: "decode key", unit: "keys", call: () => decodeKey(encoded) },
    ];
    return measureSmall(tasks, seconds);
  },
};
