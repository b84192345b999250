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
  let text = "";
  let searched = 0;
  try {
    for (;;) {
      const { done, value } = await readOrSilence(reader);
      if (done || value === undefined) return;
      text += decoder.decode(value, { stream: true });
      for (let end = text.indexOf("\n\n", searched); end >= 0; end = text.indexOf("\n\n")) {
        const event = parseEvent(text.slice(0, end));
        text = text.slice(end + 2);
        if (event !== undefined) yield event;
      }
      searched = Math.max(0, text.length - 1);
      if (text.length > EVENT_CHARACTERS_MAX) {
        throw new KvError(
          "KV_SERVER",
          `the server sent an event of more than ${EVENT_CHARACTERS_MAX} characters`,
        );
      }
    }
  } finally {
    // The connection may be broken already, which is no news.
    await reader.cancel().catch(() => {});
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
