/**
 * Watchers and writers of one server that is killed and started again, and watchers that go away meanwhile: whoever stays has every change once,
 * in the order of the store. BELFRY_WATCHERS, BELFRY_WRITERS and BELFRY_KILLS make it longer (1000, 16 and 10, say).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { connect, type KvChange, KvUnknownOutcomeError, type RemoteKv } from "../../src/client/index.js";
import { tempPath } from "../kv/temp-store.js";

const WATCHERS = Number(process.env["BELFRY_WATCHERS"] ?? 20);
const WRITERS = Number(process.env["BELFRY_WRITERS"] ?? 4);
const KILLS = Number(process.env["BELFRY_KILLS"] ?? 2);
const WRITES_BETWEEN_KILLS = 40;
const PROGRAM = fileURLToPath(new URL("../../src/cli/belfry.js", import.meta.url));

async function startServer(path: string, port: number): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [PROGRAM, "serve", path, "--port", String(port)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const [line] = (await once(child.stdout!.setEncoding("utf8"), "data")) as [string];
  return { child, url: line.trim() };
}

/** Follows everything, and leaves after `leaveAfter` changes. */
async function follow(kv: RemoteKv, leaveAfter: number): Promise<KvChange[]> {
  const seen: KvChange[] = [];
  for await (const change of kv.changes({ prefix: ["w"] }, { since: "earliest" })) {
    seen.push(change);
    if (change.key[1] === "end" || seen.length >= leaveAfter) break;
  }
  return seen;
}

it("every watcher that stays has every change once, whatever is killed", async () => {
  const path = tempPath();
  let { child, url } = await startServer(path, 0);
  const port = Number(new URL(url).port);
  const kv = connect(url, { attemptsMax: 50 });
  onTestFinished(() => kv.close());
  const leaving = Math.ceil(WATCHERS / 4);
  const watchers = Array.from({ length: WATCHERS }, (_, index) =>
    follow(kv, index < leaving ? 10 + index : Number.POSITIVE_INFINITY),
  );
  let written = 0;
  let isOver = false;
  const acknowledged = new Set<string>();
  const write = async (writer: number): Promise<void> => {
    for (let number = 0; !isOver; number++) {
      try {
        await kv.set(["w", writer, number], number);
        acknowledged.add(`${writer}/${number}`);
        written++;
      } catch (error) {
        // Killed in the midst of it: it may be there or not, and the log will tell.
        if (!(error instanceof KvUnknownOutcomeError)) throw error;
      }
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) => write(writer));
  for (let kill = 0; kill < KILLS; kill++) {
    const until = written + WRITES_BETWEEN_KILLS;
    while (written < until) await sleep(2);
    child.kill("SIGKILL");
    await once(child, "close");
    ({ child, url } = await startServer(path, port));
  }
  const until = written + WRITES_BETWEEN_KILLS;
  while (written < until) await sleep(2);
  isOver = true;
  await Promise.all(writers);
  await kv.set(["w", "end"], true);

  const all = await follow(kv, Number.POSITIVE_INFINITY);
  const positions = all.map(({ position }) => position);
  expect(positions).toEqual([...new Set(positions)].sort());
  const names = new Set(all.map(({ key }) => `${key[1]}/${key[2]}`));
  for (const name of acknowledged) expect(names).toContain(name);
  const seen = await Promise.all(watchers);
  for (const [index, changes] of seen.entries()) {
    const expected = index < leaving ? positions.slice(0, 10 + index) : positions;
    expect(changes.map(({ position }) => position)).toEqual(expected);
  }
}, 300_000);
