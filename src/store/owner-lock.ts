/**
 * Owns the rule that one process owns a store. Runs on the thread that opens it.
 *
 * The lock is a file whose name says everything: `lock-<pid>-<start of that process>`. The naive way, one file with the pid in
 * it, fails when two processes find the same stale lock: one removes it and makes its own, the other then removes that one. Here
 * everybody announces itself first, under a name that nobody else can have, and looks at the others second. Of two that come at
 * the same time at least one sees the other, so there are never two owners; when both see each other both step back and try again.
 *
 * Invariants
 * 1. A process owns the store only after it has looked and seen no lock of another living process, its own lock standing.
 * 2. Nobody removes the lock of a living process but that process.
 *
 * The start of a process (Linux: field 22 of its stat file) tells a reused pid from the owner. Processes on other hosts or in other
 * pid namespaces that share the directory are not seen: a store on a network volume must not be opened twice.
 */
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { debuglog } from "node:util";
import { KvLockedError } from "../errors.js";

const debug = debuglog("belfry:store");

const LOCK_NAME = /^lock-(\d+)-(\d+)$/;
/** Two that stepped back for each other try again this often. */
const TRIES_MAX = 8;
const BACK_OFF_MS_MAX = 20;

/** Whether a file of a store's directory is a lock. */
export function isLockFile(name: string): boolean {
  return LOCK_NAME.test(name);
}

export class OwnerLock {
  readonly #file: string;

  /** Takes the lock of the existing directory `path`. Throws {@link KvLockedError} when a living process has it. */
  static async acquire(path: string): Promise<OwnerLock> {
    for (let attempt = 1; ; attempt++) {
      const lock = OwnerLock.#announce(path);
      const rival = findRival(path, lock.#file);
      if (rival === null) return lock;
      lock.release();
      if (attempt === TRIES_MAX) throw new KvLockedError(path, rival);
      await delay(Math.random() * BACK_OFF_MS_MAX * attempt);
    }
  }

  static #announce(path: string): OwnerLock {
    const file = join(path, `lock-${process.pid}-${processStart(process.pid) ?? 0}`);
    try {
      closeSync(openSync(file, "wx"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw new KvLockedError(path, process.pid);
      throw error;
    }
    return new OwnerLock(file);
  }

  private constructor(file: string) {
    this.#file = file;
  }

  /** Gives the store up. Idempotent. */
  release(): void {
    rmSync(this.#file, { force: true });
  }
}

/** The pid of another living process with a lock, `null` when there is none. Removes the locks of dead ones. */
function findRival(path: string, own: string): number | null {
  for (const name of readdirSync(path)) {
    const match = LOCK_NAME.exec(name);
    if (match === null || join(path, name) === own) continue;
    const pid = Number(match[1]);
    if (isAlive(pid, Number(match[2]))) return pid;
    debug("took over the lock of process %d, which has ended: %s", pid, path);
    rmSync(join(path, name), { force: true });
  }
  return null;
}

function isAlive(pid: number, start: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, under another user.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const found = processStart(pid);
  return found === null || start === 0 || found === start;
}

/** When a process began, in the kernel's ticks since boot, -1 for a dead one not yet reaped; `null` where the system does not say. */
function processStart(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command in parentheses and may hold anything; the rest is separated by spaces.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? -1 : Number(fields[19]);
  } catch {
    // No such file: another system than Linux, or the process has gone; `kill` above has told which.
    return null;
  }
}
