/** Requests and replies as they travel: what goes in comes out, and an answer fits the room that was reserved for it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  decodeReply,
  encodeReply,
  type Reply,
  ReplyStatus,
  readRequestId,
  replyBytesMax,
} from "../../src/codec/reply-frame.js";
import {
  REQUEST_HEADER_BYTES,
  RequestKind,
  readRequestKind,
  writeRequestHeader,
} from "../../src/codec/request-frame.js";
import { CHECKS_MAX } from "../../src/limits.js";

const stamp = fc.uint8Array({ minLength: 10, maxLength: 10 }).map((bytes) => new Uint8Array(bytes));
const requestId = fc.nat(0xffff_ffff);
const reply: fc.Arbitrary<Reply> = fc.oneof(
  fc
    .tuple(stamp, fc.boolean())
    .map(([versionstamp, changed]) => ({ status: ReplyStatus.committed, versionstamp, changed })),
  fc
    .array(fc.record({ index: fc.nat(CHECKS_MAX - 1), actual: fc.option(stamp) }), { maxLength: 5 })
    .map((failedChecks) => ({ status: ReplyStatus.refused, failedChecks })),
  fc
    .tuple(fc.constantFrom(ReplyStatus.misuse, ReplyStatus.storage), fc.string({ maxLength: 80 }))
    .map(([status, message]) => ({ status, message })),
  fc.constant({ status: ReplyStatus.unknown }),
);

test("a reply is read as it was written, wherever it stands", () => {
  fc.assert(
    fc.property(requestId, reply, fc.nat(9), (id, given, offset) => {
      const bytes = encodeReply(id, given);
      const block = new Uint8Array(bytes.length + 20).fill(0xee);
      block.set(bytes, offset);
      expect(readRequestId(block, offset)).toBe(id);
      expect(decodeReply(block, offset, offset + bytes.length)).toEqual(given);
    }),
  );
});

test("what is read from a reply is private", () => {
  const bytes = encodeReply(1, {
    status: ReplyStatus.committed,
    versionstamp: new Uint8Array(10).fill(7),
    changed: true,
  });
  const found = decodeReply(bytes, 0, bytes.length);
  bytes.fill(0);
  expect(found).toEqual({
    status: ReplyStatus.committed,
    versionstamp: new Uint8Array(10).fill(7),
    changed: true,
  });
});

test("no answer takes more room than the caller has reserved: all checks failed, or a message of any length", () => {
  for (const checks of [0, 1, 17, 18, 19, CHECKS_MAX]) {
    const failedChecks = Array.from({ length: checks }, (_, index) => ({
      index,
      actual: new Uint8Array(10),
    }));
    const answers: Reply[] = [
      { status: ReplyStatus.refused, failedChecks },
      { status: ReplyStatus.storage, message: "é".repeat(5000) },
      { status: ReplyStatus.committed, versionstamp: new Uint8Array(10), changed: true },
    ];
    for (const answer of answers)
      expect(encodeReply(1, answer).length).toBeLessThanOrEqual(replyBytesMax(checks));
  }
});

test("a message that is too long is cut, and its beginning is whole", () => {
  const message = "the disk is full: ".repeat(50);
  const bytes = encodeReply(1, { status: ReplyStatus.storage, message });
  const found = decodeReply(bytes, 0, bytes.length) as { message: string };
  expect(found.message.length).toBeGreaterThan(200);
  expect(message.startsWith(found.message)).toBe(true);
});

test("a request header is read as it was written, and touches nothing behind it", () => {
  fc.assert(
    fc.property(requestId, fc.constantFrom(RequestKind.commit, RequestKind.parcel), (id, kind) => {
      const block = new Uint8Array(32).fill(0xee);
      writeRequestHeader(block, 5, id, kind);
      expect([readRequestId(block, 5), readRequestKind(block, 5)]).toEqual([id, kind]);
      expect(block.subarray(0, 5).every((byte) => byte === 0xee)).toBe(true);
      expect(block.subarray(5 + REQUEST_HEADER_BYTES).every((byte) => byte === 0xee)).toBe(true);
    }),
  );
});
