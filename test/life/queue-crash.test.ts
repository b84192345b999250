/**
 * What a crash leaves of the queue: a process is killed while it enqueues and handles messages, and the store is opened again.
 *
 * `BELFRY_QUEUE_ROUNDS` asks for more rounds (default 3), `BELFRY_QUEUE_SEED` repeats their moments (as far as moments can be).
 */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openKv } from "../../src/index.js";
import { type QueuedValues, queuedValues } from "../kv/queue-rows.js";
import { Child } from "./child-process.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const ROUNDS = Number(process.env["BELFRY_QUEUE_ROUNDS"] ?? 3);
const SEED = seedFrom("BELFRY_QUEUE_SEED");
const KILL_MS_MAX = 500;
/** Numbers that one life of the program may use. */
const LIFE = 1_000_000;
const DRAIN_MS_MAX = 20_000;
/** As the program has. */
const SHARDS = 3;

/** What became of each message, over all lives. */
class Ledger {
  readonly enqueued = new Set<number>();
  readonly handled = new Set<number>();
  readonly faults: string[] = [];
  /** Leased when a process was killed, and not handled since: nobody but the program could know whether they had been. */
  readonly #doubtful = new Set<number>();

  /** Takes the lines of one life that was killed, and what the store held then. */
  take(lines: readonly string[], { waiting, leased }: QueuedValues): void {
    const begun = new Map<number, number>();
    const handled = new Set<number>();
    for (const line of lines) {
      const [what, text] = line.split(" ");
      const n = Number(text);
      if (what === "enqueued") this.enqueued.add(n);
      else if (what === "began") begun.set(n, (begun.get(n) ?? 0) + 1);
      else if (what === "handled") handled.add(n);
      else this.faults.push(`${line} within one life`);
    }
    this.noteBegun(begun);
    for (const n of handled) {
      this.handled.add(n);
      this.#doubtful.delete(n);
    }
    for (const n of leased as number[]) this.#doubtful.add(n);
    for (const n of waiting as number[]) {
      if (this.handled.has(n) && !this.#doubtful.has(n)) this.faults.push(`${n} was handled, and waits`);
    }
  }

  /** Messages that were begun in a new life, and how often. Those that fail at first are begun twice. */
  noteBegun(begun: ReadonlyMap<number, number>): void {
    for (const [n, count] of begun) {
      if (count > (n % 5 === 0 ? 2 : 1)) this.faults.push(`${n} was begun ${count} times in one life`);
      if (this.handled.has(n) && !this.#doubtful.has(n)) this.faults.push(`${n} was handled, and came again`);
    }
  }
}

describe("a process is killed while it enqueues and handles messages", () => {
  const path = join(temporaryDirectory(), "store");
  const ledger = new Ledger();

  for (let round = 0; round < ROUNDS; round++) {
    const durability = round % 2 === 0 ? "sync" : "relaxed";
    test(`${durability}: no message is lost, none is handled twice without a crash between (round ${round}, BELFRY_QUEUE_SEED=${SEED})`, async () => {
      const killMs = 50 + randomOf(SEED + round)(KILL_MS_MAX);
      const lines = await crash(path, round * LIFE, durability, killMs);
      ledger.take(lines, await queuedValues(path, SHARDS));
      expect(ledger.enqueued.size).toBeGreaterThan(0);
      expect(ledger.faults).toEqual([]);
    });
  }

  test("what is left is handled after the last crash, and nothing else; a commit and its message are both there", async () => {
    const kv = await openKv(path);
    const handled = new Map<number, number>();
    void kv.listenQueue<number>((n) => {
      handled.set(n, (handled.get(n) ?? 0) + 1);
    });
    const deadlineMs = Date.now() + DRAIN_MS_MAX;
    for (;;) {
      const { ready, delayed, leased } = kv.queueStats();
      if (ready + delayed + leased === 0) break;
      if (Date.now() > deadlineMs) throw new Error(`${ready}, ${delayed} and ${leased} messages are left`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const [n, count] of handled) if (count > 1) ledger.faults.push(`${n} was handled ${count} times`);
    ledger.noteBegun(handled);
    const dead = new Set<number>();
    for await (const { value } of kv.deadLetters.list<number>()) dead.add(value);
    // Messages that are begun, killed, and fail once more in the next life may have used up a schedule.
    for (const n of dead) if (n % 5 !== 0) ledger.faults.push(`${n} has died without a failure`);
    for (const n of ledger.enqueued) {
      if (!ledger.handled.has(n) && !handled.has(n) && !dead.has(n)) ledger.faults.push(`${n} is lost`);
    }
    for (const n of handled.keys()) {
      if (n % 4 > 1) continue;
      for (const name of n % 4 === 0 ? ["a", "b", "c"] : ["a"]) {
        if ((await kv.get([name, n])).value !== n) ledger.faults.push(`${n} came without its ${name}`);
      }
    }
    expect(ledger.faults).toEqual([]);
    await kv.close();
  });
});

/** Lets the program run for a while after its first message, kills it, and returns what it had said. */
async function crash(
  path: string,
  first: number,
  durability: string,
  killMs: number,
): Promise<readonly string[]> {
  const child = new Child("queue-program.js", [path, String(first), durability]);
  await child.saysSomething();
  await child.livesFor(killMs);
  child.kill("SIGKILL");
  const end = await child.end();
  expect(end.how, end.errors).toBe("SIGKILL");
  return end.lines;
}
