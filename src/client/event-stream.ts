/**
 * Owns the reading of server-sent events from a body, one at a time, as they are asked for: who does not ask holds up the server, not memory.
 */
import { KvError } from "../errors.js";

export interface ServerEvent {
  readonly name: string;
  readonly id: string | undefined;
  readonly data: string;
}

/** Characters of one event: the largest value, tagged, with room. */
const EVENT_CHARACTERS_MAX = 128 * 1024 * 1024;

/** Silence after which a connection is taken for dead: three of the server's heartbeats, in milliseconds. */
const SILENCE_MS_MAX = 45_000;

/** The events of a body. Ends where the body ends; rejects when it breaks off or falls silent. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const blocks = new Blocks();
  try {
    for (;;) {
      const { done, value } = await readOrSilence(reader);
      if (done || value === undefined) return;
      for (const block of blocks.add(decoder.decode(value, { stream: true }))) {
        const event = parseEvent(block);
        if (event !== undefined) yield event;
      }
    }
  } finally {
    // The connection may be broken already, which is no news.
    await reader.cancel().catch(() => {});
  }
}

/** Cuts a text that comes in pieces at its empty lines. A piece is looked at once, however long the block is that it belongs to. */
class Blocks {
  #pieces: string[] = [];
  #length = 0;

  /** The blocks that a further piece completes. @throws KvError KV_SERVER for one without end. */
  add(piece: string): string[] {
    // The empty line may begin with the last character that was there before.
    const last = this.#pieces.at(-1)?.at(-1) === "\n" && piece.startsWith("\n");
    const parts = last ? ["", ...piece.slice(1).split("\n\n")] : piece.split("\n\n");
    const blocks = parts.slice(0, -1).map((part) => {
      const block = this.#pieces.join("") + part;
      this.#pieces = [];
      this.#length = 0;
      return block;
    });
    const rest = parts.at(-1)!;
    if (rest !== "") this.#pieces.push(rest);
    this.#length += rest.length;
    if (this.#length <= EVENT_CHARACTERS_MAX) return blocks;
    throw new KvError(
      "KV_SERVER",
      `the server sent an event of more than ${EVENT_CHARACTERS_MAX} characters`,
    );
  }
}

async function readOrSilence(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    const error = new KvError("KV_UNREACHABLE", `the server was silent for ${SILENCE_MS_MAX} ms`);
    timer = setTimeout(() => reject(error), SILENCE_MS_MAX);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** `undefined`: a comment, which is a heartbeat. */
function parseEvent(block: string): ServerEvent | undefined {
  let name: string | undefined;
  let id: string | undefined;
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("data: ")) data = line.slice(6);
  }
  return name === undefined ? undefined : { name, id, data };
}
