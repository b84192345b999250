/**
 * Owns the name by which callers know a message: 26 hex digits, its id (codec/queue-message.ts) and its shard. Names sort by commit.
 */
import { MESSAGE_ID_BYTES } from "../codec/queue-message.js";
import { KvTypeError } from "../errors.js";

const NAME = new RegExp(`^[0-9a-f]{${2 * MESSAGE_ID_BYTES + 2}}$`);

/** A message of a store. */
export interface MessageAddress {
  readonly shard: number;
  readonly id: Uint8Array;
}

export function messageName({ shard, id }: MessageAddress): string {
  return Buffer.from(Uint8Array.of(...id, shard)).toString("hex");
}

/**
 * The message of a name.
 *
 * @throws KvTypeError KV_INVALID_OPTION when no message of a store with so many shards can have the name.
 */
export function parseMessageName(name: unknown, shardCount: number): MessageAddress {
  const isName = typeof name === "string" && NAME.test(name);
  const bytes = isName ? new Uint8Array(Buffer.from(name, "hex")) : null;
  const shard = bytes?.[MESSAGE_ID_BYTES] ?? shardCount;
  if (bytes === null || shard >= shardCount) {
    throw new KvTypeError(
      "KV_INVALID_OPTION",
      `id must be one of a dead letter, ${2 * MESSAGE_ID_BYTES + 2} hex digits: received ${String(name)}`,
    );
  }
  return { shard, id: bytes.slice(0, MESSAGE_ID_BYTES) };
}
