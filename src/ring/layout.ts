/**
 * Owns where everything stands in the shared memory of a ring. Pure data: both ends import it, and it does nothing.
 *
 * ```
 * ring         = header(256) data(capacity: a power of two)
 * change ring  : word 0 INTENT, word 1 TAIL, word 2 EPOCH      line 0, written by the writer; readers write nothing
 * frame ring   : word 0 TAIL                                   line 0, written by the producer
 *                word 16 HEAD, word 17 TAKEN                   line 1, written by the consumer
 * record       = length:u32le (itself included, its padding not) rest, then zero to seven bytes up to the alignment
 * frame        = length:u32le (of the payload alone) reserved:u32le=0 payload, then zero to seven bytes up to the alignment
 * padding      = (PADDING_FLAG | bytes):u32le, then anything: `bytes` in all, itself included
 * ```
 *
 * Invariants:
 * 1. Words that different threads write never share a cache line, and no header word shares one with data.
 * 2. Positions (INTENT, TAIL, HEAD, TAKEN) count units of the alignment in 32 bits and wrap; two of them are compared by the
 *    sign of their 32-bit difference. A capacity divides 2^32 units, so a position's place in the ring survives the wrap.
 */

/** Every record and frame starts at a multiple of this, so the shortest padding still holds its own length. */
export const RECORD_ALIGNMENT_BYTES = 8;

/** A position shifted left by this is in bytes: the logarithm of the alignment. */
export const POSITION_SHIFT = 3;

/** Set in a length word: what follows is padding. Capacities stay below it, so no real length has it. */
export const PADDING_FLAG = 0x8000_0000;

/** Bytes of a length word. */
export const LENGTH_BYTES = 4;

/** Bytes before a frame's payload. */
export const FRAME_HEADER_BYTES = 8;

/** Where the data starts: behind the header's lines, and two more against the prefetching of neighbours. */
export const DATA_OFFSET_BYTES = 256;

/** The smallest ring whose largest record (an eighth) is still one unit. */
export const CAPACITY_BYTES_MIN = 64;

/** The largest ring: a lag of one whole ring must be far from the sign bit of a 32-bit difference, in bytes too. */
export const CAPACITY_BYTES_MAX = 2 ** 30;

/** Indexes of 32-bit words. The writer's three share one line, because whoever reads one of them reads the others. */
export const CHANGE_INTENT_WORD = 0;
export const CHANGE_TAIL_WORD = 1;
export const CHANGE_EPOCH_WORD = 2;

/** Indexes of 32-bit words: the producer's line, then the consumer's. */
export const FRAME_TAIL_WORD = 0;
export const FRAME_HEAD_WORD = 16;
export const FRAME_TAKEN_WORD = 17;
