/** One process owns a store: others are told who, and the lock of the dead is no lock. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { KvLockedError, openKv } from "../../src/index.js";
import { isLockFile, OwnerLock } from "../../src/store/owner-lock.js";
import { tempPath } from "../kv/temp-store.js";

const OPENER = fileURLToPath(new URL("open-and-hold.js", import.meta.url));

interface Said {
  readonly opened: boolean;
  readonly pid?: number;
  readonly code?: string;
  readonly message?: string;
}

interface Opener {
  readonly process: ChildProcess;
  readonly said: Promise<Said>;
}

function opener(path: string, startAtMs = 0): Opener {
  const child = spawn(process.execPath, [OPENER, path, String(startAtMs)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const lines = createInterface({ input: child.stdout! });
  const said = Promise.race([
    once(lines, "line").then(([line]) => JSON.parse(line) as Said),
    once(child, "close").then(([code]) => ({
      opened: false,
      message: `it ended with ${code} and said nothing`,
    })),
  ]);
  return { process: child, said };
}

async function kill(child: ChildProcess): Promise<void> {
  // One that was refused ends by itself.
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

const locksIn = (path: string) => readdirSync(path).filter(isLockFile);

test("a store that another living process owns is a KvLockedError with that process's pid", async () => {
  const path = tempPath();
  const owner = opener(path);
  expect(await owner.said).toMatchObject({ opened: true });
  const { pid } = owner.process;
  const attempt = openKv(path);
  await expect(attempt).rejects.toBeInstanceOf(KvLockedError);
  await expect(attempt).rejects.toMatchObject({ code: "KV_LOCKED", pid, path });
  await expect(attempt).rejects.toThrow(`process ${pid}`);
  owner.process.stdin!.write("close\n");
  await once(owner.process, "exit");
  await using kv = await openKv(path);
  expect((await kv.get(["owner"])).value).toBe(pid);
});

test("the lock of a process that was killed is taken over, with everything it had acknowledged", async () => {
  const path = tempPath();
  const owner = opener(path);
  const { pid } = await owner.said;
  await kill(owner.process);
  expect(locksIn(path)).toHaveLength(1);
  await using kv = await openKv(path);
  expect((await kv.get(["owner"])).value).toBe(pid);
  expect(locksIn(path)).toEqual([expect.stringContaining(`lock-${process.pid}-`)]);
});

test("of processes that open a store at the same time, 20 times, never two own it, and one can afterwards", async () => {
  const path = tempPath();
  let ownersInAll = 0;
  for (let pass = 0; pass < 20; pass++) {
    const startAtMs = Date.now() + 400;
    const rivals = [opener(path, startAtMs), opener(path, startAtMs)];
    const said = await Promise.all(rivals.map((rival) => rival.said));
    const owners = said.filter(({ opened }) => opened);
    expect(owners.length).toBeLessThanOrEqual(1);
    ownersInAll += owners.length;
    for (const each of said) if (!each.opened) expect(each.code).toBe("KV_LOCKED");
    // A dead owner's lock lies there for the next pass.
    await Promise.all(rivals.map((rival) => kill(rival.process)));
  }
  expect(ownersInAll).toBeGreaterThan(0);
  await using kv = await openKv(path);
  expect((await kv.set(["a"], 1)).ok).toBe(true);
}, 120_000);

test("many in this process that try for the lock at once: one gets it", async () => {
  const path = tempPath();
  mkdirSync(path);
  const tries = await Promise.allSettled(Array.from({ length: 10 }, () => OwnerLock.acquire(path)));
  const owners = tries.filter(({ status }) => status === "fulfilled");
  expect(owners).toHaveLength(1);
  for (const attempt of tries) {
    if (attempt.status === "rejected")
      expect(attempt.reason).toMatchObject({ code: "KV_LOCKED", pid: process.pid });
  }
  (owners[0] as PromiseFulfilledResult<OwnerLock>).value.release();
});

test("releasing frees the path, and releasing twice does nothing", async () => {
  const path = tempPath();
  mkdirSync(path);
  const first = await OwnerLock.acquire(path);
  first.release();
  first.release();
  const second = await OwnerLock.acquire(path);
  expect(locksIn(path)).toHaveLength(1);
  second.release();
  expect(locksIn(path)).toEqual([]);
});

test.skipIf(process.platform !== "linux")(
  "a living process that has the pid of a dead owner, and not its start, is not the owner",
  async () => {
    const path = tempPath();
    mkdirSync(path);
    const stat = readFileSync("/proc/1/stat", "utf8");
    const start = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    closeSync(openSync(join(path, `lock-1-${start + 1}`), "w"));
    const lock = await OwnerLock.acquire(path);
    expect(locksIn(path)).toHaveLength(1);
    lock.release();
    closeSync(openSync(join(path, `lock-1-${start}`), "w"));
    await expect(OwnerLock.acquire(path)).rejects.toMatchObject({ code: "KV_LOCKED", pid: 1 });
    expect(locksIn(path)).toEqual([`lock-1-${start}`]);
  },
);
