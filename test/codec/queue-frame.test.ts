/** Messages, the queue's part of a commit, and commands: what goes in comes out, and what is malformed is refused. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type CommitFields,
  commitFrameBytes,
  readCommitFrame,
  writeCommitFrame,
} from "../../src/codec/commit-frame.js";
import { decodeQueueCommand, encodeQueueCommand, type QueueCommand } from "../../src/codec/queue-command.js";
import type { QueueFields } from "../../src/codec/queue-frame.js";
import {
  decodeMessage,
  encodeMessage,
  MESSAGE_ID_BYTES,
  messageId,
  readBackoff,
} from "../../src/codec/queue-message.js";
import { encodeReply, queueReplyBytesMax, type Reply, ReplyStatus } from "../../src/codec/reply-frame.js";
import { KvCorruptError } from "../../src/errors.js";
import { QUEUE_TURN_MESSAGES_MAX } from "../../src/limits.js";

const bytesOf = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => new Uint8Array(bytes));
const id = fc
  .uint8Array({ minLength: MESSAGE_ID_BYTES, maxLength: MESSAGE_ID_BYTES })
  .map((bytes) => new Uint8Array(bytes));
const timeMs = fc.double({ min: 0, max: 1e13, noNaN: true });

const message = fc.record({
  encoding: fc.constantFrom(1, 2, 3),
  value: bytesOf(100),
  enqueuedAtMs: timeMs,
  backoffMs: fc.array(timeMs, { maxLength: 5 }),
  keys: fc.array(bytesOf(40), { maxLength: 4 }),
});
const queue: fc.Arbitrary<QueueFields> = fc.record({
  shard: fc.nat(30),
  enqueues: fc.array(fc.record({ delayMs: timeMs, message: bytesOf(60) }), { maxLength: 4 }),
  burials: fc.array(fc.record({ id, holder: fc.maxSafeNat(), failures: fc.nat(9), error: bytesOf(30) }), {
    maxLength: 3,
  }),
});
const ids = fc.array(id, { maxLength: 5 });
const command: fc.Arbitrary<QueueCommand> = fc.oneof(
  fc.record({
    kind: fc.constant("turn" as const),
    want: fc.nat(QUEUE_TURN_MESSAGES_MAX),
    settlements: fc.array(fc.record({ id, outcome: fc.constantFrom(1 as const, 2 as const, 3 as const) }), {
      maxLength: 5,
    }),
    held: fc.option(ids),
  }),
  fc.record({ kind: fc.constant("requeue" as const), ids, delayMs: timeMs }),
  fc.record({ kind: fc.constant("remove" as const), ids }),
);

test("a message is read as it was written, and its schedule alone, too", () => {
  fc.assert(
    fc.property(message, (fields) => {
      const bytes = encodeMessage(fields);
      expect(decodeMessage(bytes)).toEqual(fields);
      expect(readBackoff(bytes)).toEqual(fields.backoffMs);
    }),
  );
});

test("golden bytes of a message and an id", () => {
  const bytes = encodeMessage({
    encoding: 1,
    value: Uint8Array.of(0xff, 0x0f, 0x54),
    enqueuedAtMs: 0,
    backoffMs: [1],
    keys: [],
  });
  expect(Buffer.from(bytes).toString("hex")).toBe("010100000000000000000000000000000000f03fff0f54");
  expect(Buffer.from(messageId(1, 2, 3)).toString("hex")).toBe("000000000000000100020003");
});

test("a message that is cut off within its head is refused", () => {
  const bytes = encodeMessage({
    encoding: 3,
    value: new Uint8Array(0),
    enqueuedAtMs: 1,
    backoffMs: [1, 2],
    keys: [new Uint8Array(9)],
  });
  for (let length = 2; length < bytes.length; length++) {
    expect(() => decodeMessage(bytes.subarray(0, length)), String(length)).toThrow(KvCorruptError);
  }
});

test("a commit carries its queue, wherever the frame stands, and one without has the bytes that it always had", () => {
  const mutation = {
    type: 2 as const,
    shard: 2,
    key: Uint8Array.of(2, 0x61, 0),
    keyKind: 0 as const,
    encoding: 0,
    value: new Uint8Array(0),
    expiresAtMs: 0,
  };
  fc.assert(
    fc.property(queue, fc.boolean(), fc.nat(9), (fields, hasMutation, offset) => {
      const plain: CommitFields = { checks: [], mutations: hasMutation ? [mutation] : [] };
      const commit = { ...plain, queue: fields };
      const block = new Uint8Array(commitFrameBytes(commit) + 20);
      const end = writeCommitFrame(block, offset, commit);
      expect(end - offset).toBe(commitFrameBytes(commit));
      expect(readCommitFrame(block, offset, end)).toEqual(commit);
      const bare = new Uint8Array(commitFrameBytes(plain));
      writeCommitFrame(bare, 0, plain);
      expect(readCommitFrame(bare, 0, bare.length)).toEqual(plain);
      expect("queue" in readCommitFrame(bare, 0, bare.length)).toBe(false);
    }),
  );
});

test("a command is read as it was written; cut off or longer it is refused", () => {
  fc.assert(
    fc.property(command, fc.nat(9), (given, offset) => {
      const bytes = encodeQueueCommand(given);
      const block = new Uint8Array(bytes.length + 20);
      block.set(bytes, offset);
      expect(decodeQueueCommand(block, offset, offset + bytes.length)).toEqual(given);
      expect(() => decodeQueueCommand(block, offset, offset + bytes.length - 1)).toThrow(KvCorruptError);
      expect(() => decodeQueueCommand(block, offset, offset + bytes.length + 1)).toThrow(KvCorruptError);
    }),
  );
});

test("an answer with as many leases as were asked for fits the room that was reserved", () => {
  for (const want of [0, 1, 17, QUEUE_TURN_MESSAGES_MAX]) {
    const leases = Array.from({ length: want }, () => ({
      id: new Uint8Array(MESSAGE_ID_BYTES),
      failures: 5,
      interruptions: 10,
    }));
    const answers: Reply[] = [
      { status: ReplyStatus.queue, count: 256, leases },
      { status: ReplyStatus.storage, message: "é".repeat(5000) },
    ];
    for (const answer of answers) {
      expect(encodeReply(1, answer).length).toBeLessThanOrEqual(queueReplyBytesMax(want));
    }
  }
});
