/**
 * Owns the bytes of what a caller asks of one shard's queue outside of a commit, as the body of a request. Little-endian.
 *
 *     command := kind (u8) resumes (u8: 0, 1) want (u16) count (u16) heldCount (u16) delayMs (f64) (id (12 bytes) outcome (u8))* held*
 *     held    := id (12 bytes)
 *
 *   turn     settles the messages that were handled since the last turn, and leases at most `want` more. With `resumes`, the shard gives
 *            up leases that this caller had of the shard's former thread and does not name in `held`: their delivery was lost with it
 *   requeue  makes dead letters ready again · remove  deletes them; `outcome` is 0
 *
 * Pure functions for any thread. What is read is private.
 */
import { KvCorruptError } from "../errors.js";
import { QUEUE_TURN_MESSAGES_MAX } from "../limits.js";
import { ByteReader } from "./byte-reader.js";
import { getF64, getU16, putBytes, putF64, putU16 } from "./little-endian.js";
import { MESSAGE_ID_BYTES } from "./queue-message.js";

/** What became of a leased message. */
export const Outcome = {
  /** The handler has finished. */
  done: 1,
  /** The handler has thrown: it is tried again after the next interval of its schedule. */
  failed: 2,
  /** It was not handled to the end, and that was nobody's failure: it is ready again, where it was. */
  returned: 3,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

export type Settlement = { readonly id: Uint8Array; readonly outcome: Outcome };

export type QueueCommand =
  | {
      readonly kind: "turn";
      readonly want: number;
      readonly settlements: readonly Settlement[];
      /** What this caller holds, where the shard has a new thread; else `null`. */
      readonly held: readonly Uint8Array[] | null;
    }
  | { readonly kind: "requeue"; readonly ids: readonly Uint8Array[]; readonly delayMs: number }
  | { readonly kind: "remove"; readonly ids: readonly Uint8Array[] };

const KINDS = ["turn", "requeue", "remove"] as const;
const HEADER_BYTES = 16;
const SETTLEMENT_BYTES = MESSAGE_ID_BYTES + 1;

export function encodeQueueCommand(command: QueueCommand): Uint8Array {
  const isTurn = command.kind === "turn";
  const settlements = isTurn ? command.settlements : command.ids.map((id) => ({ id, outcome: 0 }));
  const held = isTurn ? (command.held ?? []) : [];
  const length = HEADER_BYTES + settlements.length * SETTLEMENT_BYTES + held.length * MESSAGE_ID_BYTES;
  const bytes = new Uint8Array(length);
  bytes[0] = KINDS.indexOf(command.kind);
  bytes[1] = isTurn && command.held !== null ? 1 : 0;
  putU16(bytes, 2, isTurn ? command.want : 0);
  putU16(bytes, 4, settlements.length);
  putU16(bytes, 6, held.length);
  putF64(bytes, 8, command.kind === "requeue" ? command.delayMs : 0);
  let end = HEADER_BYTES;
  for (const { id, outcome } of settlements) {
    end = putBytes(bytes, end, id);
    bytes[end++] = outcome;
  }
  for (const id of held) end = putBytes(bytes, end, id);
  return bytes;
}

/** The command in the bytes from `offset` to `end`. Throws KvCorruptError when they are not exactly one. */
export function decodeQueueCommand(bytes: Uint8Array, offset: number, end: number): QueueCommand {
  const reader = new ByteReader("queue command", bytes, offset, end);
  const start = reader.take(HEADER_BYTES);
  const kind = KINDS[bytes[start]!];
  const want = getU16(bytes, start + 2);
  const count = getU16(bytes, start + 4);
  if (kind === undefined || want > QUEUE_TURN_MESSAGES_MAX || count > QUEUE_TURN_MESSAGES_MAX) {
    throw new KvCorruptError(
      `queue command is malformed: kind ${bytes[start]}, ${want} and ${count} messages`,
    );
  }
  const settlements: Settlement[] = [];
  for (let index = 0; index < count; index++) {
    const id = reader.takeBytes(MESSAGE_ID_BYTES).slice();
    settlements.push({ id, outcome: bytes[reader.take(1)] as Outcome });
  }
  const held: Uint8Array[] = [];
  for (let left = getU16(bytes, start + 6); left > 0; left--) {
    held.push(reader.takeBytes(MESSAGE_ID_BYTES).slice());
  }
  reader.finish();
  if (kind === "turn") return { kind, want, settlements, held: bytes[start + 1] === 1 ? held : null };
  const ids = settlements.map(({ id }) => id);
  return kind === "remove" ? { kind, ids } : { kind, ids, delayMs: getF64(bytes, start + 8) };
}
