import { describe, expect, it } from "vitest";
import { readEvents } from "../../src/client/event-stream.js";

const TEXT =
  'event: change\nid: 1\ndata: {"é":1}\n\n: still here\n\nevent: change\nid: 2\ndata: {"n":"\\n\\n"}\n\nevent: end\ndata: {}\n\n';
const EVENTS = [
  { name: "change", id: "1", data: '{"é":1}' },
  { name: "change", id: "2", data: '{"n":"\\n\\n"}' },
  { name: "end", id: undefined, data: "{}" },
];

async function read(pieces: readonly Uint8Array[]): Promise<unknown[]> {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const events: unknown[] = [];
  for await (const event of readEvents(body)) events.push(event);
  return events;
}

describe("events", () => {
  it("are the same wherever their bytes are cut", async () => {
    const bytes = new TextEncoder().encode(TEXT);
    for (let first = 0; first <= bytes.length; first++) {
      const second = Math.min(bytes.length, first + 1 + (first % 7));
      const pieces = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
      expect(await read(pieces), `cut at ${first} and ${second}`).toEqual(EVENTS);
    }
    expect(await read(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(EVENTS);
  });

  it("of many pieces come whole, and one that has not ended does not come", async () => {
    const piece = new TextEncoder().encode("x".repeat(1000));
    const head = new TextEncoder().encode("event: change\ndata: ");
    const end = new TextEncoder().encode("\n\nevent: change\ndata: half");
    const [event, ...more] = await read([head, ...Array.from({ length: 5000 }, () => piece), end]);
    expect(event).toEqual({ name: "change", id: undefined, data: "x".repeat(5_000_000) });
    expect(more).toEqual([]);
  });
});
