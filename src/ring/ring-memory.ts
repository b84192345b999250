/**
 * Owns the making and the measuring of a ring's shared memory, whichever ring it is. Runs in any thread, once a ring.
 *
 * Invariants:
 * 1. Every ring has a capacity that is a power of two within the bounds of the layout.
 *
 * It knows no protocol: what the words mean is the business of the ring that asks.
 */
import { KvRangeError } from "../errors.js";
import {
  CAPACITY_BYTES_MAX,
  CAPACITY_BYTES_MIN,
  DATA_OFFSET_BYTES,
  RECORD_ALIGNMENT_BYTES,
} from "./layout.js";

/**
 * New memory for a ring, with each of `positionWords` at `startPosition`. No other thread has it yet, so the stores are plain.
 *
 * @throws KvRangeError KV_INVALID_OPTION; nothing was allocated.
 */
export function createRingMemory(
  capacityBytes: number,
  startPosition: number,
  positionWords: readonly number[],
): SharedArrayBuffer {
  assertCapacity(capacityBytes);
  const ring = new SharedArrayBuffer(DATA_OFFSET_BYTES + capacityBytes);
  const words = new Int32Array(ring, 0, DATA_OFFSET_BYTES / Int32Array.BYTES_PER_ELEMENT);
  for (const word of positionWords) words[word] = startPosition;
  return ring;
}

/** Capacity in bytes of a ring that came from another thread. */
export function capacityOf(ring: SharedArrayBuffer): number {
  const capacityBytes = ring.byteLength - DATA_OFFSET_BYTES;
  assertCapacity(capacityBytes);
  return capacityBytes;
}

/** `bytes`, and what it takes to get to the next multiple of the alignment. */
export function aligned(bytes: number): number {
  return (bytes + (RECORD_ALIGNMENT_BYTES - 1)) & -RECORD_ALIGNMENT_BYTES;
}

function assertCapacity(capacityBytes: number): void {
  const inRange = capacityBytes >= CAPACITY_BYTES_MIN && capacityBytes <= CAPACITY_BYTES_MAX;
  if (inRange && (capacityBytes & (capacityBytes - 1)) === 0 && Number.isInteger(capacityBytes)) return;
  throw new KvRangeError(
    "KV_INVALID_OPTION",
    `ring capacity is ${capacityBytes} bytes: it must be a power of two from ${CAPACITY_BYTES_MIN} to ${CAPACITY_BYTES_MAX}`,
  );
}
