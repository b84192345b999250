/**
 * Owns the list of the small measurements, in the order in which they run.
 */
import { changeRecord } from "./change-record.js";
import { changeRing } from "./change-ring.js";
import { delivery } from "./delivery.js";
import { dispatcher } from "./dispatcher.js";
import { frameRing } from "./frame-ring.js";
import { keyCodec } from "./key-codec.js";
import { valueCodec } from "./value-codec.js";
import type { SmallWorkload } from "./workload.js";

export const SMALL_WORKLOADS: readonly SmallWorkload[] = [
  keyCodec,
  valueCodec,
  changeRecord,
  changeRing,
  dispatcher,
  delivery,
  frameRing,
];
